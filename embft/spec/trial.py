"""A trial: one point of the search space and one seed."""

from __future__ import annotations

from embft.spec.base import Fields
from embft.spec.data import DataSpec
from embft.spec.evaluators import EvaluatorSpec
from embft.spec.model import ModelSpec
from embft.spec.objective import Goal
from embft.spec.train import TrainSpec


class TrialSpec(Fields):
    """One point of the search space and one seed: everything the user decides about a trial."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    objective: Goal
    seed: int
    evaluators: tuple[EvaluatorSpec, ...] = ()

    @property
    def is_baseline(self) -> bool:
        """Whether nothing is trained: the base model is scored as it is."""
        return self.train.method == "none"

    def baseline(self) -> TrialSpec:
        """The trial of the same data and base model without fine-tuning."""
        return self.model_copy(update={"train": TrainSpec(method="none"), "seed": 0})

    def normalised(self) -> TrialSpec:
        """The same trial without what cannot change its result, so that equal trials are equal."""
        if self.is_baseline:
            return self.baseline()
        same = self.train.without_effect()
        if not same:
            return self
        return self.model_copy(update={"train": self.train.model_copy(update=same)})
