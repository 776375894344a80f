"""The charts over epochs and against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt

from embft.leaderboard.axes import (
    axis_value_text,
    axis_values,
    chart_axes,
    leading_range,
    swings,
    visible_range,
)
from embft.leaderboard.curves import (
    CostPoint,
    CurvePoint,
    by_steps,
    cost_points,
    curve_points,
    curve_rows,
)
from embft.leaderboard.findings import cost_finding, epochs_finding, time_finding
from embft.leaderboard.labels import axis_title
from embft.leaderboard.rows import Leaderboard
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import (
    baseline_data,
    baseline_note,
    baseline_rule,
    cut_off,
    opacity,
    score_axis,
    tooltip_of,
)
from embft.report.theme import ACCENT, CATEGORIES, MUTED, SURFACE

_THIN, _THICK = 1.4, 4.5  # pixels
_PICKED = "datum.trial === picked || isArray(datum.trials) && indexof(datum.trials, picked) >= 0"


@chart(Section.EPOCHS, 10)
def epochs_chart(leaderboard: Leaderboard) -> Chart | None:
    """Dev score at each evaluation, a line for each trial, the chosen ones marked: over epochs, or
    over steps where some evaluations came within an epoch.
    """
    leaderboard = replace(leaderboard, metric=leaderboard.epoch_metric)
    shown = curve_rows(leaderboard)
    points = curve_points(leaderboard, shown)
    if not points:
        return None
    axis = _colour_axis(leaderboard)
    params = {row.trial: row.params for row in shown}
    values = (
        [axis_value_text(leaderboard, axis, v) for v in axis_values(leaderboard, axis)]
        if axis
        else []
    )
    cut = visible_range([p.score for p in points], leaderboard.mode == "max")
    data = [
        {
            "trial": p.trial,
            "label": p.label,
            "epoch": round(p.epoch, 2),
            "step": p.step,
            "score": cut_off(p.score, cut),
            "shown": fmt.score(p.score),
            "loss": fmt.score(p.loss),
            "chosen": p.chosen,
            "outside": cut_off(p.score, cut) != p.score,
            "lead": p.recommended,
            "pruned": p.pruned,
            "colour": axis_value_text(leaderboard, axis, params[p.trial].get(axis)) if axis else "",
        }
        for p in points
    ]
    steps = by_steps(p.epoch for p in points)
    drawn = [cut_off(p.score, cut) for p in points]
    floor = baseline_data(leaderboard, drawn, "dev")
    x = _step_axis(points) if steps else _epoch_axis(points)
    y = score_axis(leaderboard, [*drawn, *(row["score"] for row in floor)], "dev")
    colour: Any = (
        alt.Color(
            "colour:N",
            sort=values,
            title=axis_title(axis),
            scale=alt.Scale(domain=values, range=list(CATEGORIES[: len(values)])),
        )
        if axis
        else alt.ColorValue(ACCENT)
    )
    base = alt.Chart(rows()).encode(x=x, y=y, opacity=opacity(dimmed()))
    # Layers, so that the thick line lies above the others, and what was stopped early below them.
    grey: Any = alt.ColorValue(MUTED)
    lines = [
        base.transform_filter(test)
        .mark_line(cursor="pointer", interpolate="monotone", strokeWidth=width)
        .encode(color=shade, detail=alt.Detail("trial:N"))
        for test, width, shade in (
            ("datum.pruned", _THIN, grey),
            ("!datum.pruned && !datum.lead", _THIN, colour),
            ("datum.lead", _THICK, colour),
        )
    ]
    tooltip = tooltip_of(
        trial="label", epoch="epoch", step="step", **{"dev score": "shown", "loss": "loss"}
    )
    dots = base.mark_point(filled=True, size=22, cursor="pointer").encode(
        color=colour, tooltip=tooltip
    )
    chosen = base.transform_filter("datum.chosen").mark_point(
        size=110, strokeWidth=2.2, filled=False, fill=SURFACE, cursor="pointer"
    )
    chosen = chosen.encode(color=colour, tooltip=tooltip)
    arrow = "▼" if leaderboard.mode == "max" else "▲"
    outside = base.transform_filter("datum.outside").mark_text(text=arrow, fontSize=11)
    note = f"The ring marks the {'evaluation' if steps else 'epoch'} that was kept, chosen on dev"
    note += "; the thick line is the recommended trial" if any(d["lead"] for d in data) else ""
    note += "; grey are trials that were stopped early" if any(d["pruned"] for d in data) else ""
    note += f"; {arrow} lies off the chart" if any(d["outside"] for d in data) else ""
    place = "0.62 * width" if max(p.epoch for p in points) <= 4 else "0.55 * width"
    rule = baseline_rule(place) if floor else []
    about = baseline_note(leaderboard, bool(floor), "dev")
    note += f"; {about}" if about else ""
    total = sum(bool(row.epochs) and not row.is_baseline for row in leaderboard.rows)
    note += f". The first {len(shown)} of {total} trials are drawn." if total > len(shown) else "."
    return Chart(
        key="epochs",
        title=epochs_finding(leaderboard),
        note=note,
        spec=finish(
            alt.layer(*rule, *lines, dots, chosen, outside.encode(color=colour)),
            data,
            340,
            base=floor,
        ),
        points=len(data),
    )


@chart(Section.COST, 10)
def cost_charts(leaderboard: Leaderboard) -> list[Chart]:
    """Score against training time, and against the number of trained parameters."""
    points = cost_points(leaderboard)
    if not points:
        return []
    seconds = _cost_chart(leaderboard, points, "seconds", "training time (seconds)")
    sizes = _cost_chart(leaderboard, points, "parameters", "trained parameters")
    return [sizes, seconds] if len({p.parameters for p in points}) > 1 else [seconds]


def _cost_chart(
    leaderboard: Leaderboard, points: Sequence[CostPoint], cost: str, title: str
) -> Chart:
    front = [getattr(p, f"on_{cost}_front") for p in points]
    cut = leading_range(leaderboard) or (None, None)
    data = [
        {
            "trial": p.trial,
            **({"trials": list(p.trials)} if len(p.trials) > 1 else {}),
            "label": p.label,
            "cost": max(getattr(p, cost), 1e-3),
            "cost_text": fmt.duration(p.seconds) if cost == "seconds" else fmt.count(p.parameters),
            "score": cut_off(p.score, cut),
            "low": p.interval[0] if p.interval else None,
            "high": p.interval[1] if p.interval else None,
            "shown": fmt.score(p.score),
            "front": on_front,
            "outside": cut_off(p.score, cut) != p.score,
            "best": p.recommended,
            "kind": "recommended" if p.recommended else "on the front" if on_front else "other",
        }
        for p, on_front in zip(points, front, strict=True)
    ]
    # What is drawn last lies on top: the recommended, above the front, above the others.
    data.sort(key=lambda d: (bool(d["best"]), bool(d["front"])))
    costs = [max(float(getattr(p, cost)), 1e-3) for p in points]
    log = max(costs) / min(costs) > 20
    wide = (max(costs) - min(costs)) or max(costs)
    domain = (
        [min(costs) / 1.5, max(costs) * 1.5]
        if log
        else [max(0.0, min(costs) - 0.12 * wide), max(costs) + 0.12 * wide]
    )
    x = alt.X(
        "cost:Q",
        title=title,
        scale=alt.Scale(type="log" if log else "linear", domain=domain, nice=False),
        axis=alt.Axis(format="~s", grid=False, tickCount=5, labelOverlap=True),
    )
    ends = [end for d in data if not d["outside"] for end in (d["low"], d["high"]) if end]
    scores = [cut_off(p.score, cut) for p in points] + ends
    y = score_axis(leaderboard, scores, "test")
    kinds = ["recommended", "on the front", "other"]
    colour = alt.Color(
        "kind:N",
        sort=kinds,
        title=None,
        scale=alt.Scale(domain=kinds, range=[CATEGORIES[1], ACCENT, MUTED]),
    )
    base = alt.Chart(rows()).encode(x=x, opacity=opacity(dimmed(_PICKED)))
    seen = "!datum.outside"
    bars = base.transform_filter(f"isValid(datum.low) && {seen}").mark_rule(
        strokeWidth=1.5, aria=False
    )
    bars = bars.encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour)
    steps = (
        alt.Chart(rows())
        .transform_filter("datum.front")
        .mark_line(
            interpolate="step-after", color=ACCENT, strokeWidth=1.5, opacity=0.45, aria=False
        )
        .encode(x=x, y=y)
    )
    shape = alt.Shape(
        "kind:N",
        sort=kinds,
        title=None,
        scale=alt.Scale(domain=kinds, range=["diamond", "circle", "circle"]),
    )
    size = alt.SizeValue(70, condition={"test": "datum.best", "value": 190})
    tooltip = tooltip_of(trial="label", score="shown", **{title.partition(" (")[0]: "cost_text"})
    arrow = "▼" if leaderboard.mode == "max" else "▲"
    away = base.transform_filter("datum.outside").mark_text(text=arrow, fontSize=12)
    away = away.encode(y=y, color=colour, tooltip=tooltip)
    dots = (
        base.transform_filter(seen)
        .mark_point(filled=True, cursor="pointer")
        .encode(
            y=y,
            color=colour,
            shape=shape,
            size=size,
            tooltip=tooltip,
        )
    )
    by_size = cost == "parameters"
    return Chart(
        key=f"cost-{cost}",
        title=cost_finding(leaderboard) if by_size else time_finding(leaderboard),
        note="Bars are 95 % intervals. Nothing is both better and cheaper than the points on the "
        "stepped line (the Pareto front)."
        + (f" {arrow} lies off the chart." if any(d["outside"] for d in data) else ""),
        spec=finish(alt.layer(steps, bars, dots, away), data, 280),
        size="half" if len({p.parameters for p in points}) > 1 else "wide",
        points=len(data),
    )


def _colour_axis(leaderboard: Leaderboard) -> str | None:
    """The axis that colours the curves: the one that moves the score furthest, of few values."""
    order = [swing.axis for swing in swings(leaderboard)] + list(chart_axes(leaderboard))
    usable = (axis for axis in order if 1 < len(axis_values(leaderboard, axis)) <= len(CATEGORIES))
    return next(usable, None)


def _epoch_axis(points: Sequence[CurvePoint]) -> alt.X:
    last = max(p.epoch for p in points)
    return alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=[1, max(last, 2)], nice=False, padding=14),
        axis=alt.Axis(values=_epoch_ticks(int(last)), format="d", grid=False),
    )


def _step_axis(points: Sequence[CurvePoint]) -> alt.X:
    first, last = min(p.step for p in points), max(p.step for p in points)
    return alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(domain=[first, max(last, first + 1)], nice=False, padding=14),
        axis=alt.Axis(format="~s", grid=False, tickCount=8, labelOverlap=True),
    )


def _epoch_ticks(last: int) -> list[int]:
    step = max(1, -(-last // 12))
    return [1, *range(step, last + 1, step)] if step > 1 else list(range(1, max(last, 2) + 1))
