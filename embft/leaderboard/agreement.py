"""Whether the metrics agree on the order of the configurations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embft.leaderboard.labels import config_label
from embft.leaderboard.metrics import metric_of
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import mean_metrics
from embft.metrics.pairs import kendall_tau


@dataclass(frozen=True)
class Agreement:
    """One metric beside the objective, over the completed configurations, on test.

    tau: Kendall's tau-b between the two orders, better first in both; None where one of them has
    no order. first: the configuration that this metric puts first. place: where it puts the
    recommended one, counted from 1.
    """

    metric: str
    tau: float | None
    first: str
    first_trial: str
    place: int | None


def agreements(leaderboard: Leaderboard) -> list[Agreement]:
    """The objective first, then every metric that all completed configurations have."""
    tables = [mean_metrics(group.rows) for group in leaderboard.groups]
    if not tables:
        return []
    ranked = [name for name in tables[0] if metric_of(leaderboard, name).direction]
    names = [name for name in ranked if all(name in table for table in tables)]
    names.sort(key=lambda name: name != leaderboard.metric)
    sign = 1.0 if leaderboard.mode == "max" else -1.0
    goal = np.array([sign * group.score for group in leaderboard.groups])
    return [
        _agreement(leaderboard, name, [table[name] for table in tables], goal) for name in names
    ]


def _agreement(
    leaderboard: Leaderboard, metric: str, values: list[float], goal: np.ndarray
) -> Agreement:
    better = np.array(values) * (1.0 if metric_of(leaderboard, metric).higher_is_better else -1.0)
    tau = kendall_tau(better, goal) if len(values) > 1 else float("nan")
    first = leaderboard.groups[int(np.argmax(better))]
    shipped = next((i for i, group in enumerate(leaderboard.groups) if group.recommended), None)
    place = None if shipped is None else int((better > better[shipped]).sum()) + 1
    return Agreement(
        metric=metric,
        tau=tau if np.isfinite(tau) else None,
        first=config_label(first.params, leaderboard.axes),
        first_trial=first.best.trial,
        place=place,
    )
