"""How much of the scores' variance goes with each axis, for sweeps large enough to say.

An association, not a cause: axes that were not crossed evenly share what they explain. Nothing is
said of fewer than `FEWEST` configurations, or where shuffled scores do as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embft.leaderboard.axes import varying_axes
from embft.leaderboard.rows import Leaderboard

FEWEST = 30
_RESAMPLES = 400


@dataclass(frozen=True)
class Association:
    """One axis. share: epsilon squared (Kelley, 1935), the share of the variance between its
    values less what chance gives, with a 95 % interval over resampled configurations.

    p_value: of the share under shuffled scores.
    """

    axis: str
    share: float
    low: float
    high: float
    p_value: float

    @property
    def told(self) -> bool:
        """Whether the data can tell this from chance."""
        return self.p_value < 0.05


def associations(board: Leaderboard, seed: int = 0) -> list[Association]:
    """Each varying axis, the largest share first; empty for fewer than `FEWEST` configurations."""
    if len(board.groups) < FEWEST:
        return []
    score = np.array([group.score for group in board.groups])
    found = []
    for axis in varying_axes(board):
        texts = [repr(group.params.get(axis)) for group in board.groups]
        level = np.unique(texts, return_inverse=True)[1]
        if 1 < level.max() + 1 <= len(score) // 3:
            found.append(_association(axis, score, level, np.random.default_rng(seed)))
    return sorted(found, key=lambda item: -item.share)


def epsilon_squared(score: npt.NDArray[np.float64], level: npt.NDArray[np.int64]) -> float:
    """The share of the variance of `score` (n,) between the levels (n,), corrected for chance."""
    counts = np.bincount(level)
    sums = np.bincount(level, weights=score)
    present = counts > 0
    n, k = len(score), int(present.sum())
    total = float(((score - score.mean()) ** 2).sum())
    if total == 0 or n <= k:
        return 0.0
    between = float((sums[present] ** 2 / counts[present]).sum() - n * score.mean() ** 2)
    return max(0.0, 1 - (total - between) / total * (n - 1) / (n - k))


def _association(
    axis: str,
    score: npt.NDArray[np.float64],
    level: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Association:
    share, n = epsilon_squared(score, level), len(score)
    draws = [rng.integers(n, size=n) for _ in range(_RESAMPLES)]
    resampled = [epsilon_squared(score[rows], level[rows]) for rows in draws]
    shuffled = [epsilon_squared(rng.permutation(score), level) for _ in range(_RESAMPLES)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    beaten = sum(value >= share for value in shuffled)
    return Association(axis, share, float(low), float(high), (beaten + 1) / (_RESAMPLES + 1))
