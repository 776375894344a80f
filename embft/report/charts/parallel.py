"""The chart of parallel coordinates: every configuration as a line across the axes."""

from __future__ import annotations

import altair as alt

from embft.leaderboard.labels import metric_label
from embft.leaderboard.parallel import parallel
from embft.leaderboard.rows import Leaderboard
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import opacity
from embft.report.theme import INK, MUTED, RAMP, SURFACE


@chart(Section.MATTERED, 50)
def parallel_chart(leaderboard: Leaderboard) -> Chart | None:
    """A line for each configuration across the axes, darker where the score is better."""
    table = parallel(leaderboard)
    if table is None:
        return None
    x = alt.X(
        "axis:N",
        sort=list(table.titles),
        title=None,
        axis=alt.Axis(domain=False, ticks=False, labelAngle=0, grid=True, orient="top"),
        scale=alt.Scale(type="point", padding=0.35),
    )
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.04, 1.04], nice=False))
    ramp = list(RAMP[1:] if leaderboard.mode == "max" else RAMP[:0:-1])
    lines = (
        alt.Chart(rows())
        .mark_line(strokeWidth=1.8, cursor="pointer")
        .encode(
            x=x,
            y=y,
            detail=alt.Detail("trial:N"),
            color=alt.Color(
                "score:Q", title=metric_label(leaderboard.metric), scale=alt.Scale(range=ramp)
            ),
            opacity=opacity(dimmed(faint=0.08, full=0.8)),
        )
    )
    places = alt.Chart(alt.NamedData("ticks")).encode(x=x, y=y)
    ticks = places.encode(text=alt.Text("text:N"))
    back = ticks.mark_text(dx=8, align="left", fontSize=11, stroke=SURFACE, strokeWidth=4)
    words = ticks.mark_text(dx=8, align="left", fontSize=11, fill=INK)
    dots = places.mark_point(filled=True, size=18, color=MUTED)
    return Chart(
        key="parallel",
        title="Every configuration across the axes",
        note="A line is one configuration, darker the better; click on one to follow it.",
        spec=finish(
            alt.layer(lines, dots, back, words), list(table.points), 340, ticks=table.ticks
        ),
        points=len(table.points),
        folded=True,
    )
