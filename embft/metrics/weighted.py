"""Pair metrics under many weightings at once: the arithmetic below `pairs` and `bootstrap`.

A resample of the pairs is a weight for each pair: how often it was drawn. So R resamples are a
matrix (R, n), and a metric of all of them is a few matrix products and cumulative sums over pairs
that were sorted once. With whole-number weights each metric equals that of the repeated sample.
Draws no weights and knows no intervals. An undefined value is NaN here; the public functions
above never let one out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import stats

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
        n = float(len(self.label))
        untied = [n * n - float((np.bincount(k) ** 2.0).sum()) for k in (self.run, self.level)]
        if not all(untied):
            return 0.0
        tau = float(stats.kendalltau(self.run, self.level).statistic)
        return tau * float(np.sqrt(untied[0] * untied[1])) - float(self.concordance_sums.sum())


def sort_pairs(score: npt.ArrayLike, label: npt.ArrayLike, threshold: float) -> SortedPairs:
    """Pairs made ready for `weighted_metrics`; raises ValueError on scores that are not finite."""
    scores, labels = np.asarray(score, np.float64), np.asarray(label, np.float64)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"score {scores.shape} and label {labels.shape} must be (n,) both")
    for name, values in (("score", scores), ("label", labels)):
        if bad := int((~np.isfinite(values)).sum()):
            raise ValueError(f"{bad} of {len(values)} {name}s are NaN or infinite")
    order = np.argsort(scores, kind="stable").astype(np.int64)
    return SortedPairs(order, scores[order], labels[order], float(threshold))


def weighted_metrics(
    pairs: SortedPairs, weights: FloatArray, only: Collection[str] | None = None
) -> Metrics:
    """Each metric that the labels allow, (R,), for weights (R, n) in the pairs' given order.

    Graded labels: spearman, pearson, kendall. Labels 0 and 1: all the pair metrics. NaN where a
    row's weights leave a metric undefined. only: leave out what none of these needs.
    """
    drawn = _Weighted(pairs, np.take(weights, pairs.order, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        if not pairs.binary:
            return _graded(drawn)
        return {
            name: values
            for part, names in _PARTS.items()
            if only is None or not names.isdisjoint(only)
            for name, values in part(drawn).items()
        }


@dataclass(frozen=True)
class _Weighted:
    """Pairs under weights w (R, n), in the pairs' sorted order."""

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


def _where(defined: BoolArray, value: FloatArray) -> FloatArray:
    return np.where(defined, value, np.nan)


def _by_run(pairs: SortedPairs, w: FloatArray) -> FloatArray:
    """Weights summed over runs of equal scores."""
    if len(pairs.starts) == w.shape[1]:
        return w
    # Most runs are of one pair; only the others are summed, which costs ten times as much.
    runs = np.take(w, pairs.starts, axis=1)
    longer, members, begins = pairs.longer_runs
    runs[:, longer] = np.add.reduceat(np.take(w, members, axis=1), begins, axis=1)
    return runs


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """The products of rows, summed: (R, m) and (R, m) -> (R,)."""
    total: FloatArray = np.einsum("rm,rm->r", one, other)
    return total


