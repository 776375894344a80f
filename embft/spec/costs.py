"""What a search may lower beside raising the score: the words of `search.objectives`.

The first words are those of `objective.prefer`; `train_seconds` and `latency_p50` are columns of
`leaderboard.csv`. What a finished trial costs, `results/costs.py` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embft.errors import SpecError
from embft.spec.data import DataSpec
from embft.spec.model import ModelSpec
from embft.spec.objective import Preference
from embft.spec.search import Cost, Search
from embft.spec.serving import Serving
from embft.spec.source import Source
from embft.spec.train import TrainSpec

Trained = tuple[DataSpec, ModelSpec, TrainSpec]
"""The sections of a point that decide what it costs."""


@dataclass(frozen=True)
class CostTraits:
    """label: what is counted, in its unit. prefer: the preference of a recommendation that goes by
    it. vary: axes on which trials differ in it. measured: whether it is a time, which another run
    measures otherwise.
    """

    label: str
    prefer: Preference
    vary: str
    measured: bool = False


COSTS: dict[Cost, CostTraits] = {
    "parameters": CostTraits(
        "trainable parameters", "parameters", "train.method, train.lora.rank or model.base"
    ),
    "training": CostTraits(
        "rows trained on", "training", "train.epochs, train.max_steps or the training data"
    ),
    "train_seconds": CostTraits("seconds of training", "training", "any axis", measured=True),
    "serving": CostTraits(
        "bytes of the smallest index of a million vectors", "serving", "any axis"
    ),
    "latency_p50": CostTraits(
        "seconds that a text waits for its embedding (p50)",
        "serving",
        "model.base, model.layer or model.max_tokens",
        measured=True,
    ),
}


def check_costs(
    source: Source,
    search: Search,
    serving: Serving | None,
    points: Sequence[Trained],
) -> None:
    """Raise SpecError, with file and line, for a cost that nothing measures, or that is the same
    for all of these points.
    """
    at = source.at(("search", "objectives"))
    if search.by_service and serving is None:
        raise SpecError(
            f"{at}: search.objectives names {' and '.join(search.costs)}, and nothing measures "
            "what models come to in service: add `serving: true`, or leave that out"
        )
    for cost in search.costs:
        traits = COSTS[cost]
        if all_the_same(cost, points):
            raise SpecError(
                f"{at}: search.objectives names {cost}, the {traits.label}, which is the same for "
                f"all points of this space: vary {traits.vary}, or leave {cost} out"
            )


def all_the_same(cost: Cost, points: Sequence[Trained]) -> bool:
    """Whether these points are known to come to the same cost before any has run."""
    found = {_decided_by(cost, point) for point in points}
    return None not in found and len(found) == 1


def _decided_by(cost: Cost, point: Trained) -> tuple[Any, ...] | None:
    """What a point's cost follows from; None where only its training or its model shows that."""
    data, model, train = point
    if cost == "parameters":
        lora = train.lora if train.method == "lora" else None
        adapter = (lora.variant, lora.rank, lora.target_modules) if lora else None
        return (train.method, adapter, model.base, model.revision, model.layer)
    if cost == "training" and train.early_stopping_patience is None:
        batch = train.batch_size if train.max_steps else None
        return (train.method == "none", train.epochs, train.max_steps, batch, data)
    return (model,) if cost == "latency_p50" else None


def followed(search: Search) -> Preference | None:
    """What is preferred where the spec does not say: the first cost of the search."""
    return COSTS[search.costs[0]].prefer if search.costs else None
