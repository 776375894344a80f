"""A sweep's charts as files of their own, for papers and slides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import altair as alt

from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import scored
from embft.report.chart import Chart, altair_chart, export_png, export_svg
from embft.report.chart_list import draw_charts
from embft.report.pairs import pairs_view
from embft.storage.files import write_atomic


def all_charts(leaderboard: Leaderboard) -> list[Chart]:
    """Every chart of the report, in its order."""
    leaderboard = scored(leaderboard)
    drawn = draw_charts(leaderboard, pairs_view(leaderboard).compared)
    return [chart for charts in drawn.values() for chart in charts]


def export_charts(
    leaderboard: Leaderboard,
    folder: Path,
    format: Literal["svg", "png"] = "svg",  # noqa: A002 - the word that users know
) -> list[Path]:
    """Write each chart to `folder`, on white, under its finding; the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in all_charts(leaderboard):
        path = folder / f"{chart.key}.{format}"
        write_atomic(path, export_svg(chart) if format == "svg" else export_png(chart))
        paths.append(path)
    return paths


class AltairCharts(Mapping[str, alt.TopLevelMixin]):
    """The report's charts as Altair objects by their names, each made when it is looked up.

    Layered charts are `alt.LayerChart`, others `alt.Chart`.
    """

    def __init__(self, leaderboard: Leaderboard) -> None:
        self._leaderboard = leaderboard
        self._made: dict[str, alt.TopLevelMixin] = {}

    @cached_property
    def _charts(self) -> dict[str, Chart]:
        return {chart.key: chart for chart in all_charts(self._leaderboard)}

    def __getitem__(self, name: str) -> alt.TopLevelMixin:
        if name not in self._made:
            self._made[name] = altair_chart(self._charts[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._charts)

    def __len__(self) -> int:
        return len(self._charts)
