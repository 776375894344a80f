"""How a trial trains: the fields of `train`, what they may hold, and their defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from embft.spec.base import Fields
from embft.spec.losses import LossSpec
from embft.spec.model import LoraSpec, ModelSpec
from embft.spec.shape import Shape


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
