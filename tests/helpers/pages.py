"""A report's page as text."""

from __future__ import annotations

from typing import Any

from embft.leaderboard.rows import Leaderboard
from embft.report.page import write_report


def render_report(board: Leaderboard, **how: Any) -> str:
    """What `write_report` writes for this board."""
    path = board.folder.report_file()
    write_report(board, path, **how)
    return path.read_text()
