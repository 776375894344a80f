"""Which metric a recorded name stands for: an evaluator's entry may stand before it."""

from __future__ import annotations

from embft.leaderboard.rows import Leaderboard
from embft.metrics import registry
from embft.metrics.metric import Metric


def metric_of(leaderboard: Leaderboard, name: str) -> Metric:
    """One that every trial has, one of the sweep's evaluators, or what the name says."""
    if name in registry.in_every_trial():
        return registry.METRICS[name]
    completed = next((row.completed for row in leaderboard.rows if row.completed), None)
    entries = completed.spec.evaluators if completed else ()
    found = (entry.metric(name) for entry in entries)
    return next((each for each in found if each), registry.metric(name))
