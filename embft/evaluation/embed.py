"""Texts -> embeddings, pairs -> cosines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs

Embeddings = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


def embed(model: SentenceTransformer, texts: Sequence[str], batch_size: int = 64) -> Embeddings:
    """Embeddings as the model gives them, shape (n, width)."""
    found: Embeddings = model.encode(
        list(texts), batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True
    )
    return found.astype(np.float32, copy=False)


def pair_cosines(model: SentenceTransformer, pairs: Pairs) -> Scores:
    """The cosine of each pair's two texts, shape (n,). A text that repeats is encoded once."""
    texts = list(dict.fromkeys([*pairs.text_1, *pairs.text_2]))
    position = {text: i for i, text in enumerate(texts)}
    vectors = embed(model, texts).astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms > 0, norms, 1.0)
    first = vectors[[position[text] for text in pairs.text_1]]
    second = vectors[[position[text] for text in pairs.text_2]]
    cosines: Scores = np.einsum("ij,ij->i", first, second)
    return cosines
