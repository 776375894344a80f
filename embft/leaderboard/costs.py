"""What a configuration costs: of those that are good enough the cheapest is recommended."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from embft.leaderboard.pair_scores import train_rows
from embft.leaderboard.rows import Row
from embft.spec.objective import Preference

Cost = tuple[float, ...]
COSTS: dict[Preference, str] = {
    "parameters": "fewest trainable parameters, then fewest rows trained on",
    "training": "fewest rows trained on, then fewest trainable parameters",
    "none": "highest score",
}


def cost(rows: Sequence[Row], prefer: Preference) -> Cost:
    """The cost of a configuration, smaller is cheaper, in the order of `COSTS`.

    Not seconds: what else the machine did would choose among equals, and the same sweep recommend
    something else each time. A base model costs nothing.
    """
    parameters = fmean(row.completed.trainable_parameters for row in rows if row.completed)
    trained_on = fmean(_rows_trained_on(row) for row in rows)
    if prefer == "none":
        return ()
    return (parameters, trained_on) if prefer == "parameters" else (trained_on, parameters)


def _rows_trained_on(row: Row) -> float:
    """In each epoch all that the data has; 0 without training."""
    return row.epochs[-1].epoch * (train_rows(row) or 1) if row.epochs else 0.0
