"""The charts of a search along its axes: scores, where it has looked, what it would try next."""

from __future__ import annotations

import altair as alt

from embft.leaderboard.labels import axis_title, value_text
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.search_slices import Slice, search_slices
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import opacity, score_axis, score_domain, slug, trial_dots
from embft.report.theme import INK, MUTED
from embft.results.records import Status

_DENSITY = 0.28  # of the chart's height, at most
_NOTE = (
    "A dot for each trial that completed; grey rings are trials that were stopped early, at the "
    "score that they had then. The grey blocks at the foot: how many suggestions lie there."
)


@chart(Section.MATTERED, 25)
def slice_charts(leaderboard: Leaderboard) -> list[Chart]:
    """Dev score along each axis that a search draws from a distribution."""
    return [_slice_chart(leaderboard, each) for each in search_slices(leaderboard) if each.tried]


def _slice_chart(leaderboard: Leaderboard, found: Slice) -> Chart:
    title = axis_title(found.axis)
    data = [
        {
            "trial": each.trial,
            "label": each.label,
            "value": each.value,
            "score": each.score,
            "shown": fmt.score(each.score),
            "status": str(each.status),
            "pruned": each.status == Status.PRUNED,
            **({"kind": each.kind} if found.kinds else {}),
        }
        for each in found.tried
    ]
    scores = [each.score for each in found.tried]
    x, y = _axis(found, title), score_axis(leaderboard, scores, "dev")
    foot = score_domain(scores)[0]
    height = max(scores) - foot
    density = alt.Chart(alt.NamedData("density")).mark_rect(fill=MUTED, opacity=0.16, aria=False)
    density = density.encode(x=x, x2="to:Q", y=y, y2="top:Q")
    base = alt.Chart(rows()).encode(x=x, y=y, opacity=opacity(dimmed()))
    dots = trial_dots(base, found.kinds)
    ahead = alt.Chart(alt.NamedData("next")).mark_point(
        shape="triangle-up", filled=True, size=90, color=INK, aria=False
    )
    marks = [ahead.encode(x=x, y=y)] if found.next else []
    return Chart(
        key=f"slice-{slug(found.axis)}",
        title=_finding(leaderboard, found),
        note=_NOTE + (" Triangles: what the searcher would try next." if found.next else ""),
        spec=finish(
            alt.layer(density, *dots, *marks),
            data,
            230,
            density=_blocks(found, foot, height),
            next=[{"value": value, "score": foot + 0.03 * height} for value in found.next],
        ),
        size="half",
        points=len(data),
    )


def _axis(found: Slice, title: str) -> alt.X:
    if found.log:
        scale = alt.Scale(type="log", domain=[found.low / 1.2, found.high * 1.2], nice=False)
        shape = alt.Axis(format="~e" if found.high < 1 else "~g", tickCount=5, grid=False)
    else:
        margin = 0.04 * (found.high - found.low)
        ends = [found.low - margin, found.high + margin]
        scale = alt.Scale(domain=ends, nice=False, zero=False)
        shape = alt.Axis(grid=False, tickCount=6, format="~g")
    return alt.X("value:Q", title=title, scale=scale, axis=shape)


def _blocks(found: Slice, foot: float, height: float) -> list[dict[str, float]]:
    """For each part of the axis a block as high as it has suggestions."""
    edges, most = found.edges(), max(found.counts)
    return [
        {
            "value": edges[i],
            "to": edges[i + 1],
            "score": foot,
            "top": foot + _DENSITY * height * count / most,
        }
        for i, count in enumerate(found.counts)
    ]


def _finding(leaderboard: Leaderboard, found: Slice) -> str:
    """Where the best trial lies, of how many, over what range."""
    done = [each for each in found.tried if each.status == Status.COMPLETED]
    title = axis_title(found.axis)
    between = f"{value_text(_short(found.low))} to {value_text(_short(found.high))}"
    if not done:
        return f"{title.capitalize()} from {between}: no trial has completed"
    sign = 1 if leaderboard.mode == "max" else -1
    best = max(done, key=lambda each: sign * each.score)
    return f"The best on dev has {title} {value_text(_short(best.value))}, of {between}"


def _short(value: float) -> float:
    """Two digits of it, which is what a title has room for."""
    return float(f"{value:.2g}")
