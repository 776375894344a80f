"""The charts of sweeps with many trials: association with each axis, parallel coordinates."""

from __future__ import annotations

import altair as alt

from embft.leaderboard.association import associations
from embft.leaderboard.findings import association_finding
from embft.leaderboard.labels import axis_titles, metric_label
from embft.leaderboard.parallel import parallel
from embft.leaderboard.rows import Leaderboard
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.drawing import flat_axis, opacity, tooltip_of
from embft.report.theme import ACCENT, INK, MUTED, RAMP, SURFACE


def association_chart(board: Leaderboard) -> Chart | None:
    """The share of the variance that goes with each axis; None where the data cannot tell."""
    found = associations(board)
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


def parallel_chart(board: Leaderboard) -> Chart | None:
    """A line for each configuration across the axes, darker where the score is better."""
    table = parallel(board)
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
    ramp = list(RAMP[1:] if board.mode == "max" else RAMP[:0:-1])
    lines = (
        alt.Chart(rows())
        .mark_line(strokeWidth=1.8, cursor="pointer")
        .encode(
            x=x,
            y=y,
            detail=alt.Detail("trial:N"),
            color=alt.Color(
                "score:Q", title=metric_label(board.metric), scale=alt.Scale(range=ramp)
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
    )
