"""Texts -> embeddings, pairs -> cosines. Judges nothing: `scoring.py` and the evaluators do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs, Splits
from embft.encoding.prompts import side_prompt
from embft.evaluation.context import EVALUATED
from embft.spec.sides import Side

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Embeddings = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Embedded:
    """The embeddings of n pairs as the model gives them: `first` and `second` are (n, width)."""

    first: Embeddings
    second: Embeddings


def embed_splits(model: SentenceTransformer, splits: Splits) -> dict[str, Embedded]:
    """The embeddings of dev and test. A text that repeats in either is encoded once.

    Where dev stands in for test, both are the same object.
    """
    if splits.test is splits.dev:
        (dev,) = _embed_all(model, [splits.dev])
        return dict.fromkeys(EVALUATED, dev)
    found = _embed_all(model, [splits[name] for name in EVALUATED])
    return dict(zip(EVALUATED, found, strict=True))


def pair_cosines(model: SentenceTransformer, pairs: Pairs) -> Scores:
    """The cosine of each pair's two texts, shape (n,). A text that repeats is encoded once."""
    return cosines(embed_pairs(model, pairs))


def embed_pairs(model: SentenceTransformer, pairs: Pairs) -> Embedded:
    """The embeddings of these pairs. A text that repeats is encoded once."""
    (embedded,) = _embed_all(model, [pairs])
    return embedded


def cosines(embedded: Embedded) -> Scores:
    """The cosine of each pair, shape (n,), computed in float64; 0 where an embedding is zero."""
    dot, one, other = (
        np.einsum("ij,ij->i", left, right, dtype=np.float64)
        for left, right in (
            (embedded.first, embedded.second),
            (embedded.first, embedded.first),
            (embedded.second, embedded.second),
        )
    )
    lengths = np.sqrt(one) * np.sqrt(other)
    found: Scores = dot / np.where(lengths > 0, lengths, 1.0)
    return found


def unit(embeddings: npt.NDArray[np.floating]) -> Scores:
    """The embeddings scaled to length 1, in float64; a zero embedding stays zero."""
    vectors = np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Scores = vectors / np.where(norms > 0, norms, 1.0)
    return scaled


def _embed_all(model: SentenceTransformer, splits: Sequence[Pairs]) -> list[Embedded]:
    columns = [
        (text, side)
        for pairs in splits
        for text, side in zip((pairs.text_1, pairs.text_2), pairs.sides, strict=False)
    ]
    prompts = [side_prompt(model, side) for _, side in columns]
    rows: dict[int, Embeddings] = {}
    for prompt in dict.fromkeys(prompts):
        places = [i for i, each in enumerate(prompts) if each == prompt]
        rows |= zip(places, _embed(model, [columns[i] for i in places]), strict=True)
    return [Embedded(rows[i], rows[i + 1]) for i in range(0, len(columns), 2)]


def _embed(
    model: SentenceTransformer, columns: Sequence[tuple[Sequence[str], Side]]
) -> list[Embeddings]:
    """The embeddings of columns of texts that have the same words put before them."""
    from embft.encoding.encoder import encode

    texts = dict.fromkeys(text for column, _ in columns for text in column)
    position = {text: i for i, text in enumerate(texts)}
    vectors = encode(model, list(position), columns[0][1])
    return [vectors[[position[text] for text in column]] for column, _ in columns]
