"""The Pareto front of a search with several objectives: configurations that none beats in all.

What is on it is said of dev, by which the search has gone. The recommendation is made as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from statistics import fmean

from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.pair_scores import train_rows
from embft.leaderboard.resampled import Draw
from embft.leaderboard.rows import Group, Interval, Leaderboard, Row, Weighed
from embft.leaderboard.significance import direction
from embft.metrics.resampling import Resampling
from embft.results.costs import Finished, trial_cost
from embft.results.serving import known_serving
from embft.spec.costs import COSTS
from embft.spec.search import Cost


def front(leaderboard: Leaderboard) -> tuple[Weighed, ...]:
    """The configurations whose costs are all known, base models first, the front marked; empty
    where the search had one objective.
    """
    if not leaderboard.costs:
        return ()
    draw = Draw(leaderboard.metric, Resampling(only=(leaderboard.metric,)))
    groups = (*leaderboard.bases, *leaderboard.groups)
    found = [w for group in groups if (w := _weighed(leaderboard, group, draw)) is not None]
    sign = direction(leaderboard.mode)
    marks = pareto_front(
        [sign * each.group.dev_score for each in found],
        [tuple(each.costs.values()) for each in found],
    )
    return tuple(replace(w, on_front=mark) for w, mark in zip(found, marks, strict=True))


def pareto_front(gains: Sequence[float], costs: Sequence[Sequence[float]]) -> list[bool]:
    """Which points no other dominates: none gains as much at no higher cost, and more, or at less.

    costs: of each point one or several. A point without a number in one of them is none of these.
    """
    points = [(-gain, *cost) for gain, cost in zip(gains, costs, strict=True)]
    whole = [i for i, point in enumerate(points) if not any(map(isnan, point))]
    marks, kept = [False] * len(points), list[tuple[float, ...]]()
    # Who dominates a point stands before it in this order, or is dominated by one that does.
    for i in sorted(whole, key=points.__getitem__):
        marks[i] = not any(_dominates(other, points[i]) for other in kept)
        if marks[i]:
            kept.append(points[i])
    return marks


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _weighed(leaderboard: Leaderboard, group: Group, draw: Draw) -> Weighed | None:
    """A configuration with its costs; None where one was measured for none of its seeds."""
    costs: dict[Cost, float] = {}
    for cost in leaderboard.costs:
        values = [row_cost(leaderboard, row, cost) for row in group.rows]
        known = [value for value in values if value is not None]
        if not known:
            return None
        costs[cost] = max(known) if cost == "serving" else fmean(known)
    return Weighed(group, costs, _interval(leaderboard, group, draw))


def row_cost(leaderboard: Leaderboard, row: Row, cost: Cost) -> float | None:
    """What a trial costs; None where it has not completed, or that was not measured."""
    if row.completed is None:
        return None
    tolerance = leaderboard.decision.objective.tolerance if leaderboard.decision else 0.0
    done = Finished(row.completed, train_rows(row) or 0, known_serving(row.folder), tolerance)
    return trial_cost(cost, done)


def _interval(leaderboard: Leaderboard, group: Group, draw: Draw) -> Interval | None:
    """Of the score on dev, over seeds where there are several."""
    if len(group.rows) == 1:
        return group.best.dev_intervals.get(leaderboard.metric)
    drawn = draw.of(group.rows, "dev")
    found = drawn.result.intervals.get(leaderboard.metric) if drawn else None
    return (found.low, found.high) if found else None


def front_finding(leaderboard: Leaderboard, found: Sequence[Weighed], cost: Cost) -> str:
    """How far the front reaches along one cost."""
    on = sorted((w for w in found if w.on_front), key=lambda w: w.costs[cost])
    what = f"{metric_label(leaderboard.metric)} against {COSTS[cost].label}"
    if len(on) < 2:
        return f"{what}: one of {len(found)} is the best in every objective"
    ends = [
        f"{number(w.group.dev_score)} at {cost_text(cost, w.costs[cost])}" for w in (on[0], on[-1])
    ]
    return f"{len(on)} of {len(found)} are on the Pareto front, from {ends[0]} to {ends[1]}"


def front_sentence(leaderboard: Leaderboard) -> str | None:
    """The front in the answer; None where the search had one objective, or nothing has ended."""
    found = leaderboard.front
    if not found:
        return None
    objectives = [metric_label(leaderboard.metric), *(COSTS[c].label for c in leaderboard.costs)]
    on = sum(each.on_front for each in found)
    return (
        f"{on} of {len(found)} configurations, base models among them, "
        f"{'is' if on == 1 else 'are'} on the Pareto front of {_listed(objectives)} on dev: none "
        "is better in one of these and as good in the others."
    )


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def cost_text(cost: Cost, value: float) -> str:
    """A cost with its unit, in few words."""
    return " ".join([cost_number(cost, value), *_COUNTED.get(cost, ())])


def cost_number(cost: Cost, value: float) -> str:
    """The same where a title says what is counted: a unit of measurement stays."""
    return _NUMBERS[cost](value)


_COUNTED: dict[Cost, tuple[str]] = {"parameters": ("parameters",), "training": ("rows",)}
_NUMBERS: dict[Cost, Callable[[float], str]] = {
    "parameters": lambda value: f"{value:,.0f}",
    "training": lambda value: f"{value:,.0f}",
    "train_seconds": lambda value: f"{value:,.3g} s",
    "serving": lambda value: f"{value / 1e6:,.4g} MB",
    "latency_p50": lambda value: f"{1000 * value:.3g} ms",
}
