"""The metrics of scored pairs: what each is called, and how it is computed.

A metric is one function under its declaration. It takes pairs under R weightings at once
(`weighted.Weighted`) and returns its R values, NaN where it is undefined; intervals, comparisons,
tables and the spec's `objective` follow from that. `pairs.py` calls the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from embft.metrics.metric import CORRELATION, SHARE, Metric
from embft.metrics.weighted import FloatArray, Weighted, dot, where

Compute = Callable[[Weighted], FloatArray]
Plain = Callable[[FloatArray, FloatArray], float]


@dataclass(frozen=True)
class PairMetric(Metric):
    """A metric of scored pairs.

    compute: pairs under weights (R, n) -> values (R,). plain: the same of unweighted score and
    graded label, (n,) each, where a library has it; called only where both vary. undefined: why it
    has no value, where that is neither the number of pairs nor that scores or labels are all equal.
    """

    compute: Compute = lambda drawn: np.full(len(drawn.w), np.nan)
    plain: Plain | None = None
    undefined: str | None = None


PAIR_METRICS: dict[str, PairMetric] = {}
"""Every metric of pairs by its name, in the order in which they are recorded."""


def pair_metric(**declared: Any) -> Callable[[Compute], Compute]:
    """Declare the function below as a pair metric of its name; `declared`: fields of `PairMetric`.

    Raises ValueError where another metric has the name.
    """

    def declare(compute: Compute) -> Compute:
        name = compute.__name__
        if name in PAIR_METRICS:
            raise ValueError(f"there are two metrics called {name}")
        PAIR_METRICS[name] = PairMetric(name=name, compute=compute, **declared)
        return compute

    return declare


def _spearman(score: FloatArray, label: FloatArray) -> float:
    from scipy import stats

    return float(np.corrcoef(stats.rankdata(score), stats.rankdata(label))[0, 1])


@pair_metric(
    label="Spearman correlation",
    bounds=CORRELATION,
    formula="Pearson correlation of the ranks of score and label; ties get their average rank",
    source="Spearman (1904)",
    objective=True,
    plain=_spearman,
)
def spearman(drawn: Weighted) -> FloatArray:
    """The covariance of the ranks over the root of the product of their sums of squares."""
    ranks = drawn.ranks
    return where(ranks.defined, ranks.covariance / np.sqrt(ranks.squares))


@pair_metric(
    label="Pearson correlation",
    bounds=CORRELATION,
    formula="cov(score, label) / (sd(score) sd(label))",
    source="Pearson (1895)",
    objective=True,
    plain=lambda score, label: float(np.corrcoef(score, label)[0, 1]),
)
def pearson(drawn: Weighted) -> FloatArray:
    """From weighted moments about the unweighted means."""
    pairs, w = drawn.pairs, drawn.w
    x, y = pairs.score - pairs.score.mean(), pairs.label - pairs.label.mean()
    n, sx, sy, sxx, syy, sxy = (w @ np.stack([x**0, x, y, x * x, y * y, x * y], axis=1)).T
    var_x, var_y = sxx - sx * sx / n, syy - sy * sy / n
    # Rounding leaves a trace of variance in a resample that holds one value only.
    varies = (var_x > 1e-12 * sxx) & (var_y > 1e-12 * syy) & pairs.scores_differ
    r = (sxy - sx * sy / n) / np.sqrt(np.maximum(var_x * var_y, 0.0))
    return where(varies, np.clip(r, -1.0, 1.0))


def _kendall(score: FloatArray, label: FloatArray) -> float:
    from scipy import stats

    return float(stats.kendalltau(score, label).statistic)


@pair_metric(
    label="Kendall's tau-b",
    bounds=CORRELATION,
    formula="(concordant - discordant) / sqrt((not tied in score) (not tied in label)), "
    "counted over all pairs of pairs",
    source="Kendall (1945)",
    plain=_kendall,
)
def kendall(drawn: Weighted) -> FloatArray:
    """The net concordance over the root of the product of what is untied on either side."""
    ranks = drawn.ranks
    return where(ranks.defined, drawn.net_concordance / np.sqrt(ranks.untied))


@pair_metric(
    label="AUC-ROC",
    bounds=SHARE,
    formula="P(score of a label 1 > score of a label 0) + P(equal) / 2",
    source="Mann and Whitney (1947); Hanley and McNeil (1982)",
    objective=True,
    binary_only=True,
)
def auc(drawn: Weighted) -> FloatArray:
    """From the sum of the ranks of label 1 about their mean."""
    n1, n0 = drawn.label_counts
    return where((n1 > 0) & (n0 > 0), 0.5 + drawn.ranks.covariance / (n1 * n0))


@pair_metric(
    label="Average precision",
    bounds=SHARE,
    formula="sum over descending distinct scores of (increase in recall) x precision",
    source="Manning, Raghavan and Schütze (2008), 8.4",
    objective=True,
    binary_only=True,
)
def average_precision(drawn: Weighted) -> FloatArray:
    """The sum over runs of equal scores, best first, of hits times precision so far."""
    runs, hits = drawn.runs[:, ::-1], drawn.hits[:, ::-1]
    found, taken = np.cumsum(hits, axis=1), np.cumsum(runs, axis=1)
    # Rows of weight 0 at the top have taken nothing yet, and found nothing.
    precise = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    n, n1 = taken[:, -1], found[:, -1]
    return where((n1 > 0) & (n1 < n), dot(hits, precise) / n1)


@pair_metric(
    label="Margin",
    formula="mean score of label 1 minus mean score of label 0",
    source="the difference of two means",
    objective=True,
    binary_only=True,
)
def margin(drawn: Weighted) -> FloatArray:
    """The difference of the two labels' mean scores."""
    one, zero = drawn.sides
    return where((one.n > 0) & (zero.n > 0), one.mean - zero.mean)


