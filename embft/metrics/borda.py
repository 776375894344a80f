"""Several tasks as one: how many of the other configurations each one beats, over all tasks.

A mean of unlike metrics says little: a correlation, a recall and an accuracy have scales and
spreads of their own. Ranks have none. The Borda score of a configuration is the mean over tasks of
the share of the others that it beats there, ties counting half (Borda, 1781; for benchmarks
Colombo et al., 2022): 1 is the first in every task, 0 the last.

**How sure it is.** From `MANY_TASKS` tasks on they are drawn again as units, outside this module:
a Borda score is then a mean over units like others. Below, the units within each task are. Ranks
jump where two scores are equal, so that resampled ranks are too sure of themselves: among equal
configurations a bootstrap of the Borda score missed the best in 9 to 21 % and not in 5, simulated.
So each task's contest says which pairs differ, for all pairs of all tasks at once (Bonferroni over
tasks); a pair that may be either way counts for and against, and the score lies between. That holds
whatever the true scores, and is cautious: in the same simulation the best was never missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from embft.metrics.best import LEVEL, Contest, Scope
from embft.metrics.comparison import Comparison
from embft.metrics.weighted import BoolArray, FloatArray, IntArray

MANY_TASKS = 10
_LEVELS = np.geomspace(1e-5, 1.0, 61)  # at which it is asked whether two scores differ


def beaten(values: FloatArray, others: FloatArray, own: int | None = None) -> FloatArray:
    """The share of others (T, K) that values (T,) beat in each task (T,); higher is better.

    own: the place among the others that is one's own, and is not counted. 1 without others.
    """
    share = (values[:, None] > others) + 0.5 * (values[:, None] == others)
    if own is not None:
        share = np.delete(share, own, axis=1)
    found: FloatArray = share.mean(axis=1) if share.shape[1] else np.ones(len(values))
    return found


class BordaContest(Contest):
    """The contest of the Borda scores of K configurations, from one contest of them for each task.

    Answers what a `Contest` answers, all of it for all pairs of all tasks at once; no standard
    errors, which are NaN, and no number of pairs that would decide.
    """

    def __init__(self, tasks: Sequence[Contest], *, level: float = LEVEL) -> None:
        # The tasks' p-values hold for all looks already.
        self.tasks, self.level, self.looks = tuple(tasks), level, 1
        means = np.stack([task.field.scores for task in tasks])
        scores = [beaten(means[:, i], means, i).mean() for i in range(means.shape[1])]
        self.field = replace(tasks[0].field, scores=np.array(scores))

    @property
    def scope(self) -> Scope:
        """As each task's."""
        return self.tasks[0].scope

    @property
    def seeds(self) -> None:
        """Nothing: each task has a spread of its own."""

    @property
    def units_variance(self) -> FloatArray:
        """Unknown (K, K)."""
        return np.full_like(self.ahead, np.nan)

    @property
    def freedom(self) -> FloatArray:
        """Unknown (K, K)."""
        return self.units_variance

    @cached_property
    def error(self) -> FloatArray:
        """Unknown (K, K)."""
        return self.units_variance

    @cached_property
    def critical(self) -> FloatArray:
        """Unknown (K,): any that is not seen may be ahead."""
        return np.full(len(self.field.scores), np.inf)

    @cached_property
    def bounds(self) -> FloatArray:
        """The lowest and the highest score (K, 2) that each may have, for all at once."""
        return self._bounds(1 - self.level)

    @cached_property
    def p_best(self) -> FloatArray:
        """(K,): for each, the p-value of its being the best, corrected for all pairs and tasks."""
        lowest, highest = (self._by_level[:, :, end] for end in (0, 1))
        others = np.stack(
            [np.delete(lowest, i, axis=1).max(axis=1, initial=0.0) for i in range(lowest.shape[1])],
            axis=1,
        )
        return _least_level(highest < others)

    @cached_property
    def p_best_raw(self) -> FloatArray:
        """(K,): as `p_best`; nothing here holds for one pair alone."""
        return self.p_best

    @cached_property
    def difference_to_best(self) -> FloatArray:
        """(K, 2): the interval of each one's score less the best of the others', for all at once,
        its ends on both sides of 0, or 0.
        """
        low, high = self.bounds.T
        found = np.zeros((len(low), 2))
        for i in range(len(low)):
            others = np.arange(len(low)) != i
            most = high[others & self.in_best_set].max(initial=0.0)
            found[i] = min(low[i] - most, 0.0), max(high[i] - low[others].max(initial=0.0), 0.0)
        return found

    def ranks(self, among: BoolArray | None = None) -> tuple[IntArray, IntArray]:
        """The lowest and the highest rank (K,) that each may have among some, for all at once."""
        counted = np.ones(len(self.field.scores), bool) if among is None else among
        low, high = self.bounds.T
        better = (low[counted] > high[:, None]).sum(axis=1)
        worse = (high[counted] < low[:, None]).sum(axis=1)
        return 1 + better, counted.sum() - worse

    def against(self, one: int) -> list[Comparison]:
        """Each one's score less that of `one`."""
        low, high = self.bounds.T
        lowest, highest = (self._by_level[:, :, end] for end in (0, 1))
        apart = (lowest > highest[:, [one]]) | (highest < lowest[:, [one]])
        p = _least_level(apart)
        found = [
            Comparison(float(d), float(a), float(b), float(each), float(each))
            for d, a, b, each in zip(
                -self.ahead[:, one], low - high[one], high - low[one], p, strict=True
            )
        ]
        found[one] = Comparison(0.0, 0.0, 0.0, 1.0, 1.0)
        return found

    def each_against(self, one: int) -> list[Comparison]:
        """As `against`: nothing here holds for one pair alone."""
        return self.against(one)

    def better_than(self, one: int) -> BoolArray:
        """(K,): which are better than `one`, for all at once."""
        return np.asarray(self.bounds[:, 0] > self.bounds[one, 1])

    @cached_property
    def _by_level(self) -> FloatArray:
        """`_bounds` (L, K, 2) at each of the levels."""
        return np.stack([self._bounds(level) for level in _LEVELS])

    def _bounds(self, level: float) -> FloatArray:
        """The lowest and the highest score (K, 2), wrong for one of all with this probability."""
        k = len(self.field.scores)
        if k == 1:
            return np.ones((1, 2))
        better, worse = np.zeros(k), np.zeros(k)
        for task in self.tasks:
            differ = task.p_of_pairs * len(self.tasks) <= level
            better += (differ & (task.ahead < 0)).sum(axis=1)
            worse += (differ & (task.ahead > 0)).sum(axis=1)
        count = len(self.tasks) * (k - 1)
        return np.stack([better / count, 1 - worse / count], axis=1)


def _least_level(shown: BoolArray) -> FloatArray:
    """The lowest of the levels (L, K) at which each of K is shown, 1 where at none."""
    found: FloatArray = np.where(shown.any(axis=0), _LEVELS[shown.argmax(axis=0)], 1.0)
    return found
