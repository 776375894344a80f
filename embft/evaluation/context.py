"""What an evaluator is given, and what it may return. Computes nothing, and loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embft.data.pairs import Splits
from embft.results.units import UnitValues

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embft.evaluation.embed import Embedded

Interval = tuple[float, float]
Progress = Callable[[int, int, float], None]
"""Called with texts done, all texts, and the seconds that are left."""
EVALUATED = ("dev", "test")


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, None where there is none, and what it is made of by unit,
    with which models are compared.
    """

    value: float
    interval: Interval | None = None
    by_unit: UnitValues | None = None


Found = dict[str, float | str | Estimate]
"""Metrics by name; a text in place of a number says why the metric is undefined."""


@dataclass(frozen=True)
class Context:
    """A model and the data to judge it on.

    embedded: the splits `dev` and `test`, each pair's two embeddings as the model gives them.
    threshold: the cosine from which dev counts a pair as positive, None where labels are graded.
    seed: for evaluators that draw at random. asked: the splits that are wanted; in training dev
    alone, and then `test` is dev. folder: where an evaluator may leave a file; None in training and
    outside of trials. progress: called while a large corpus is encoded.
    """

    model: SentenceTransformer
    splits: Splits
    embedded: Mapping[str, Embedded]
    threshold: float | None
    seed: int
    asked: tuple[str, ...] = EVALUATED
    folder: Path | None = None
    progress: Progress | None = None


def reasons(metrics: Iterable[str], reason: str) -> Found:
    """One reason why all of these metrics are undefined."""
    return dict.fromkeys(metrics, reason)