@pair_metric(
    label="Cohen's d",
    formula="margin / sqrt(((n1 - 1) var1 + (n0 - 1) var0) / (n1 + n0 - 2)), ddof 1",
    source="Cohen (1988), 2.5",
    objective=True,
    binary_only=True,
)
def cohens_d(drawn: Weighted) -> FloatArray:
    """The margin in units of the pooled standard deviation."""
    one, zero = drawn.sides
    pooled = (one.squares + zero.squares) / (one.n + zero.n - 2)
    defined = (one.n > 0) & (zero.n > 0) & (one.n + zero.n > 2) & (pooled > 0)
    return where(defined, (one.mean - zero.mean) / np.sqrt(pooled))


@pair_metric(
    label="Welch's t",
    formula="margin / sqrt(var1 / n1 + var0 / n0), ddof 1",
    source="Welch (1947)",
    binary_only=True,
)
def welch_t(drawn: Weighted) -> FloatArray:
    """The margin in units of its standard error, where variances differ."""
    one, zero = drawn.sides
    error = one.squares / (one.n - 1) / one.n + zero.squares / (zero.n - 1) / zero.n
    defined = (one.n > 1) & (zero.n > 1) & (error > 0)
    return where(defined, (one.mean - zero.mean) / np.sqrt(error))


@pair_metric(
    label="F1",
    bounds=SHARE,
    formula="2 TP / (2 TP + FP + FN), score >= threshold is positive",
    source="van Rijsbergen (1979), chapter 7",
    objective=True,
    binary_only=True,
    undefined="no pair is labelled or predicted 1",
)
def f1(drawn: Weighted) -> FloatArray:
    """The harmonic mean of precision and recall."""
    at = drawn.confusion
    return where(at.taken + at.positive > 0, 2 * at.hits / (at.taken + at.positive))


@pair_metric(
    label="Precision",
    bounds=SHARE,
    formula="TP / (TP + FP), score >= threshold is positive",
    source="Manning, Raghavan and Schütze (2008), 8.3",
    binary_only=True,
    undefined="no score reaches the threshold",
)
def precision(drawn: Weighted) -> FloatArray:
    """The share of label 1 among what is predicted 1."""
    at = drawn.confusion
    return where(at.taken > 0, at.hits / at.taken)


@pair_metric(
    label="Recall",
    bounds=SHARE,
    formula="TP / (TP + FN), score >= threshold is positive",
    source="Manning, Raghavan and Schütze (2008), 8.3",
    binary_only=True,
    undefined="no pair is labelled 1",
)
def recall(drawn: Weighted) -> FloatArray:
    """The share of label 1 that is predicted 1."""
    at = drawn.confusion
    return where(at.positive > 0, at.hits / at.positive)


@pair_metric(
    label="Accuracy",
    bounds=SHARE,
    formula="(TP + TN) / n, score >= threshold is positive",
    source="Manning, Raghavan and Schütze (2008), 8.3",
    binary_only=True,
    undefined="no score reaches the threshold",
)
def accuracy(drawn: Weighted) -> FloatArray:
    """The share of pairs whose prediction is their label."""
    at = drawn.confusion
    return where(at.n > 0, at.right / at.n)
