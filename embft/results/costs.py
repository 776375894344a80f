"""What one finished trial costs, by the words of `search.objectives`: smaller is cheaper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from embft.results.records import Completed, TrialResult
from embft.results.serving import Serving, smallest
from embft.spec.search import Cost


@dataclass(frozen=True)
class Finished:
    """A completed trial. rows: of its training data. serving: what was measured of its model in
    service, if it was. tolerance: how much a smaller index may lose.
    """

    record: Completed
    rows: int
    serving: Serving | None
    tolerance: float


def trial_cost(cost: Cost, trial: Finished) -> float | None:
    """A trial's cost in the unit of `spec.costs.COSTS`; None where it was not measured."""
    return _COSTS[cost](trial)


def rows_trained_on(record: TrialResult, rows: int) -> float:
    """In each epoch all rows that the data has; 0 without training."""
    return record.epochs[-1].epoch * rows if record.epochs else 0.0


def _index_bytes(trial: Finished) -> float | None:
    found = trial.serving
    return None if found is None else float(smallest(found.variants, trial.tolerance).bytes)


_COSTS: dict[Cost, Callable[[Finished], float | None]] = {
    "parameters": lambda trial: float(trial.record.trainable_parameters),
    "training": lambda trial: rows_trained_on(trial.record, trial.rows),
    "train_seconds": lambda trial: trial.record.timings.train,
    "serving": _index_bytes,
    "latency_p50": lambda trial: trial.serving.speed.p50 if trial.serving else None,
}
