"""Leaderboard -> charts -> one HTML file. Draws what `embft.leaderboard` computed.

`page.py` makes the page, `charts.py` and its neighbours the charts, `bundle.py` the scripts and
the policy that admits them, `assets/` holds template, style sheet and script.
"""

from embft.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
