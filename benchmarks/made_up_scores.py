"""Scores of models that never were, with the metrics that they truly have, for the simulations.

A score is strength x label + noise. The noise is Laplace's, 1.4 times as wide for label 1, so that
neither class is normal and the two are unlike; what two models or two pairs of a cluster have in
common is a Gaussian copula, which leaves each noise as it is. A true metric is that of 200,000
quantiles of both classes. The tests' own simulations draw otherwise, and are not used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special
from scipy.optimize import brentq

from embft.metrics.pairs import sorted_metrics
from embft.metrics.resampling import Units, independent_pairs, sampling_units
from embft.metrics.weighted import FloatArray, IntArray, sort_pairs

METRICS = ("auc", "spearman", "average_precision", "f1")
THRESHOLD = 2.0
_WIDER = 1.4
_POPULATION = 200_000


@dataclass(frozen=True)
class Kind:
    """What pairs are like. ones: the share of label 1. ties: whether scores are whole numbers.

    clusters: how many texts the pairs share, 0 where they share none; zipf: whether some texts
    stand in many more pairs than others. common: the correlation of a cluster's noises.
    """

    ones: float = 0.5
    ties: bool = False
    clusters: int = 0
    zipf: bool = False
    common: float = 0.5


def noise(normal: FloatArray, label: FloatArray) -> FloatArray:
    """The noise of these labels from standard normal values, both (…, n)."""
    half = special.log_ndtr(-np.abs(normal)) + np.log(2)
    found: FloatArray = np.where(label == 1, _WIDER, 1.0) * -np.sign(normal) * half
    return found


def scores(kind: Kind, strength: FloatArray, normal: FloatArray, label: FloatArray) -> FloatArray:
    """Scores (…, n) of models of these strengths (…,)."""
    found: FloatArray = np.asarray(strength)[..., None] * label + noise(normal, label)
    return np.round(found) if kind.ties else found


@cache
def truth(kind: Kind, strength: float) -> dict[str, float]:
    """The true metrics of a model of this strength."""
    ones = round(kind.ones * _POPULATION)
    label = np.repeat([0.0, 1.0], [_POPULATION - ones, ones])
    places = [(np.arange(n) + 0.5) / n for n in (_POPULATION - ones, ones)]
    drawn = scores(kind, np.array(strength), special.ndtri(np.concatenate(places)), label)
    return sorted_metrics(sort_pairs(drawn, label, THRESHOLD), METRICS)


@cache
def strength_of(metric: str, value: float) -> float:
    """The strength that has this true value of a metric, of as many labels 0 as 1."""
    return float(brentq(lambda s: truth(Kind(), round(s, 6))[metric] - value, 0.0, 12.0, xtol=1e-5))


def draw_pairs(kind: Kind, rng: np.random.Generator, n: int) -> tuple[FloatArray, IntArray, Units]:
    """Labels (n,), the cluster of each pair, and the units that embft makes of their texts."""
    label = (rng.random(n) < kind.ones).astype(np.float64)
    if not kind.clusters:
        return label, np.arange(n), independent_pairs(n)
    size = 1.0 / np.arange(1, kind.clusters + 1)
    cluster = np.arange(n) % kind.clusters
    if kind.zipf:
        cluster = rng.choice(kind.clusters, n, p=size / size.sum())
    units = sampling_units([f"text {c}" for c in cluster], [f"other {i}" for i in range(n)])
    return label, cluster, units


def draw_scores(  # noqa: PLR0913, PLR0917 - what is drawn, and how much of it is shared
    kind: Kind,
    rng: np.random.Generator,
    label: FloatArray,
    cluster: IntArray,
    strength: FloatArray,
    shared: float,
) -> FloatArray:
    """Scores (K, n) of models (K,), whose noises correlate by `shared`."""
    each = [_normal(kind, rng, cluster) for _ in range(len(strength) + 1)]
    normal = np.sqrt(shared) * each[0] + np.sqrt(1 - shared) * np.stack(each[1:])
    return scores(kind, strength, normal, label)


def _normal(kind: Kind, rng: np.random.Generator, cluster: IntArray) -> FloatArray:
    """Standard normal values, which correlate within clusters."""
    own = rng.standard_normal(len(cluster))
    if not kind.clusters:
        return own
    of_cluster = rng.standard_normal(int(cluster.max()) + 1)[cluster]
    found: FloatArray = np.sqrt(kind.common) * of_cluster + np.sqrt(1 - kind.common) * own
    return found
