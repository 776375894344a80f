"""The Pareto front of a search as a table of the page: its configurations, the cheapest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embft.leaderboard.front import cost_number
from embft.leaderboard.rows import Interval, Leaderboard, Weighed
from embft.leaderboard.verdict import group_name
from embft.spec.costs import COSTS


@dataclass(frozen=True)
class FrontLine:
    """One configuration on the front. costs: with their units, in the order of the search's."""

    trial: str
    label: str
    recommended: bool
    dev: float
    interval: Interval | None
    test: float
    costs: Sequence[str]


@dataclass(frozen=True)
class FrontTable:
    """costs: the titles of their columns. lines: none where the search had the score alone."""

    title: str
    costs: Sequence[str]
    lines: Sequence[FrontLine]


def front_table(leaderboard: Leaderboard) -> FrontTable:
    """The configurations on the front."""
    found = leaderboard.front
    on = sorted((w for w in found if w.on_front), key=lambda w: tuple(w.costs.values()))
    return FrontTable(
        title=f"The Pareto front: {len(on)} of {len(found)} configurations",
        costs=[COSTS[cost].label for cost in leaderboard.costs],
        lines=[_line(leaderboard, each) for each in on],
    )


def _line(leaderboard: Leaderboard, each: Weighed) -> FrontLine:
    group = each.group
    return FrontLine(
        trial=group.best.trial,
        label=group_name(leaderboard, group),
        recommended=group.recommended,
        dev=group.dev_score,
        interval=each.interval,
        test=group.score,
        costs=[cost_number(cost, value) for cost, value in each.costs.items()],
    )
