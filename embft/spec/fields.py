"""Which fields a spec has, what they may hold, and their defaults.

Only shapes and bounds of single values; the data section is in `data.py`, the model's in
`model.py`, the search space in `space.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from embft.spec.base import Fields, Text
from embft.spec.data import DataSpec
from embft.spec.evaluators import EvaluatorSpec
from embft.spec.losses import LossSpec
from embft.spec.model import LoraSpec, ModelSpec
from embft.spec.shape import Shape

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class TrainSpec(Fields):
    """How a trial trains. Steps are those of the optimizer."""

    method: Literal["full", "lora", "none"] = "full"
    loss: LossSpec = LossSpec()
    epochs: int = Field(default=4, ge=1, le=10_000)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1, le=100_000)
    micro_batch_size: int | None = Field(default=None, ge=1)
    sampler: Literal["auto", "shuffled", "no_duplicates"] = "auto"
    evaluation_steps: int | None = Field(default=None, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0, le=10)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    lora: LoraSpec = LoraSpec()

    @model_validator(mode="after")
    def _micro_batch_fits(self) -> TrainSpec:
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"micro_batch_size is {self.micro_batch_size}, more than batch_size "
                f"{self.batch_size}: it is the part of a batch that is in memory at once"
            )
        return self

    @property
    def avoids_duplicates(self) -> bool:
        """Whether no text may stand twice in a batch: losses that compare rows would take it for
        its own negative.
        """
        sampler = self._own_sampler if self.sampler == "auto" else self.sampler
        return sampler == "no_duplicates"

    @property
    def _own_sampler(self) -> str:
        """What `sampler: auto` stands for."""
        traits = self.loss.traits
        in_batch = Shape.LABELLED not in traits.shapes and traits.compares_rows
        return "no_duplicates" if in_batch else "shuffled"

    def without_effect(self) -> dict[str, Any]:
        """The fields that say what would be so without them, and that as it is without them."""
        found: dict[str, Any] = {}
        if self.method != "lora" and self.lora != LoraSpec():
            found["lora"] = LoraSpec()
        if self.sampler == self._own_sampler:
            found["sampler"] = "auto"
        # Cached losses have a part of their own size where none is given.
        if self.micro_batch_size == self.batch_size and not self.loss.traits.cached:
            found["micro_batch_size"] = None
        return found


class Goal(Fields):
    """What "better" means: a metric of the dev split (see `objective.py`), and its direction."""

    metric: Text = "spearman"
    mode: Literal["min", "max"] = "max"


Preference = Literal["parameters", "training", "none"]


class Objective(Goal):
    """The goal, and how a sweep's results become a recommendation. That is asked of the results and
    changes none of them, so a trial knows the goal alone.

    tolerance: how much worse than the best, in the metric's own unit, is as good. prefer: what
    makes one of those cheaper than another: fewer trainable parameters, fewer rows trained on, or
    nothing, so that the highest score is taken.
    """

    tolerance: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    prefer: Preference = "parameters"

    @property
    def goal(self) -> Goal:
        """The metric and the direction, which is all that a trial needs of an objective."""
        return Goal(metric=self.metric, mode=self.mode)


def untrainable_reason(model: ModelSpec, train: TrainSpec) -> str | None:
    """Why such a base cannot be trained so, and what to do; None when it can."""
    if train.method != "full":
        return None
    if model.quantization != "none":
        return (
            f"model.quantization is {model.quantization} and train.method is full: quantised "
            "weights cannot be trained; set train.method to lora, or model.quantization to none"
        )
    if model.dtype == "float16" and train.precision == "fp16":
        return (
            "model.dtype is float16, train.precision fp16 and train.method full: in fp16 weights "
            "are trained in float32; leave model.dtype out or set it to float32, or train.method "
            "to lora"
        )
    return None


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
