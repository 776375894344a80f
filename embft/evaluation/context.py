"""What an evaluator is given, and what it may return. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sentence_transformers import SentenceTransformer

from embft.data.pairs import Splits
from embft.evaluation.embed import Embedded

Found = dict[str, float | str]
"""Metrics by name; a text in place of a number says why the metric is undefined."""


@dataclass(frozen=True)
class Context:
    """A model and the data to judge it on.

    embedded: the splits `dev` and `test`, each pair's two embeddings as the model gives them.
    threshold: the cosine from which dev counts a pair as positive, None where labels are graded.
    seed: for evaluators that draw at random.
    """

    model: SentenceTransformer
    splits: Splits
    embedded: Mapping[str, Embedded]
    threshold: float | None
    seed: int


Evaluator = Callable[[Context], dict[str, Found]]
"""Metrics by split, `dev` and `test`; a split may be absent."""
