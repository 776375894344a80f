"""The charts across the axes: heatmaps of two axes, the score along each one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import altair as alt

from embft.leaderboard.axes import (
    axis_pairs,
    axis_value_text,
    axis_values,
    best_per_value,
    chart_axes,
    effect_points,
    heatmap,
    split_axis,
    swings,
    varying_axes,
)
from embft.leaderboard.axis_effects import axis_p_values
from embft.leaderboard.findings import axis_finding, heatmap_finding
from embft.leaderboard.labels import axis_title, is_log_axis, metric_label
from embft.leaderboard.rows import Leaderboard
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import (
    baseline_data,
    baseline_note,
    baseline_rule,
    domain,
    flat_axis,
    ink_on,
    is_pale,
    name_axis,
    opacity,
    score_axis,
    shipped_rows,
    slug,
    tooltip_of,
)
from embft.report.theme import ACCENT, CATEGORIES, MUTED, RAMP

CLEAN_RATE = "format(datum.value, '.3~e')"
_MOST_HEATMAPS = 6
_CROWD = 120
# The most columns and lines of a heatmap whose tiles have room for their numbers.
_ROOM_ACROSS, _ROOM_DOWN = 14, 12


@chart(Section.MATTERED, 10)
def heatmaps(leaderboard: Leaderboard) -> list[Chart]:
    """A heatmap for each pair of axes that vary, rank by learning rate first; others folded."""
    found = [_heatmap(leaderboard, *axes) for axes in axis_pairs(leaderboard)[:_MOST_HEATMAPS]]
    return [*found[:1], *(replace(drawn, folded=True) for drawn in found[1:])]


def _heatmap(leaderboard: Leaderboard, vertical: str, horizontal: str) -> Chart:
    cells = heatmap(leaderboard, vertical, horizontal)
    scores = [cell.score for cell in cells if cell.score is not None]
    low, high = domain(leaderboard, scores)
    data = [
        {
            "x": cell.x,
            "y": cell.y,
            "score": None if cell.score is None else min(max(cell.score, low), high),
            "text": fmt.score(cell.score) if cell.score is not None else cell.status,
            "interval": fmt.interval(cell.interval),
            "pale": is_pale(cell.score, low, high, leaderboard.mode),
            "trial": cell.trial,
            "trials": list(cell.trials),
            "best": any(
                leaderboard.recommended and r.trial == cell.trial for r in shipped_rows(leaderboard)
            ),
        }
        for cell in cells
    ]
    xs, ys = (
        [axis_value_text(leaderboard, axis, value) for value in axis_values(leaderboard, axis)]
        for axis in (horizontal, vertical)
    )
    ramp = list(RAMP if leaderboard.mode == "max" else RAMP[::-1])
    tight = alt.Scale(paddingInner=0.04)
    base = alt.Chart(rows()).encode(
        x=alt.X("x:O", sort=xs, title=axis_title(horizontal), axis=name_axis(xs), scale=tight),
        y=alt.Y("y:O", scale=tight, sort=ys, title=axis_title(vertical), axis=flat_axis()),
        tooltip=tooltip_of(
            **{axis_title(vertical): "y", axis_title(horizontal): "x", "score": "text",
               "95 % interval": "interval"}
        ),
    )  # fmt: skip
    colour = alt.Color(
        "score:Q", scale=alt.Scale(domain=[low, high], range=ramp, clamp=True), legend=None
    )
    done = base.transform_filter("isValid(datum.score)")
    # The chosen cell gets a frame: dimming the others would make their numbers unreadable.
    chosen = {"test": "picked !== '' && indexof(datum.trials, picked) >= 0", "value": 3}
    tiles = done.mark_rect(cornerRadius=4, stroke=CATEGORIES[1], cursor="pointer").encode(
        color=colour, strokeWidth=alt.StrokeWidthValue(0, condition=chosen)
    )
    empty = base.transform_filter("!isValid(datum.score)").mark_rect(
        fill="transparent", stroke=MUTED, strokeDash=[3, 3], cornerRadius=4
    )
    # A condition, not a field with no scale: that would join the tiles' scale and break it.
    ink = ink_on("datum.pale")
    text = alt.Text("text:N")
    words = done.mark_text(fontSize=13, fontWeight=600, aria=False).encode(text=text, color=ink)
    others = base.transform_filter("!isValid(datum.score)").mark_text(aria=False, fill=MUTED)
    best = done.transform_filter("datum.best").mark_text(
        aria=False, dy=17, fontSize=10.5, fontWeight=500
    )
    texts = [words, others.encode(text=text),
             best.encode(text=alt.TextValue("recommended"), color=ink)]  # fmt: skip
    roomy = len(xs) <= _ROOM_ACROSS and len(ys) <= _ROOM_DOWN
    layered = alt.layer(tiles, empty, *(texts if roomy else ()))
    spec = finish(layered, data, max(120, 58 * len(ys) if roomy else min(16 * len(ys), 640)))
    return Chart(
        key=f"heatmap-{slug(vertical)}-{slug(horizontal)}",
        title=heatmap_finding(leaderboard, vertical, horizontal),
        note=f"{metric_label(leaderboard.metric)} on test of the best configuration in each cell. "
        "Darker is better; dashed cells have no score.",
        spec=spec,
        size="half" if len(xs) <= 5 else "wide",
        points=len(data),
    )


@chart(Section.MATTERED, 30)
def axis_charts(leaderboard: Leaderboard) -> list[Chart]:
    """Score along each axis, the one that moves it furthest first."""
    order = [swing.axis for swing in swings(leaderboard)]
    order += [axis for axis in chart_axes(leaderboard) if axis not in order]
    wanted = set(varying_axes(leaderboard)) - set(leaderboard.continuous)  # which have slices
    p_values = axis_p_values(leaderboard)
    return [
        _axis_chart(leaderboard, axis, p_values)
        for axis in order
        if axis in wanted and leaderboard.groups
    ]


def _axis_chart(leaderboard: Leaderboard, axis: str, p_values: Mapping[str, float]) -> Chart:
    split = split_axis(leaderboard, axis)
    points, best = effect_points(leaderboard, axis, split), best_per_value(leaderboard, axis, split)
    texts = [axis_value_text(leaderboard, axis, value) for value in axis_values(leaderboard, axis)]
    numeric = all(isinstance(p["value"], (int, float)) for p in points)
    log = numeric and is_log_axis(axis, [p["value"] for p in points])
    x: Any = (
        rate_axis(axis, [float(p["value"]) for p in points])
        if log
        else alt.X("text:O", sort=texts, title=axis_title(axis), axis=name_axis(texts))
    )
    scores = [p["score"] for p in points]
    floor = baseline_data(leaderboard, scores)
    y = score_axis(leaderboard, [*scores, *(row["score"] for row in floor)], "test")
    crowded = len(points) > _CROWD
    colour = _split_colour(split, points)
    data = [{**p, "shown": fmt.score(p["score"])} for p in points]
    dots = alt.Chart(rows()).mark_point(size=28 if crowded else 60, filled=True, cursor="pointer")
    dots = dots.encode(
        x=x,
        y=y,
        color=colour,
        opacity=opacity(dimmed(faint=0.06 if crowded else 0.12, full=0.4 if crowded else 1.0)),
        tooltip=tooltip_of(**{axis_title(axis): "text", "score": "shown", "trial": "trial"}),
    )
    line = alt.Chart(alt.NamedData("best")).mark_line(strokeDash=[4, 3], strokeWidth=1.5)
    line = line.encode(x=x, y=y, color=colour, detail=alt.Detail("part:N"))
    base = baseline_rule() if floor else []
    layers = [*base, line, dots] if len(best) > 1 else [*base, dots]
    return Chart(
        key=f"axis-{slug(axis)}",
        title=axis_finding(leaderboard, axis, p_values),
        note="A dot for each trial; dashed lines join the best of each value"
        + "".join(f"; {text}" for text in [baseline_note(leaderboard, bool(floor))] if text)
        + ".",
        spec=finish(alt.layer(*layers), data, 230, best=best, base=floor),
        size="half",
        points=len(data),
    )


def _split_colour(split: str | None, points: Sequence[dict[str, Any]]) -> Any:
    if split is None:
        return alt.ColorValue(ACCENT)
    parts = list(dict.fromkeys(point["part"] for point in points))
    scale = alt.Scale(domain=parts, range=list(CATEGORIES[: len(parts)]))
    return alt.Color("part:N", sort=parts, title=axis_title(split), scale=scale)


def rate_axis(axis: str, values: Sequence[float]) -> alt.X:
    """A logarithmic axis whose labels are the tried values."""
    ticks = sorted(set(values))
    return alt.X(
        "value:Q",
        title=axis_title(axis),
        scale=alt.Scale(type="log", domain=[ticks[0] / 1.8, ticks[-1] * 1.8], nice=False),
        axis=alt.Axis(
            values=ticks,
            labelExpr=CLEAN_RATE,
            grid=False,
            domain=False,
            ticks=False,
            labelOverlap="greedy",
        ),
    )
