"""Hard negatives that a model finds for the pairs of train: the fields that say how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from embft.spec.base import Below, Column, Fields, Files, Text, moved

MOST = 100
"""Negatives of a row: each is a text more to embed in every step."""
BASE = "base"


class PoolSpec(Fields):
    """A file of texts that negatives are taken from."""

    file: Files
    column: Column = "text"


def _ascending(value: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= value[0] < value[1] <= 10_000:
        raise ValueError("must be [first, last] with 0 <= first < last <= 10000")
    return value


class NegativesSpec(Fields):
    """Negatives by rank (sentence-transformers' `mine_hard_negatives`).

    mine: `base` (the trial's own base model as it is), another model's folder or name, or a
    finished trial. range: how many of the nearest candidates are left out, and up to which rank
    they are taken. margin: a negative's similarity is at most this share of the positive's
    (Moreira et al., 2024); None: any. cross_encoder: judges by the margin in the model's place.
    corpus: texts beside train's own second ones, or the corpus of judged queries.
    """

    mine: Text = BASE
    number: int = Field(default=5, ge=1, le=MOST)
    range: Annotated[tuple[int, int], Field(strict=False), AfterValidator(_ascending)] = (10, 50)
    margin: float | None = Field(default=0.95, gt=0, le=1)
    cross_encoder: Text | None = None
    sampling: Literal["top", "random"] = "top"
    corpus: Files | PoolSpec | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> NegativesSpec:
        first, last = self.range
        if self.number > last - first:
            raise ValueError(
                f"number is {self.number}, and range [{first}, {last}] has {last - first} ranks: "
                "widen the range, or ask for fewer"
            )
        if self.cross_encoder is not None and self.margin is None:
            raise ValueError(
                "cross_encoder judges by the margin, and margin is null: set it, to 0.95 for "
                "instance, or leave cross_encoder out"
            )
        return self

    @property
    def pool(self) -> PoolSpec | None:
        """The file of texts that is named, if there is one."""
        given = self.corpus
        return given if isinstance(given, PoolSpec) or given is None else PoolSpec(file=given)

    def relative_to(self, folder: Below) -> Self:
        """The same with its paths read as relative to `folder`. A model's name is a path where it
        is absolute or begins with a dot, or where such a folder is there.
        """
        found: dict[str, object] = {
            name: _model_at(given, folder)
            for name in ("mine", "cross_encoder")
            if (given := getattr(self, name)) is not None
        }
        if isinstance(self.corpus, PoolSpec):
            file = moved(self.corpus.file, folder)
            found["corpus"] = self.corpus.model_copy(update={"file": file})
        elif self.corpus is not None:
            found["corpus"] = moved(self.corpus, folder)
        return self.model_copy(update=found)


def _model_at(given: str, folder: Below) -> str:
    path = folder / given
    if isinstance(path, Path):
        is_path = given.startswith(".") or path.is_dir()
        return str(path.resolve()) if is_path else given
    if not Path(given).is_absolute():
        return given
    return str(path) if str(path).startswith((".", "/")) else f"./{path}"
