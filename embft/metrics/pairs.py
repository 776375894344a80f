"""Metrics of scored pairs: how well a score (a cosine, usually) agrees with the pairs' labels.

Covers the metrics of one set of pairs, why one is undefined, the threshold of the best F1, and
breakdowns by group. Intervals are in `bootstrap`, calibration in `calibration`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from embft.metrics.pair_definitions import PAIR_METRICS, PairMetric
from embft.metrics.weighted import FloatArray, Metrics, SortedPairs, sort_pairs, weigh

_FEW = 300  # values that are compared each with each


@dataclass(frozen=True)
class GroupRow:
    """One group of a breakdown: `n` pairs; None where the group cannot say (one label, one score).

    `mean_1` and `mean_0` are the mean scores of the pairs labelled 1 and 0.
    """

    group: str
    n: int
    n_1: int
    n_0: int
    mean_1: float | None
    mean_0: float | None
    margin: float | None
    cohens_d: float | None
    false_positives: int


def pair_metrics(score: npt.ArrayLike, label: npt.ArrayLike, threshold: float) -> dict[str, float]:
    """Every metric that these pairs define, by name; formulas in `pair_definitions`.

    `score` and `label` are (n,). Graded labels have spearman, pearson and kendall; labels that are
    all 0 or 1 have the others too, with score >= `threshold` predicted positive. A metric that is
    undefined here is absent, and `undefined_reasons` says why. Raises ValueError on scores or
    labels that are NaN or infinite.
    """
    return sorted_metrics(sort_pairs(score, label, threshold))


def sorted_metrics(pairs: SortedPairs, only: Collection[str] | None = None) -> dict[str, float]:
    """`pair_metrics` of pairs that are sorted already. only: the metrics that are asked for."""
    if len(pairs.score) < 2:
        return {}
    values = _weighted(pairs, only) if pairs.binary else _graded(pairs, only)
    return {name: value for name, value in values.items() if np.isfinite(value)}


def weighted_metrics(
    pairs: SortedPairs, weights: FloatArray, only: Collection[str] | None = None
) -> Metrics:
    """Each metric that the labels allow, (R,), for weights (R, n) in the pairs' given order.

    NaN where a row's weights leave a metric undefined. only: the metrics that are asked for.
    """
    drawn = weigh(pairs, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {metric.name: metric.compute(drawn) for metric in _allowed(pairs, only)}


def _allowed(pairs: SortedPairs, only: Collection[str] | None = None) -> list[PairMetric]:
    """The metrics that these labels allow, in the order of their declarations."""
    return [
        metric
        for name, metric in PAIR_METRICS.items()
        if (pairs.binary or not metric.binary_only) and (only is None or name in only)
    ]


def _weighted(pairs: SortedPairs, only: Collection[str] | None) -> dict[str, float]:
    values = weighted_metrics(pairs, np.ones((1, len(pairs.score))), only)
    return {name: float(value[0]) for name, value in values.items()}


def _graded(pairs: SortedPairs, only: Collection[str] | None) -> dict[str, float]:
    """The metrics of graded labels; those that a library computes are its own."""
    metrics = _allowed(pairs, only)
    if not pairs.scores_differ or pairs.label.min() == pairs.label.max():
        metrics = [metric for metric in metrics if metric.plain is None]
    plain = {m.name: m.plain(pairs.score, pairs.label) for m in metrics if m.plain}
    others = [metric.name for metric in metrics if metric.plain is None]
    return plain | (_weighted(pairs, others) if others else {})


def undefined_reasons(
    score: npt.ArrayLike, label: npt.ArrayLike, threshold: float
) -> dict[str, str]:
    """Why each metric that `pair_metrics` leaves out is undefined for these pairs.

    Metrics of 0/1 labels are not listed for graded labels, where they have no meaning.
    """
    pairs = sort_pairs(score, label, threshold)
    found = sorted_metrics(pairs)
    missing = [metric for metric in _allowed(pairs) if metric.name not in found]
    return {metric.name: _reason(metric, pairs) for metric in missing}


def _reason(metric: PairMetric, pairs: SortedPairs) -> str:
    n = len(pairs.score)
    if n < 2:
        return f"fewer than 2 pairs ({n})"
    if metric.undefined:
        return metric.undefined
    if pairs.label.min() == pairs.label.max():
        return f"all labels are {pairs.label[0]:g}"
    if not pairs.scores_differ:
        return "all scores are equal"
    return "too few distinct scores within the labels"


def best_f1_threshold(score: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """The threshold with the highest F1, midway between two neighbours among the scores.

    Where everything is best predicted positive it is the lowest score; of equal F1 the lowest
    threshold is taken. Labels (n,) must be 0 or 1. Meant for dev: a threshold chosen on the pairs
    that are reported flatters F1. Raises ValueError on graded labels and where no pair is labelled
    1.
    """
    pairs = sort_pairs(score, label, 0.0)
    if not pairs.binary or not pairs.label.any():
        raise ValueError("a threshold needs labels 0 and 1, with at least one 1")
    starts, count = pairs.starts, len(pairs.score)
    found = np.cumsum(pairs.label[::-1])[::-1][starts]
    first = int(starts[np.argmax(2 * found / (count - starts + pairs.label.sum()))])
    return _midway(pairs.score[first - 1], pairs.score[first]) if first else float(pairs.score[0])


def _midway(below: float, above: float) -> float:
    """Their middle; of neighbouring floating-point numbers the upper one."""
    middle = below / 2 + above / 2
    return float(middle if middle > below else above)


def kendall_tau(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Kendall's tau-b of two columns (n,); NaN where all values of one of them are equal, or where
    one is NaN.

    Of few values by what resamples are weighed with, whose time and memory grow with n * n:
    scipy.stats, which has the others, takes a third of a second to import.
    """
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if len(x) > _FEW or not (np.isfinite(x) & np.isfinite(y)).all():
        from scipy import stats

        return float(stats.kendalltau(x, y).statistic)
    drawn = weigh(sort_pairs(x, y, 0.0), np.ones((1, len(x))))
    with np.errstate(invalid="ignore"):
        return float(PAIR_METRICS["kendall"].compute(drawn)[0])


