"""Leaderboard -> charts -> one HTML file. Draws what `embft.leaderboard` computed.

`page.py` makes the page, `charts.py` and its neighbours the charts, `bundle.py` the scripts and
the policy that admits them, `assets/` holds template, style sheet and script.
"""

from embft.report.export import export_charts
from embft.report.markdown import render_markdown
from embft.report.page import render_report, write_report

__all__ = ["export_charts", "render_markdown", "render_report", "write_report"]
