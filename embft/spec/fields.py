"""Which fields a spec has, what they may hold, and their defaults.

Only shapes and bounds of single values; the search space is in `space.py`.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNITS = {
    "B": 1,
    **{f"{p}B": 1000 ** (i + 1) for i, p in enumerate("KMGT")},
    **{f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGT")},
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")


class Fields(BaseModel):
    """A section of the spec: immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def parse_size(value: object) -> object:
    """`8GiB`, `500 MB` -> bytes. Plain numbers are bytes already."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    units = {name.lower(): factor for name, factor in _UNITS.items()}
    if match is None or match[2].lower() not in units:
        raise ValueError(f"{value!r} is no size: write a number and a unit, such as 8GiB or 500MB")
    return int(float(match[1]) * units[match[2].lower()])


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Column = Annotated[str, AfterValidator(_text)] | Annotated[int, Field(ge=0)]


class ColumnsSpec(Fields):
    """The columns of the user's files; a number is the position in a file without a header."""

    text_1: Column = "text_1"
    text_2: Column = "text_2"
    label: Column = "label"


class DataSpec(Fields):
    """A built-in dataset, or files of pairs."""

    dataset: Literal["dating"] | None = None
    train: str | None = None
    dev: str | None = None
    test: str | None = None
    columns: ColumnsSpec = ColumnsSpec()
    groups: tuple[Text, ...] = ()
    label_range: tuple[float, float] | None = None
    dev_fraction: float = Field(default=0.1, gt=0, lt=1)
    on_leak: Literal["warn", "drop", "fail"] = "warn"

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        if (self.dataset is None) == (self.train is None):
            raise ValueError("needs either `dataset: dating` or `train: FILE`")
        given = [
            name
            for name, field in type(self).model_fields.items()
            if name not in {"dataset", "on_leak"} and getattr(self, name) != field.default
        ]
        if self.dataset and given:
            raise ValueError(
                f"a built-in dataset has its own files and columns: remove {', '.join(given)}"
            )
        if self.label_range and self.label_range[0] >= self.label_range[1]:
            raise ValueError("label_range must be [low, high] with low below high")
        return self

    def relative_to(self, folder: PurePath) -> DataSpec:
        """The same data with its paths read as relative to `folder`."""
        paths = {name: getattr(self, name) for name in ("train", "dev", "test")}
        moved = {name: str(folder / path) for name, path in paths.items() if path is not None}
        return self.model_copy(update=moved)


class ModelSpec(Fields):
    """The base model: a hub name or a folder in sentence-transformers' format."""

    base: Text = "sentence-transformers/all-MiniLM-L6-v2"
    revision: Text | None = None
    max_tokens: int | None = Field(default=None, ge=4)


class LoraSpec(Fields):
    """Low-rank adaptation (Hu et al., 2021). Without target_modules, the query and value layers."""

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    target_modules: tuple[Text, ...] | None = Field(default=None, min_length=1)


class TrainSpec(Fields):
    """How a trial trains."""

    method: Literal["full", "lora", "none"] = "full"
    loss: Literal["cosine_similarity"] = "cosine_similarity"
    epochs: int = Field(default=4, ge=1, le=10_000)
    batch_size: int = Field(default=16, ge=1, le=100_000)
    learning_rate: float = Field(default=2e-5, gt=0, le=10)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    lora: LoraSpec = LoraSpec()


class Objective(Fields):
    """What "better" means: a metric of the dev split, and its direction."""

    metric: Literal[
        "spearman", "pearson", "auc", "average_precision", "margin", "cohens_d", "f1"
    ] = "spearman"
    mode: Literal["min", "max"] = "max"


class Resources(Fields):
    """What a sweep may use of the machine."""

    concurrent_trials: int = Field(default=1, ge=1, le=1024)
    memory: Size | None = None


Evaluator = Literal["clusters", "collapse", "probe", "retrieval"]


class TrialSpec(Fields):
    """One point of the search space and one seed: everything the user decides about a trial."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    objective: Objective
    seed: int
    evaluators: tuple[Evaluator, ...] = ()

    @property
    def is_baseline(self) -> bool:
        """Whether nothing is trained: the base model is scored as it is."""
        return self.train.method == "none"

    def baseline(self) -> TrialSpec:
        """The untrained trial of the same data and base model."""
        return self.model_copy(update={"train": TrainSpec(method="none"), "seed": 0})

    def normalised(self) -> TrialSpec:
        """The same trial without what cannot change its result, so that equal trials are equal."""
        if self.is_baseline:
            return self.baseline()
        if self.train.method != "lora":
            return self.model_copy(
                update={"train": self.train.model_copy(update={"lora": LoraSpec()})}
            )
        return self
