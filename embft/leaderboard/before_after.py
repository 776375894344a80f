"""What fine-tuning did to the pairs: distributions, ROC curves, groups, calibration.

Tables for `Model`s that were scored on the same test pairs. Draws nothing; metrics come from
`embft.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.leaderboard.pair_scores import Model, PairScores, units_of
from embft.metrics.calibration import Calibration, isotonic_brier
from embft.metrics.contrast import Contrast, contrast

FloatArray = npt.NDArray[np.float64]
_GRID = np.linspace(0, 1, 61)
_RESAMPLES = 200


@dataclass(frozen=True)
class RocPoint:
    """One point of a ROC curve: rates in [0, 1], the true positive rate with a 95 % band."""

    model: str
    false_positive_rate: float
    true_positive_rate: float
    low: float
    high: float


def density(model: Model, bins: int = 40) -> list[dict[str, Any]]:
    """Share of each label's pairs in bins of cosine: keys `label`, `cosine` (middle), `share`.

    Graded labels are cut at their median: `lower half` and `upper half`.
    """
    low, high = min(0.0, float(model.test.score.min())), max(1.0, float(model.test.score.max()))
    edges = np.linspace(low, high, bins + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    found = []
    for name, chosen in halves(model.test):
        counts, _ = np.histogram(model.test.score[chosen], bins=edges)
        share = _smoothed(counts / max(int(chosen.sum()), 1))
        found += [
            {"model": model.name, "label": name, "cosine": float(x), "share": float(y)}
            for x, y in zip(middles, share, strict=True)
        ]
    return found


def halves(test: PairScores) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """The two kinds of pairs, by name: labels 0 and 1, or the halves of graded labels."""
    if test.is_binary:
        return [("label 0", test.label == 0), ("label 1", test.label == 1)]
    middle = float(np.median(test.label))
    return [("lower half", test.label <= middle), ("upper half", test.label > middle)]


def overlap(model: Model) -> float:
    """The share of pairs on the wrong side of the best single cut; 0 where the halves part."""
    (_, low), (_, high) = halves(model.test)
    cuts = np.unique(model.test.score)
    below = np.searchsorted(np.sort(model.test.score[high]), cuts) / max(high.sum(), 1)
    above = 1 - np.searchsorted(np.sort(model.test.score[low]), cuts) / max(low.sum(), 1)
    return float(((below + above) / 2).min())


def roc_curve(model: Model, seed: int = 0) -> list[RocPoint]:
    """The ROC curve on a grid of false positive rates; empty where a label is missing.

    The band is vertical: 95 % of the true positive rates over resampled pairs at each false
    positive rate (Fawcett, 2006).
    """
    label, score = model.test.label, model.test.score
    if not model.test.is_binary or label.min() == label.max():
        return []
    order = np.argsort(-score, kind="stable")
    positive, ends = label[order], np.flatnonzero(np.diff(-score[order], append=np.inf))
    rng = np.random.default_rng(seed)
    count = len(label)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    curves = [_rates(positive, ends, weights) for weights in draws]
    low, high = np.nanpercentile(np.stack(curves), [2.5, 97.5], axis=0)
    middle = _rates(positive, ends, np.ones(count))
    return [
        RocPoint(model.name, *(float(v) for v in point))
        for point in zip(_GRID, middle, low, high, strict=True)
    ]


def reliability(model: Model) -> tuple[float, list[dict[str, Any]]] | None:
    """Brier score on test and the reliability curve, calibrated on dev; None where undefined."""
    found = _calibrated(model)
    if found is None:
        return None
    points = [
        {"model": model.name, "predicted": b.predicted, "observed": b.observed, "pairs": b.n}
        for b in found.bins
    ]
    return found.brier, points


def brier_change(before: Model, after: Model, texts: Pairs | None) -> Contrast | None:
    """The Brier score on test of one model less that of another, on the same pairs."""
    was, now = _calibrated(before), _calibrated(after)
    if was is None or now is None:
        return None
    label = after.test.label
    gap = (now.probability - label) ** 2 - (was.probability - label) ** 2
    return contrast(gap, [(1.0, np.ones(len(label), bool))], units_of(texts, len(label)))


def _calibrated(model: Model) -> Calibration | None:
    """Isotonic regression on dev, applied to test; None for graded labels and empty sets."""
    if model.dev is None or not (model.test.is_binary and model.dev.is_binary):
        return None
    try:
        return isotonic_brier(model.dev.score, model.dev.label, model.test.score, model.test.label)
    except ValueError:
        return None


def _smoothed(share: FloatArray) -> FloatArray:
    """A light moving average: a histogram of few pairs is all teeth."""
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    whole = np.convolve(np.ones_like(share), kernel, mode="same")  # less than 1 at both ends
    smooth: FloatArray = np.convolve(share, kernel, mode="same") / whole
    return smooth


def _rates(positive: FloatArray, ends: Any, weights: Any) -> FloatArray:
    """True positive rates on the grid, for pairs in descending order of score."""
    hits = np.cumsum(weights * positive)[ends]
    misses = np.cumsum(weights * (1 - positive))[ends]
    if hits[-1] == 0 or misses[-1] == 0:
        return np.full(len(_GRID), np.nan)
    x, y = np.r_[0, misses / misses[-1]], np.r_[0, hits / hits[-1]]
    rates: FloatArray = np.interp(_GRID, x, y)
    return rates