def welch_p(score: npt.ArrayLike, label: npt.ArrayLike) -> float | None:
    """Two-sided p of Welch's t-test (1947) of the two labels' scores; None where undefined.

    scipy's own `ttest_ind` gives the same digits, and takes half a second of each trial to import.
    """
    if "welch_t" not in pair_metrics(score, label, 0.0):
        return None
    scores, positive = np.asarray(score, np.float64), np.asarray(label) == 1
    one, other = scores[positive], scores[~positive]
    errors = [np.var(side) * (len(side) / (len(side) - 1)) / len(side) for side in (one, other)]
    freedom = sum(errors) ** 2 / (
        errors[0] ** 2 / (len(one) - 1) + errors[1] ** 2 / (len(other) - 1)
    )
    t = (one.mean() - other.mean()) / np.sqrt(sum(errors))
    return float(2 * special.stdtr(freedom, -abs(t)))


def breakdown(
    score: npt.ArrayLike, label: npt.ArrayLike, threshold: float, groups: Sequence[str]
) -> list[GroupRow]:
    """A row for each value of `groups` (n,), in alphabetical order. Labels must be 0 or 1."""
    scores, labels = np.asarray(score, np.float64), np.asarray(label, np.float64)
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(member) != len(scores):
        raise ValueError(f"{len(member)} groups for {len(scores)} scores")
    # One sort cuts all groups; a mask for each would cost groups x pairs.
    order = np.argsort(member, kind="stable")
    cuts = np.searchsorted(member[order], np.arange(1, len(names)))
    parts: Iterable[FloatArray] = np.split(order, cuts) if len(names) else []
    return [
        _group_row(str(name), scores[part], labels[part], threshold)
        for name, part in zip(names, parts, strict=True)
    ]


def _group_row(name: str, score: FloatArray, label: FloatArray, threshold: float) -> GroupRow:
    found, positive = pair_metrics(score, label, threshold), label == 1
    return GroupRow(
        group=name,
        n=len(score),
        n_1=int(positive.sum()),
        n_0=int((label == 0).sum()),
        mean_1=float(score[positive].mean()) if positive.any() else None,
        mean_0=float(score[label == 0].mean()) if (label == 0).any() else None,
        margin=found.get("margin"),
        cohens_d=found.get("cohens_d"),
        false_positives=int(((label == 0) & (score >= threshold)).sum()),
    )
