"""Pair metrics under many weightings at once: the arithmetic below `pairs` and `bootstrap`.

A resample of the pairs is a weight for each pair: how often it was drawn. So R resamples are a
matrix (R, n), and a metric of all of them is a few matrix products and cumulative sums over pairs
that were sorted once. With whole-number weights each metric equals that of the repeated sample.
Draws no weights and knows no intervals. An undefined value is NaN here; the public functions
above never let one out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Metrics = dict[str, FloatArray]

# Above this many pairs the n x n matrix of graded Kendall is no longer worth its memory.
_QUADRATIC_LIMIT = 3000
_LEVELS = 100


@dataclass(frozen=True)
class SortedPairs:
    """Pairs in ascending order of score. Arrays of (n,) are in that order, `order` leads there."""

    order: IntArray
    score: FloatArray
    label: FloatArray
    threshold: float

    @cached_property
    def binary(self) -> bool:
        """Whether every label is 0 or 1."""
        return bool(np.isin(self.label, (0.0, 1.0)).all())

    @cached_property
    def scores_differ(self) -> bool:
        """Whether there are two different scores."""
        return bool(len(self.score) and self.score[0] != self.score[-1])

    @cached_property
    def starts(self) -> IntArray:
        """Where each run of equal scores begins."""
        return np.flatnonzero(np.r_[True, self.score[1:] != self.score[:-1]])

    @cached_property
    def run(self) -> IntArray:
        """The number of the run of equal scores that each pair is in."""
        return np.cumsum(np.r_[False, self.score[1:] != self.score[:-1]])

    @cached_property
    def longer_runs(self) -> tuple[IntArray, IntArray, IntArray]:
        """The runs of more than one pair, their pairs, and where among these each run begins."""
        size = np.bincount(self.run)
        members = np.flatnonzero(size[self.run] > 1)
        begins = np.flatnonzero(np.diff(self.run[members], prepend=-1))
        return np.flatnonzero(size > 1), members, begins

    @cached_property
    def level(self) -> IntArray:
        """The rank of each pair's label among the distinct labels."""
        return np.unique(self.label, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def concordance(self) -> npt.NDArray[np.float32]:
        """(n, n): 1 where two pairs are ordered alike by score and label, -1 if not, 0 if tied."""
        by_score: npt.NDArray[np.float32] = np.sign(self.run[:, None] - self.run).astype(np.float32)
        by_score *= np.sign(self.level[:, None] - self.level[None, :])
        return by_score

    @cached_property
    def concordance_sums(self) -> FloatArray:
        """(n,) row sums of `concordance`, without the matrix; labels in at most 100 levels."""
        from scipy import stats  # takes most of a second to import, and only this needs it

        level = self.level
        if level.max() >= _LEVELS:
            level = (stats.rankdata(level) * _LEVELS / (len(level) + 1)).astype(np.int64)
        ends = np.r_[self.starts[1:], len(level)]
        sums = np.zeros(len(level))
        for value in np.unique(level):
            seen = np.r_[0, np.cumsum(level == value)]
            below_less_above = seen[self.starts] + seen[ends] - seen[-1]
            sums += np.sign(level - value) * below_less_above[self.run]
        return sums

    @cached_property
    def merged_away(self) -> float:
        """What merging the labels into levels takes from the sum of `concordance_sums`."""
        from scipy import stats

        n = float(len(self.label))
        untied = [n * n - float((np.bincount(k) ** 2.0).sum()) for k in (self.run, self.level)]
        if not all(untied):
            return 0.0
        tau = float(stats.kendalltau(self.run, self.level).statistic)
        return tau * float(np.sqrt(untied[0] * untied[1])) - float(self.concordance_sums.sum())


def sort_pairs(score: npt.ArrayLike, label: npt.ArrayLike, threshold: float) -> SortedPairs:
    """Pairs made ready for weighting; raises ValueError on scores that are not finite."""
    scores, labels = np.asarray(score, np.float64), np.asarray(label, np.float64)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"score {scores.shape} and label {labels.shape} must be (n,) both")
    for name, values in (("score", scores), ("label", labels)):
        if bad := int((~np.isfinite(values)).sum()):
            raise ValueError(f"{bad} of {len(values)} {name}s are NaN or infinite")
    order = np.argsort(scores, kind="stable").astype(np.int64)
    return SortedPairs(order, scores[order], labels[order], float(threshold))


