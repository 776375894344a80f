"""The charts of a Pareto front: the score on dev against each cost that a search has kept low."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from embft.leaderboard.front import cost_text, front_finding
from embft.leaderboard.rows import Leaderboard, Weighed
from embft.leaderboard.verdict import group_name
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import (
    baseline_data,
    baseline_note,
    baseline_rule,
    front_marks,
    opacity,
    score_axis,
    tooltip_of,
)
from embft.report.theme import ACCENT
from embft.spec.costs import COSTS
from embft.spec.search import Cost

_KINDS = ("recommended", "on the front", "dominated")
_WIDE = 20  # from this ratio of the ends on an axis is logarithmic


@chart(Section.COST, 5)
def front_charts(leaderboard: Leaderboard) -> list[Chart]:
    """One for each cost; none where the search had the score alone."""
    found = leaderboard.front
    priced = [each for each in found if not each.group.is_base or min(each.costs.values()) > 0]
    return [_front_chart(leaderboard, found, priced, cost) for cost in leaderboard.costs if priced]


def _front_chart(
    leaderboard: Leaderboard, found: Sequence[Weighed], shown: Sequence[Weighed], cost: Cost
) -> Chart:
    data = sorted((_row(leaderboard, w, cost) for w in shown), key=lambda r: r["place"])
    ends = [end for row in data for end in (row["low"], row["high"]) if end is not None]
    scores = [*(row["score"] for row in data), *ends]
    free = baseline_data(leaderboard, scores, "dev") if len(shown) < len(found) else []
    y = score_axis(leaderboard, [*scores, *(row["score"] for row in free)], "dev")
    x = _axis(COSTS[cost].label, [row["cost"] for row in data])
    base = alt.Chart(rows()).encode(x=x, opacity=opacity(dimmed()))
    colour, shape = front_marks(_KINDS)
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.5, aria=False)
    dots = base.mark_point(filled=True, cursor="pointer").encode(
        y=y,
        color=colour,
        shape=shape,
        size=alt.SizeValue(70, condition={"test": "datum.recommended", "value": 190}),
        tooltip=tooltip_of(trial="label", **{"dev score": "shown", "95 %": "between"})
        + tooltip_of(**{COSTS[each].label: each for each in leaderboard.costs}),
    )
    alone = len(leaderboard.costs) == 1
    layers = [
        *([_steps(x, y)] if alone else []),
        bars.encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        dots,
    ]
    return Chart(
        key=f"front-{cost.replace('_', '-')}",
        title=front_finding(leaderboard, found, cost),
        note=_note(leaderboard, drawn=bool(free), free=len(shown) < len(found)),
        spec=finish(
            alt.layer(*(baseline_rule() if free else []), *layers),
            data,
            300,
            base=free,
        ),
        size="wide" if alone else "half",
        points=len(data),
    )


def _note(leaderboard: Leaderboard, *, drawn: bool, free: bool) -> str:
    """free: whether the base model costs nothing; drawn: whether its score is on the chart."""
    alone, baseline = len(leaderboard.costs) == 1, baseline_note(leaderboard, drawn, "dev")
    return (
        "Scores are those on dev, by which the search has gone; bars are their 95 % intervals. "
        "Grey: dominated, since another is at least as good in every objective and better in one"
        + ("." if alone else ", of all that the search had.")
        + (f" The base model costs nothing; {baseline}." if free and baseline else "")
    )


def _steps(x: alt.X, y: alt.Y) -> alt.Chart:
    """The front of two objectives as a stepped line."""
    line = alt.Chart(rows()).mark_line(
        interpolate="step-after", color=ACCENT, strokeWidth=1.5, opacity=0.45, aria=False
    )
    found: alt.Chart = line.transform_filter("datum.front").encode(x=x, y=y)
    return found


def _axis(title: str, costs: Sequence[float]) -> alt.X:
    low, high = min(costs), max(costs)
    log = low > 0 and high / low > _WIDE
    margin = 0.08 * ((high - low) or high or 1.0)
    ends = [low / 1.5, high * 1.5] if log else [max(0.0, low - margin), high + margin]
    return alt.X(
        "cost:Q",
        title=title,
        scale=alt.Scale(type="log" if log else "linear", domain=ends, nice=False),
        axis=alt.Axis(format="~s", grid=False, tickCount=5, labelOverlap=True),
    )


def _row(leaderboard: Leaderboard, each: Weighed, cost: Cost) -> dict[str, Any]:
    group = each.group
    on_front = "on the front" if each.on_front else "dominated"
    kind = "recommended" if group.recommended else on_front
    low, high = each.interval or (None, None)
    return {
        "trial": group.best.trial,
        **({"trials": [row.trial for row in group.rows]} if len(group.rows) > 1 else {}),
        "label": group_name(leaderboard, group),
        "cost": each.costs[cost],
        "score": group.dev_score,
        "low": low,
        "high": high,
        "shown": fmt.score(group.dev_score),
        "between": fmt.interval(each.interval),
        "front": each.on_front,
        "recommended": group.recommended,
        "kind": kind,
        # What is drawn last lies on top.
        "place": -_KINDS.index(kind),
        **{name: cost_text(name, value) for name, value in each.costs.items()},
    }
