"""A report's page as text."""

from __future__ import annotations

from typing import Any

from embft.leaderboard.rows import Leaderboard
from embft.report.page import write_report


def render_report(leaderboard: Leaderboard, **how: Any) -> str:
    """What `write_report` writes for this leaderboard."""
    path = leaderboard.folder.report_file()
    write_report(leaderboard, path, **how)
    return path.read_text()