def _spread(totals: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of runs (R, m) that sum to n (R,): the pairs of different runs, counted twice, and the sum of
    squares of the ranks about their mean, (n^3 - sum of t^3) / 12 (Kendall, 1945).
    """
    squares = totals * totals
    return n * n - squares.sum(axis=1), (n**3 - _dot(totals, squares)) / 12


def _centred_ranks(totals: FloatArray) -> FloatArray:
    """Average rank of each run less the mean rank, for runs (R, m) in ascending order."""
    upto = np.cumsum(totals, axis=1)
    ranks: FloatArray = upto - 0.5 * totals - 0.5 * upto[:, -1:]
    return ranks


def _correlation(drawn: _Weighted) -> Metrics:
    """Pearson's correlation from weighted moments about the plain means."""
    pairs, w = drawn.pairs, drawn.w
    x, y = pairs.score - pairs.score.mean(), pairs.label - pairs.label.mean()
    n, sx, sy, sxx, syy, sxy = (w @ np.stack([x**0, x, y, x * x, y * y, x * y], axis=1)).T
    var_x, var_y = sxx - sx * sx / n, syy - sy * sy / n
    # Rounding leaves a trace of variance in a resample that holds one value only.
    varies = (var_x > 1e-12 * sxx) & (var_y > 1e-12 * syy)
    r = (sxy - sx * sy / n) / np.sqrt(np.maximum(var_x * var_y, 0.0))
    return {"pearson": _where(varies, np.clip(r, -1.0, 1.0))}


def _ranked(drawn: _Weighted) -> Metrics:
    """What depends on the ranks of the scores, for labels 0 and 1.

    Ranks are about their mean: a run of t that ends at place u of n has u - t / 2 - n / 2.
    """
    runs, hits = drawn.runs, drawn.hits
    upto = np.cumsum(runs, axis=1)
    n, n1 = upto[:, -1], hits.sum(axis=1)
    n0 = n - n1
    rank_sum = _dot(hits, upto) - 0.5 * _dot(hits, runs) - 0.5 * n * n1
    untied, squares = _spread(runs, n)
    both = (n1 > 0) & (n0 > 0)
    ranked = both & (untied > 0)
    return {
        "spearman": _where(ranked, rank_sum / np.sqrt(squares * n1 * n0 / n)),
        # 4 rank_sum is twice the concordant less the discordant.
        "kendall": _where(ranked, 4 * rank_sum / np.sqrt(untied * 2 * n1 * n0)),
        "auc": _where(both, 0.5 + rank_sum / (n1 * n0)),
    }


def _precise(drawn: _Weighted) -> Metrics:
    """Average precision: the sum over runs, best first, of hits times precision so far."""
    runs, hits = drawn.runs[:, ::-1], drawn.hits[:, ::-1]
    found, taken = np.cumsum(hits, axis=1), np.cumsum(runs, axis=1)
    # Rows of weight 0 at the top have taken nothing yet, and found nothing.
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    n, n1 = taken[:, -1], found[:, -1]
    both = (n1 > 0) & (n1 < n)
    return {"average_precision": _where(both, _dot(hits, precision) / n1)}


def _group_means(drawn: _Weighted) -> Metrics:
    """What depends on the means and variances of the two labels' scores."""
    pairs, w = drawn.pairs, drawn.w
    sides = []
    for value in (1.0, 0.0):
        inside = pairs.label == value
        centre = pairs.score[inside].mean() if inside.any() else 0.0
        x = np.where(inside, pairs.score - centre, 0.0)
        n, sx, sxx = (w @ np.stack([inside.astype(np.float64), x, x * x], axis=1)).T
        squares = sxx - sx * sx / n
        sides.append((n, centre + sx / n, np.where(squares > 1e-12 * sxx, squares, 0.0)))
    (n1, mean1, squares1), (n0, mean0, squares0) = sides
    margin, both = mean1 - mean0, (n1 > 0) & (n0 > 0)
    pooled = (squares1 + squares0) / (n1 + n0 - 2)
    error = squares1 / (n1 - 1) / n1 + squares0 / (n0 - 1) / n0
    return {
        "margin": _where(both, margin),
        "cohens_d": _where(both & (n1 + n0 > 2) & (pooled > 0), margin / np.sqrt(pooled)),
        "welch_t": _where((n1 > 1) & (n0 > 1) & (error > 0), margin / np.sqrt(error)),
    }


def _classified(drawn: _Weighted) -> Metrics:
    """What depends on the confusion matrix at the threshold."""
    pairs, w = drawn.pairs, drawn.w
    predicted, actual = pairs.score >= pairs.threshold, pairs.label == 1.0
    columns = np.stack([predicted & actual, predicted, actual, predicted == actual], axis=1)
    hits, taken, positive, right = (w @ columns.astype(np.float64)).T
    n = w.sum(axis=1)
    return {
        "f1": _where(taken + positive > 0, 2 * hits / (taken + positive)),
        "precision": _where(taken > 0, hits / taken),
        "recall": _where(positive > 0, hits / positive),
        "accuracy": _where(n > 0, right / n),
    }


def _graded(drawn: _Weighted) -> Metrics:
    """Spearman, Pearson and Kendall for labels of any levels."""
    pairs, w, runs = drawn.pairs, drawn.w, drawn.runs
    levels = _level_totals(pairs, w)
    x, y = _centred_ranks(runs), _centred_ranks(levels)
    n = w.sum(axis=1)
    cov = np.einsum("rn,rn,rn->r", w, x[:, pairs.run], y[:, pairs.level])
    (untied_x, squares_x), (untied_y, squares_y) = _spread(runs, n), _spread(levels, n)
    ranked = (untied_x > 0) & (untied_y > 0)
    return {
        "spearman": _where(ranked, cov / np.sqrt(squares_x * squares_y)),
        **_correlation(drawn),
        "kendall": _where(ranked, _net_concordance(pairs, w) / np.sqrt(untied_x * untied_y)),
    }


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


_PARTS: dict[Callable[[_Weighted], Metrics], frozenset[str]] = {
    _correlation: frozenset({"pearson"}),
    _ranked: frozenset({"spearman", "kendall", "auc"}),
    _precise: frozenset({"average_precision"}),
    _group_means: frozenset({"margin", "cohens_d", "welch_t"}),
    _classified: frozenset({"f1", "precision", "recall", "accuracy"}),
}
