"""Whether the values of a factor go with the scores, and how far the scores' variance is theirs.

Scores of a grid of configurations, analysed as an experiment in blocks: what differs in nothing but
the factors in question forms a block, so that only changes of these factors on their own count.
The tests are those of the additive linear model (Fisher's F); interactions and training's own
variation are its error. Knows no spec, no metric and no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from embft.metrics.weighted import FloatArray, IntArray

# Of a factor's squares, what the error has at least: scores without any noise are rounded.
_LEAST_ERROR = 1e-9


@dataclass(frozen=True)
class Effect:
    """One factor beside the others of its analysis.

    p_value: of the F-test that its values make no difference. low and high: between these lies, at
    the confidence that was asked for, its noncentrality: the sum of the squared effects that it
    adds to the scores, over the error's variance. Those of one analysis are on one scale.
    """

    p_value: float
    low: float
    high: float


def block_effects(
    score: FloatArray, factors: Sequence[IntArray], block: IntArray, confidence: float = 0.95
) -> list[Effect] | None:
    """The effect of each factor with the others held, or None where nothing can be tested.

    score (n,); each factor (n,) numbers the value that a score was made with, block (n,) what else
    was the same. None: a factor never changes apart from the others and the blocks, or no degree of
    freedom is left for the error.
    """
    dummies = [_centred(_dummies(factor), block) for factor in factors]
    inside = _centred(score[:, None], block)
    everything, full = _residual(np.hstack(dummies), inside)
    freedom = len(score) - len(np.unique(block)) - full
    parts = []
    for i in range(len(factors)):
        others = [d for j, d in enumerate(dummies) if j != i]
        left, rank = _residual(np.hstack(others or [np.zeros((len(score), 0))]), inside)
        parts.append((left - everything, full - rank))
    if freedom < 1 or any(rank < 1 for _, rank in parts):
        return None
    return [_effect(squares, rank, everything, freedom, confidence) for squares, rank in parts]


def _effect(squares: float, rank: int, error: float, freedom: int, confidence: float) -> Effect:
    scale = max(error / freedom, _LEAST_ERROR * squares, 1e-300)
    ratio = max(squares, 0.0) / rank / scale
    tail = (1 - confidence) / 2

    def noncentrality(share: float) -> float:
        """Where so many of the F values lie at or below the observed one."""
        if special.ncfdtr(rank, freedom, 0.0, ratio) <= share:
            return 0.0
        widest = 1.0
        while special.ncfdtr(rank, freedom, widest, ratio) > share:
            widest *= 4
        return float(brentq(lambda x: special.ncfdtr(rank, freedom, x, ratio) - share, 0.0, widest))

    p_value = float(special.fdtrc(rank, freedom, ratio))
    return Effect(p_value, noncentrality(1 - tail), noncentrality(tail))


def _dummies(factor: IntArray) -> FloatArray:
    """A column for each value: 1 where the factor has it."""
    dummies: FloatArray = (factor[:, None] == np.unique(factor)).astype(np.float64)
    return dummies


def _centred(columns: FloatArray, block: IntArray) -> FloatArray:
    """Each column less its mean over each block."""
    _, place, size = np.unique(block, return_inverse=True, return_counts=True)
    sums = np.zeros((len(size), columns.shape[1]))
    np.add.at(sums, place, columns)
    centred: FloatArray = columns - (sums / size[:, None])[place]
    return centred


def _residual(columns: FloatArray, target: FloatArray) -> tuple[float, int]:
    """The squares that a linear fit of the columns leaves, and the columns' rank."""
    if not columns.shape[1]:
        return float((target**2).sum()), 0
    solution, _, rank, _ = np.linalg.lstsq(columns, target, rcond=1e-9)
    return float(((target - columns @ solution) ** 2).sum()), int(rank)
