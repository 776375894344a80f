"""The chart of association: the share of the variance that goes with each axis."""

from __future__ import annotations

import altair as alt

from embft.leaderboard.association import associations
from embft.leaderboard.findings import association_finding
from embft.leaderboard.labels import axis_titles
from embft.leaderboard.rows import Leaderboard
from embft.report.chart import Chart, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import flat_axis, tooltip_of
from embft.report.theme import ACCENT


@chart(Section.MATTERED, 20)
def association_chart(leaderboard: Leaderboard) -> Chart | None:
    """The share of the variance that goes with each axis; None where the data cannot tell."""
    found = associations(leaderboard)
    shown = [item for item in found if item.significant]
    if not shown:
        return None
    titles = axis_titles([item.axis for item in found])
    data = [
        {"axis": titles[item.axis], "share": item.share, "low": item.low, "high": item.high,
         "shown": f"{100 * item.share:.0f} %"}
        for item in shown
    ]  # fmt: skip
    base = alt.Chart(rows()).encode(
        y=alt.Y("axis:N", sort=[titles[item.axis] for item in shown], title=None, axis=flat_axis())
    )
    scale = alt.Scale(domain=[0, 1], nice=False)
    x = alt.X("share:Q", title="share of the variance", scale=scale, axis=alt.Axis(format=".0%"))
    bars = base.mark_rule(strokeWidth=3, opacity=0.4, stroke=ACCENT).encode(
        x=alt.X("low:Q", title="share of the variance", scale=scale), x2=alt.X2("high:Q")
    )
    dots = base.mark_point(filled=True, size=80, color=ACCENT).encode(
        x=x, tooltip=tooltip_of(axis="axis", share="shown")
    )
    silent = [titles[item.axis] for item in found if not item.significant]
    note = "Association over all configurations, not cause; bars are 95 % intervals."
    note += f" No significant share: {', '.join(silent)}." if silent else ""
    return Chart(
        key="association",
        title=association_finding(shown),
        note=note,
        spec=finish(alt.layer(bars, dots), data, 44 * len(data) + 20),
        size="half",
    )
