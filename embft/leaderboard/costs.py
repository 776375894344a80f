"""What a configuration costs: of those that are good enough the cheapest is recommended."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from statistics import fmean

from embft.leaderboard.pair_scores import train_rows
from embft.leaderboard.rows import Row
from embft.leaderboard.serving import chosen_index
from embft.results.costs import rows_trained_on
from embft.spec import Objective
from embft.spec.objective import Preference

Cost = tuple[float, ...]
COSTS: dict[Preference, str] = {
    "parameters": "fewest trainable parameters, then fewest rows trained on",
    "training": "fewest rows trained on, then fewest trainable parameters",
    "serving": "smallest index, then fastest model",
    "none": "highest score",
}


def cost(rows: Sequence[Row], objective: Objective) -> Cost:
    """The cost of a configuration, smaller is cheaper, in the order of `COSTS`.

    Not seconds of training: what else the machine did would choose among equals, and the same sweep
    recommend something else each time. A base model costs nothing but in service.
    """
    prefer = objective.prefer
    parameters = fmean(row.completed.trainable_parameters for row in rows if row.completed)
    trained_on = fmean(_rows_trained_on(row) for row in rows)
    if prefer == "none":
        return ()
    if prefer == "serving":
        return (*_in_service(rows, objective.tolerance), parameters, trained_on)
    return (parameters, trained_on) if prefer == "parameters" else (trained_on, parameters)


def _in_service(rows: Sequence[Row], tolerance: float) -> Cost:
    """Bytes of the smallest index that each seed's own embeddings allow, and seconds of a text.
    What was not measured costs most.
    """
    found = [chosen_index(row, tolerance) for row in rows]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return inf, inf
    size = max(variant.bytes for variant, _ in known)
    return float(size), fmean(1 / serving.speed.texts for _, serving in known)


def _rows_trained_on(row: Row) -> float:
    return rows_trained_on(row.result, train_rows(row) or 1) if row.result else 0.0
