"""How much of the scores' variance goes with each axis, for sweeps large enough to say.

An association, not a cause: axes that were not crossed evenly share what they explain. Of an
axis that is drawn from a distribution the quarters of its values are compared. Nothing is said of
fewer than `FEWEST` configurations. p-values are corrected for the number of axes by the
smallest p under shuffled scores (Westfall and Young, 1993): on pure noise 5 % of leaderboards name
an axis, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from embft.leaderboard.axes import varying_axes
from embft.leaderboard.rows import Leaderboard
from embft.metrics.effects import block_effects
from embft.metrics.weighted import FloatArray, IntArray

FEWEST = 30
_SHUFFLES = 500


@dataclass(frozen=True)
class Association:
    """One axis. share: epsilon squared (Kelley, 1935), the share of the variance between its
    values less what chance gives, with a 95 % interval by the noncentral F distribution (Smithson,
    2003), which takes scores to be normal around each value's mean.

    p_value: of a share like this by chance, corrected for the number of axes.
    """

    axis: str
    share: float
    low: float
    high: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether the axis goes with the scores more than chance does, at 5 %."""
        return self.p_value < 0.05


def associations(leaderboard: Leaderboard, seed: int = 0) -> list[Association]:
    """Each varying axis, the largest share first; empty for fewer than `FEWEST` configurations."""
    scored = [group for group in leaderboard.groups if np.isfinite(group.score)]
    if len(scored) < FEWEST:
        return []
    score = np.array([group.score for group in scored])
    levels = {}
    for axis in varying_axes(leaderboard):
        values = [group.params.get(axis) for group in scored]
        texts = _quarters(values) if axis in leaderboard.continuous else map(repr, values)
        level = np.unique(list(texts), return_inverse=True)[1]
        if 1 < level.max() + 1 <= len(score) // 3:
            levels[axis] = level
    p_values = corrected_p_values(score, list(levels.values()), np.random.default_rng(seed))
    found = [
        _association(axis, score, level, p_value)
        for (axis, level), p_value in zip(levels.items(), p_values, strict=True)
    ]
    return sorted(found, key=lambda item: -item.share)


def _quarters(values: Sequence[Any]) -> list[str]:
    """The quarter of its values in which each lies: of an axis of which hardly any comes twice."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    cuts = np.quantile(numbers, [0.25, 0.5, 0.75]) if numbers else ()
    return [
        str(int(np.searchsorted(cuts, v))) if isinstance(v, (int, float)) else "none"
        for v in values
    ]


def corrected_p_values(
    score: FloatArray, levels: list[IntArray], rng: np.random.Generator
) -> list[float]:
    """For each factor (n,) the share of shuffles in which some factor has as small a p."""
    if not levels:
        return []
    least = np.array([_smallest_p(rng.permutation(score), levels) for _ in range(_SHUFFLES)])
    own = [_f_test(score, level) for level in levels]
    return [float((np.sum(least <= p) + 1) / (_SHUFFLES + 1)) for p in own]


def _smallest_p(score: FloatArray, levels: list[IntArray]) -> float:
    return min(_f_test(score, level) for level in levels)


def _f_test(score: FloatArray, level: IntArray) -> float:
    """The p of a one-way analysis of variance; scipy's takes the groups apart, which is slow."""
    between, within, groups = _squares(score, level)
    freedom = len(score) - groups
    if within <= 0 or freedom < 1:
        return 1.0 if between <= 0 else 0.0
    return float(special.fdtrc(groups - 1, freedom, between / (groups - 1) / (within / freedom)))


def _squares(score: FloatArray, level: IntArray) -> tuple[float, float, int]:
    """The sums of squares between and within the levels, and how many levels there are."""
    counts = np.bincount(level)
    present = counts > 0
    centred = score - score.mean()
    sums = np.bincount(level, weights=centred)
    between = float((sums[present] ** 2 / counts[present]).sum())
    return between, float((centred**2).sum()) - between, int(present.sum())


def epsilon_squared(score: FloatArray, level: IntArray) -> float:
    """The share of the variance of `score` (n,) between the levels (n,), corrected for chance."""
    between, within, k = _squares(score, level)
    n, total = len(score), between + within
    if total == 0 or n <= k:
        return 0.0
    return max(0.0, 1 - within / total * (n - 1) / (n - k))


def _association(axis: str, score: FloatArray, level: IntArray, p_value: float) -> Association:
    share, n = epsilon_squared(score, level), len(score)
    effects = block_effects(score, [level], np.zeros(n, dtype=np.int64))
    low, high = (0.0, 1.0)
    if effects:
        low, high = (ratio / (ratio + n) for ratio in (effects[0].low, effects[0].high))
    return Association(axis, share, low, high, p_value)
