"""Scores as probabilities: isotonic calibration on dev, its Brier score and reliability on test.

Needs labels 0 and 1. Fits nothing on the pairs that are reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from embft.metrics.weighted import FloatArray, SortedPairs, sort_pairs


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs whose predicted probability is in [low, high): how many, what was predicted, what held.

    The last bin holds 1.0 too. `predicted` is their mean probability, `observed` their share of
    label 1.
    """

    low: float
    high: float
    n: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """Probabilities (n,) of the test pairs in their given order, and how good they are."""

    brier: float
    probability: FloatArray
    bins: tuple[ReliabilityBin, ...]


def isotonic_brier(
    dev_score: npt.ArrayLike,
    dev_label: npt.ArrayLike,
    test_score: npt.ArrayLike,
    test_label: npt.ArrayLike,
) -> Calibration:
    """Probability by isotonic regression on dev (Zadrozny and Elkan, 2002), Brier score on test.

    A test score outside dev's range gets the probability of the nearest dev score. Raises
    ValueError on labels other than 0 and 1, on scores that are not finite and on empty sets.
    """
    dev = _binary(dev_score, dev_label, "dev")
    _binary(test_score, test_label, "test")
    # scikit-learn's class of that name does the same, but importing it imports pandas.
    score, place, count = np.unique(dev.score, return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=dev.label) / count
    fitted = isotonic_regression(share, weights=count).x
    probability = np.interp(np.asarray(test_score, np.float64), score, fitted)
    label = np.asarray(test_label, np.float64)
    brier = float(np.mean((probability - label) ** 2))
    return Calibration(brier, probability, reliability_curve(probability, label))


def reliability_curve(
    probability: npt.ArrayLike, label: npt.ArrayLike, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over [0, 1], those without pairs left out; (n,) probabilities, labels."""
    p, y = np.asarray(probability, np.float64), np.asarray(label, np.float64)
    edges = np.arange(bins + 1) / bins
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    predicted, observed = (np.bincount(place, weights=v, minlength=bins) for v in (p, y))
    return tuple(
        ReliabilityBin(
            float(edges[i]),
            float(edges[i + 1]),
            int(n[i]),
            float(predicted[i] / n[i]),
            float(observed[i] / n[i]),
        )
        for i in np.flatnonzero(n)
    )


def _binary(score: npt.ArrayLike, label: npt.ArrayLike, name: str) -> SortedPairs:
    pairs = sort_pairs(score, label, 0.0)
    if not len(pairs.score) or not pairs.binary:
        raise ValueError(f"calibration needs {name} pairs with labels 0 and 1")
    return pairs
