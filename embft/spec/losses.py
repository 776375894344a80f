"""The losses by name: what each needs of the data, and which parameters it has.

Names are sentence-transformers' class names without "Loss". Knows no torch, so that a plan can
refuse what does not fit; `training/losses.py` builds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from embft.spec.base import Fields, Numbers
from embft.spec.shape import Shape

LossName = Literal[
    "cosine_similarity",
    "cosent",
    "angle",
    "contrastive",
    "online_contrastive",
    "triplet",
    "multiple_negatives_ranking",
    "multiple_negatives_symmetric_ranking",
    "cached_multiple_negatives_ranking",
    "cached_multiple_negatives_symmetric_ranking",
    "gist_embed",
    "cached_gist_embed",
    "mega_batch_margin",
]


@dataclass(frozen=True)
class LossTraits:
    """shapes: the data it takes. parameters: the fields of `train.loss` that it has.

    compares_rows: its value depends on which rows share a batch, so batch size matters beyond
    averaging. negatives: the most in a row that it takes; None: any number. cached: keeps
    embeddings of the whole batch and runs the model part by part, so that `micro_batch_size` bounds
    memory without changing the batch. binary: takes only labels 0 and 1.
    """

    shapes: tuple[Shape, ...]
    parameters: tuple[str, ...] = ()
    compares_rows: bool = False
    cached: bool = False
    binary: bool = False
    negatives: int | None = None

    def least_rows(self, shape: Shape) -> int:
        """How many rows must stand side by side for the loss to be more than 0.

        A row that has only itself to be compared with gives no gradient; one with a negative of its
        own does.
        """
        return 2 if self.compares_rows and shape != Shape.TRIPLETS else 1


CACHED_PART = 32
"""Rows that a cached loss has in memory at once, where `micro_batch_size` names no number."""
_IN_BATCH = (Shape.POSITIVES, Shape.TRIPLETS)
LOSSES: dict[str, LossTraits] = {
    "cosine_similarity": LossTraits((Shape.LABELLED,)),
    "cosent": LossTraits((Shape.LABELLED,), ("temperature",), compares_rows=True),
    "angle": LossTraits((Shape.LABELLED,), ("temperature",), compares_rows=True),
    "contrastive": LossTraits((Shape.LABELLED,), ("margin", "distance"), binary=True),
    "online_contrastive": LossTraits(
        (Shape.LABELLED,), ("margin", "distance"), compares_rows=True, binary=True
    ),
    "triplet": LossTraits((Shape.TRIPLETS,), ("margin", "distance")),
    "multiple_negatives_ranking": LossTraits(_IN_BATCH, ("temperature",), compares_rows=True),
    "multiple_negatives_symmetric_ranking": LossTraits(
        _IN_BATCH, ("temperature",), compares_rows=True
    ),
    "cached_multiple_negatives_ranking": LossTraits(
        _IN_BATCH, ("temperature",), compares_rows=True, cached=True
    ),
    "cached_multiple_negatives_symmetric_ranking": LossTraits(
        _IN_BATCH, ("temperature",), compares_rows=True, cached=True
    ),
    "gist_embed": LossTraits(_IN_BATCH, ("temperature", "margin"), compares_rows=True, negatives=1),
    "cached_gist_embed": LossTraits(
        _IN_BATCH, ("temperature", "margin"), compares_rows=True, cached=True
    ),
    "mega_batch_margin": LossTraits((Shape.POSITIVES,), compares_rows=True),
}


class LossSpec(Fields):
    """A loss and its parameters; those left out are sentence-transformers' own defaults.

    temperature: what similarities are divided by. margin, distance: between texts that do not
    belong together; of GIST by how much the guide must find a negative less similar than the
    positive. matryoshka_dims: train these leading dimensions of the embedding as well, each
    with the same weight (Kusupati et al., 2022).
    """

    name: LossName = "cosine_similarity"
    temperature: float | None = Field(default=None, gt=0, le=100)
    margin: float | None = Field(default=None, gt=0, le=1000)
    distance: Literal["cosine", "euclidean", "manhattan"] | None = None
    # Not strict: what has passed the validator before is Python, where a list is no tuple.
    matryoshka_dims: Annotated[Numbers, Field(min_length=1, strict=False)] | None = None

    @property
    def traits(self) -> LossTraits:
        """What this loss needs and does."""
        return LOSSES[self.name]

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        """`loss: cosent` is short for `loss: {name: cosent}`."""
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_its_parameters(self) -> LossSpec:
        for name in ("temperature", "margin", "distance"):
            if getattr(self, name) is not None and name not in self.traits.parameters:
                takes = ", ".join((*self.traits.parameters, "matryoshka_dims"))
                raise ValueError(f"{self.name} has no {name}; it takes {takes}")
        if any(dim < 1 for dim in self.matryoshka_dims or ()):
            raise ValueError("matryoshka_dims must be whole numbers above 0")
        return self


def losses_for(shape: Shape) -> list[str]:
    """The losses that take data of this shape."""
    return [name for name, traits in LOSSES.items() if shape in traits.shapes]


def unfit_reason(loss: LossSpec, shape: Shape, *, binary: bool, negatives: int = 1) -> str | None:
    """Why this loss cannot train on such data, and what to do; None when it can. negatives: of each
    triplet.
    """
    traits = loss.traits
    if shape not in traits.shapes:
        wanted = ", or ".join(each.meaning for each in traits.shapes)
        return (
            f"{loss.name} needs {wanted}; the training data are {shape.meaning}. Losses for such "
            f"data: {', '.join(losses_for(shape))}"
        )
    if traits.binary and not binary:
        return f"{loss.name} needs labels 0 and 1, and these are graded: use cosent or angle"
    if traits.negatives is not None and shape == Shape.TRIPLETS and negatives > traits.negatives:
        return (
            f"{loss.name} takes one negative in a row, and the training data have {negatives}: use "
            f"cached_{loss.name}, which takes any number and otherwise computes the same"
        )
    return None
