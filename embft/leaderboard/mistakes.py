"""The worst mistakes of one model as texts, with what other models scored on the same pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.leaderboard.pair_scores import Model, PairScores


@dataclass(frozen=True)
class Mistake:
    """One pair. kind: `too high` or `too low`. scores: model name -> cosine, in models' order.

    size: how far the score is beyond the threshold; for graded labels, how far its rank is from the
    label's, as a share of all pairs.
    """

    kind: str
    row: int
    size: float
    label: float
    text_1: str
    text_2: str
    groups: Mapping[str, str]
    scores: Mapping[str, float]


def worst_mistakes(
    models: Sequence[Model], texts: Pairs, of: Model, most: int = 20
) -> list[Mistake]:
    """The `most` worst of each kind, worst first: those scored too high, then those too low."""
    if len(texts) != len(of.test.label):
        return []
    size = mistake_sizes(of.test)
    high, low = np.argsort(-size, kind="stable"), np.argsort(size, kind="stable")
    found = [("too high", int(i)) for i in high[:most] if size[i] > 0]
    found += [("too low", int(i)) for i in low[:most] if size[i] < 0]
    return [
        Mistake(
            kind=kind,
            row=i,
            size=abs(float(size[i])),
            label=float(of.test.label[i]),
            text_1=texts.text_1[i],
            text_2=texts.text_2[i],
            groups={name: str(values[i]) for name, values in texts.groups.items()},
            scores={model.name: float(model.test.score[i]) for model in models},
        )
        for kind, i in found
    ]


def mistake_sizes(test: PairScores) -> npt.NDArray[np.float64]:
    """(n,): above 0 scored too high, below 0 too low, 0 no mistake."""
    if not test.is_binary:
        from scipy import stats  # a third of a second of a report to import, and few need it

        count = max(len(test.label) - 1, 1)
        ranks = stats.rankdata(test.score) - stats.rankdata(test.label)
        return np.asarray(ranks / count, dtype=np.float64)
    threshold = 0.5 if test.threshold is None else test.threshold
    beyond = test.score - threshold
    wrong = np.where(test.label == 0, beyond >= 0, beyond < 0)
    # At the threshold itself a pair is predicted positive: a mistake of size zero still counts.
    size = np.where(beyond == 0, np.finfo(np.float64).tiny, beyond)
    return np.where(wrong, size, 0.0)


def mistake_counts(test: PairScores) -> tuple[int, int] | None:
    """False positives and false negatives, or None for graded labels."""
    if not test.is_binary:
        return None
    size = mistake_sizes(test)
    return int((size > 0).sum()), int((size < 0).sum())
