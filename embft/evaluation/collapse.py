"""Four measures of how the embeddings fill their space: whether training squeezed them together.

All are of embeddings scaled to length 1, since pairs are scored by cosine. None has a better
direction of its own: a good model for few classes has a low rank, and a base model may have a
high one. They are to be read against the base model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.evaluation.context import Context, Found
from embft.evaluation.embed import Embedded, unit
from embft.metrics.metric import Metric
from embft.spec.evaluators import Evaluator

FloatArray = npt.NDArray[np.float64]

MOST_TEXTS = 5_000
"""More texts than these are sampled for uniformity, whose time grows with their square."""
_CHUNK = 512


def _quantity(name: str, label: str, formula: str, source: str) -> Metric:
    return Metric(name, label, formula, direction=None, source=source, computed_by="collapse")


class Collapse(Evaluator):
    """Whether training squeezed the embeddings together."""

    declared: ClassVar = (
        _quantity(
            "mean_cosine",
            "Mean cosine",
            "mean cosine of two different texts",
            "Ethayarajh (2019)",
        ),
        _quantity(
            "effective_rank",
            "Effective rank",
            "exp of the entropy of the singular values' shares (embeddings of length 1, texts "
            "counted once)",
            "Roy and Vetterli (2007)",
        ),
        _quantity(
            "uniformity",
            "Uniformity",
            "log of the mean of exp(-2 |x - y|^2) of two different texts",
            "Wang and Isola (2020)",
        ),
        _quantity(
            "alignment",
            "Alignment",
            "mean of |x - y|^2 over the pairs labelled 1",
            "Wang and Isola (2020)",
        ),
    )

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:  # noqa: ARG002
        """mean_cosine, effective_rank, uniformity and alignment of test's texts, each text once."""
        return {"test": collapse_metrics(context.embedded["test"], context.splits.test)}


def collapse_metrics(embedded: Embedded, pairs: Pairs) -> Found:
    """The four measures, or the reason why one is undefined."""
    texts = distinct(embedded, pairs)
    if not np.isfinite(texts).all():
        reason = "embeddings are not finite numbers"
        return dict.fromkeys(("mean_cosine", "effective_rank", "uniformity", "alignment"), reason)
    vectors, positive = unit(texts), pairs.label == 1
    few = f"fewer than 2 texts ({len(texts)})" if len(texts) < 2 else None
    return {
        "mean_cosine": few or mean_cosine(vectors),
        "effective_rank": effective_rank(vectors),
        "uniformity": few or uniformity(vectors),
        "alignment": alignment(embedded.first[positive], embedded.second[positive])
        if positive.any()
        else "no pair is labelled 1",
    }


def distinct(embedded: Embedded, pairs: Pairs) -> npt.NDArray[np.float32]:
    """The embedding of each distinct text of the pairs, in order of appearance, (texts, width)."""
    both = np.vstack([embedded.first, embedded.second])
    texts = [*pairs.text_1, *pairs.text_2]
    first_row = {text: row for row, text in reversed(list(enumerate(texts)))}
    return both[sorted(first_row.values())]


def mean_cosine(embeddings: npt.NDArray[np.floating]) -> float:
    """The mean cosine of two different rows, over all such pairs. `embeddings` (n, width), n > 1.

    Exact without the n^2 cosines: |sum of unit vectors|^2 = their number + the sum over pairs
    (Ethayarajh, 2019, samples pairs for it).
    """
    vectors = unit(embeddings)
    n = len(vectors)
    itself = float((vectors * vectors).sum())
    return float(np.square(vectors.sum(axis=0)).sum() - itself) / (n * (n - 1))


def effective_rank(embeddings: npt.NDArray[np.floating]) -> float:
    """The exponential of the entropy of the singular values' shares, from 1 to min(n, width).

    `embeddings` (n, width), not centred (Roy and Vetterli, 2007). 0 where all are zero.
    """
    values = np.linalg.svd(np.asarray(embeddings, np.float64), compute_uv=False)
    if values.sum() == 0:
        return 0.0
    share = values / values.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def uniformity(embeddings: npt.NDArray[np.floating], t: float = 2.0) -> float:
    """The log of the mean of exp(-t |x - y|^2) over pairs of different rows, scaled to length 1.

    `embeddings` (n, width), n > 1 (Wang and Isola, 2020). At most 0, which is total collapse; lower
    is more uniform. Beyond 5,000 rows a fixed random sample of so many.
    """
    vectors = unit(_sampled(embeddings))
    n, total = len(vectors), 0.0
    for start in range(0, n, _CHUNK):
        rows = vectors[start : start + _CHUNK]
        similar = np.exp(-t * np.clip(2 - 2 * rows @ vectors.T, 0, None))
        similar[np.arange(len(rows)), start + np.arange(len(rows))] = 0  # a text with itself
        total += float(similar.sum())
    return float(np.log(total / (n * (n - 1))))


def alignment(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], alpha: float = 2.0
) -> float:
    """The mean of |x - y|^alpha over positive pairs, scaled to length 1; 0 is perfect, 4 opposite.

    `first` and `second` (n, width), n > 0, row by row a pair (Wang and Isola, 2020).
    """
    distances = np.linalg.norm(unit(first) - unit(second), axis=1)
    return float(np.mean(distances**alpha))


def _sampled(embeddings: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    if len(embeddings) <= MOST_TEXTS:
        return embeddings
    rows = np.random.default_rng(0).choice(len(embeddings), MOST_TEXTS, replace=False)
    return embeddings[rows]
