"""What the commands write: tables, page, Markdown and charts, each to its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import write_tables
from embft.leaderboard.lookup import find_scored
from embft.leaderboard.rows import Leaderboard
from embft.report.export import export_charts
from embft.report.markdown import render_markdown
from embft.report.page import write_report
from embft.results.folders import SweepDir
from embft.storage.files import write_atomic


@dataclass(frozen=True)
class Wanted:
    """What a user asked for. compare: two trials by what the user calls them.

    pictures: whether the page's charts stand there before any script runs.
    """

    form: Literal["html", "md"] = "html"
    out: Path | None = None
    compare: tuple[str, str] | None = None
    charts: Path | None = None
    charts_format: Literal["svg", "png"] = "svg"
    pictures: bool = True


def write_outputs(folder: Path, *, running: bool = False) -> Leaderboard:
    """Write leaderboard and report of a sweep into its own folder.

    running: whether trials still run, from which drawing pictures of every chart would take memory
    and cores; then the browser alone draws them.
    """
    leaderboard = build_leaderboard(folder)
    write_wanted(leaderboard, [folder], Wanted(pictures=not running))
    return leaderboard


def write_wanted(
    leaderboard: Leaderboard, folders: Sequence[Path], wanted: Wanted
) -> tuple[Path | None, list[str]]:
    """Write what was asked for: the file, if any, and the lines to print.

    Markdown without a file is the lines. Raises EmbftError for a trial that there is not.
    """
    two = _two(leaderboard, wanted.compare)
    lines = _charts(leaderboard, wanted)
    if wanted.form == "md" and wanted.out is None:
        return None, [render_markdown(leaderboard, two)]
    path = (wanted.out or report_path(folders, wanted.form)).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    if wanted.form == "md":
        write_atomic(path, render_markdown(leaderboard, two))
        return path, [str(path), *lines]
    if len(folders) == 1:
        write_tables(leaderboard)
    write_report(leaderboard, path, two, pictures=wanted.pictures)
    return path, [str(path), *lines]


def report_path(folders: Sequence[Path], form: str = "html") -> Path:
    """Inside the sweep's folder; of several sweeps beside the first, since it is none's own."""
    if len(folders) == 1:
        return SweepDir(folders[0]).report_file(form)
    names = "+".join(folder.resolve().name for folder in folders)
    return folders[0].resolve().parent / f"{names}.{form}"


def _two(leaderboard: Leaderboard, names: tuple[str, str] | None) -> tuple[str, str] | None:
    if names is None:
        return None
    first, second = (find_scored(leaderboard, name).trial for name in names)
    return first, second


def _charts(leaderboard: Leaderboard, wanted: Wanted) -> list[str]:
    if wanted.charts is None:
        return []
    count = len(export_charts(leaderboard, wanted.charts, wanted.charts_format))
    return [f"{count} charts in {wanted.charts.resolve()}"]
