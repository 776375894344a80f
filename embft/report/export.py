"""A sweep's charts as files of their own, for papers and slides."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import scored
from embft.report.chart import Chart, export_png, export_svg
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