@dataclass(frozen=True)
class RankSums:
    """What depends on the ranks of scores and labels, (R,) each.

    covariance: the sum over pairs of the product of both ranks about their means. squares: the
    product of both sides' sums of squares about the mean rank. untied: the product of the numbers
    of pairs of pairs, counted twice, that differ in score and in label. defined: where both vary.
    """

    defined: BoolArray
    covariance: FloatArray
    squares: FloatArray
    untied: FloatArray


@dataclass(frozen=True)
class Side:
    """The scores of the pairs with one label, (R,) each: how many, their mean, and the sum of
    squares about it.
    """

    n: FloatArray
    mean: FloatArray
    squares: FloatArray


@dataclass(frozen=True)
class Confusion:
    """Counts at the threshold, (R,) each: `hits` are true positives, `taken` is predicted 1,
    `positive` is labelled 1, `right` is predicted as labelled, `n` are all.
    """

    hits: FloatArray
    taken: FloatArray
    positive: FloatArray
    right: FloatArray
    n: FloatArray


@dataclass(frozen=True)
class Weighted:
    """Pairs under weights `w` (R, n), in the pairs' sorted order, and what several metrics need.

    `sides`, `confusion` and `label_counts` need labels that are all 0 or 1. A value is computed
    when it is first asked for.
    """

    pairs: SortedPairs
    w: FloatArray

    @cached_property
    def runs(self) -> FloatArray:
        """(R, m): the weights summed over runs of equal scores."""
        return _by_run(self.pairs, self.w)

    @cached_property
    def hits(self) -> FloatArray:
        """(R, m): of that, what is labelled 1."""
        return _by_run(self.pairs, self.w * self.pairs.label)

    @cached_property
    def label_counts(self) -> tuple[FloatArray, FloatArray]:
        """The weights of the pairs labelled 1 and 0, (R,) each."""
        n1 = self.hits.sum(axis=1)
        return n1, np.cumsum(self.runs, axis=1)[:, -1] - n1

    @cached_property
    def ranks(self) -> RankSums:
        """Sums of ranks, for labels of any levels."""
        return self._binary_ranks() if self.pairs.binary else self._graded_ranks()

    def _binary_ranks(self) -> RankSums:
        """Ranks are about their mean: a run of t that ends at place u has u - t / 2 - n / 2."""
        runs, hits = self.runs, self.hits
        upto = np.cumsum(runs, axis=1)
        n, n1 = upto[:, -1], hits.sum(axis=1)
        n0 = n - n1
        rank_sum = dot(hits, upto) - 0.5 * dot(hits, runs) - 0.5 * n * n1
        untied, squares = _spread(runs, n)
        defined = (n1 > 0) & (n0 > 0) & (untied > 0)
        return RankSums(defined, rank_sum, squares * n1 * n0 / n, untied * 2 * n1 * n0)

    def _graded_ranks(self) -> RankSums:
        levels = _level_totals(self.pairs, self.w)
        x, y = _centred_ranks(self.runs), _centred_ranks(levels)
        n = self.w.sum(axis=1)
        cov = np.einsum("rn,rn,rn->r", self.w, x[:, self.pairs.run], y[:, self.pairs.level])
        (untied_x, squares_x), (untied_y, squares_y) = _spread(self.runs, n), _spread(levels, n)
        defined = (untied_x > 0) & (untied_y > 0)
        return RankSums(defined, cov, squares_x * squares_y, untied_x * untied_y)

    @cached_property
    def net_concordance(self) -> FloatArray:
        """Twice the concordant less the discordant pairs of pairs, (R,)."""
        if self.pairs.binary:
            return 4 * self.ranks.covariance
        return _net_concordance(self.pairs, self.w)

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """The scores of label 1 and of label 0."""
        return self._side(1.0), self._side(0.0)

    def _side(self, value: float) -> Side:
        inside = self.pairs.label == value
        centre = self.pairs.score[inside].mean() if inside.any() else 0.0
        x = np.where(inside, self.pairs.score - centre, 0.0)
        n, sx, sxx = (self.w @ np.stack([inside.astype(np.float64), x, x * x], axis=1)).T
        squares = sxx - sx * sx / n
        return Side(n, centre + sx / n, np.where(squares > 1e-12 * sxx, squares, 0.0))

    @cached_property
    def confusion(self) -> Confusion:
        """The confusion matrix at the threshold."""
        predicted, actual = self.pairs.score >= self.pairs.threshold, self.pairs.label == 1.0
        columns = np.stack([predicted & actual, predicted, actual, predicted == actual], axis=1)
        hits, taken, positive, right = (self.w @ columns.astype(np.float64)).T
        return Confusion(hits, taken, positive, right, self.w.sum(axis=1))


def weigh(pairs: SortedPairs, weights: FloatArray) -> Weighted:
    """The pairs under weights (R, n), which are in the pairs' given order."""
    return Weighted(pairs, np.take(weights, pairs.order, axis=1))


def where(defined: BoolArray, value: FloatArray) -> FloatArray:
    """The values (R,) where they are defined, NaN elsewhere."""
    return np.where(defined, value, np.nan)


def dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """The products of rows, summed: (R, m) and (R, m) -> (R,)."""
    total: FloatArray = np.einsum("rm,rm->r", one, other)
    return total


def _by_run(pairs: SortedPairs, w: FloatArray) -> FloatArray:
    """Weights summed over runs of equal scores."""
    if len(pairs.starts) == w.shape[1]:
        return w
    # Most runs are of one pair; only the others are summed, which costs ten times as much.
    runs = np.take(w, pairs.starts, axis=1)
    longer, members, begins = pairs.longer_runs
    runs[:, longer] = np.add.reduceat(np.take(w, members, axis=1), begins, axis=1)
    return runs


def _spread(totals: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of runs (R, m) that sum to n (R,): the pairs of different runs, counted twice, and the sum of
    squares of the ranks about their mean, (n^3 - sum of t^3) / 12 (Kendall, 1945).
    """
    squares = totals * totals
    return n * n - squares.sum(axis=1), (n**3 - dot(totals, squares)) / 12


def _centred_ranks(totals: FloatArray) -> FloatArray:
    """Average rank of each run less the mean rank, for runs (R, m) in ascending order."""
    upto = np.cumsum(totals, axis=1)
    ranks: FloatArray = upto - 0.5 * totals - 0.5 * upto[:, -1:]
    return ranks


def _level_totals(pairs: SortedPairs, w: FloatArray) -> FloatArray:
    order = np.argsort(pairs.level, kind="stable")
    starts = np.flatnonzero(np.diff(pairs.level[order], prepend=-1))
    totals: FloatArray = np.add.reduceat(w[:, order], starts, axis=1)
    return totals


def _net_concordance(pairs: SortedPairs, w: FloatArray) -> FloatArray:
    """Twice the concordant less the discordant: the quadratic form of `concordance`.

    For many pairs its expansion to first order about equal weights (Hajek's projection): what is
    left out is of order 1 / n beside what is kept.
    """
    if w.shape[1] <= _QUADRATIC_LIMIT:
        # Single precision is exact: these are whole numbers far below 2**24.
        products = w.astype(np.float32) @ pairs.concordance
        exact: FloatArray = np.einsum("rn,rn->r", w, products.astype(np.float64))
        return exact
    sums, share = pairs.concordance_sums, w.mean(axis=1)
    linear: FloatArray = 2 * share * (w @ sums) - share**2 * (sums.sum() - pairs.merged_away)
    return linear
