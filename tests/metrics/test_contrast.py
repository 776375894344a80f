"""Means and their differences come out different by chance as often as the level says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from embft.metrics.bootstrap import bootstrap
from embft.metrics.contrast import contrast, level_of_each
from embft.metrics.joint import compare_all
from embft.metrics.resampling import Resampling, Units, independent_pairs, sampling_units
from embft.metrics.weighted import BoolArray, FloatArray

Draw = Callable[[np.random.Generator], tuple[FloatArray, BoolArray, Units]]


def _independent(rng: np.random.Generator) -> tuple[FloatArray, BoolArray, Units]:
    return rng.normal(size=60), rng.random(60) < 0.2, independent_pairs(60)


def _fifteen_clusters(rng: np.random.Generator) -> tuple[FloatArray, BoolArray, Units]:
    """Value and label both depend on the cluster, so that pairs taken singly fail."""
    cluster = rng.integers(0, 15, 300)
    label = rng.normal(size=15)[cluster] + 0.5 * rng.normal(size=300) > 0
    value = rng.normal(size=15)[cluster] + 0.5 * rng.normal(size=300)
    return value, label, Units("clusters", cluster)


def _crossed_texts(rng: np.random.Generator) -> tuple[FloatArray, BoolArray, Units]:
    ends = np.stack([rng.integers(0, 40, 200), rng.integers(40, 80, 200)])
    label = rng.normal(size=80)[ends].sum(axis=0) + rng.normal(size=200) > 0
    value = rng.normal(size=80)[ends].sum(axis=0) + rng.normal(size=200)
    units = sampling_units(*([f"text {i}" for i in column] for column in ends))
    assert units.scheme == "texts"
    return value, label, units


@pytest.mark.parametrize("draw", [_independent, _fifteen_clusters, _crossed_texts])
def test_equal_means_differ_as_rarely_as_the_level(draw: Draw) -> None:
    runs, wrong, singly = 800, 0, 0
    for i in range(runs):
        value, label, units = draw(np.random.default_rng([1, i]))
        terms = [(1.0, label), (-1.0, ~label)]
        found = contrast(value, terms, units)
        assert found is not None
        wrong += found.sign != 0
        alone = contrast(value, terms, independent_pairs(len(value)))
        singly += alone is not None and alone.sign != 0
    # 800 simulations of a true 5 % stray from 3.3 to 7 %.
    assert 0.03 < wrong / runs < 0.075
    if draw is not _independent:
        assert singly / runs > 0.1


def test_means_that_share_their_clusters_have_no_more_degrees_of_freedom_than_these() -> None:
    """15 clusters with both labels in each leave 14, where 15 each by itself would leave 28."""
    cluster = np.repeat(np.arange(15), 8)
    label = np.tile([True, False], 60)
    value = np.random.default_rng(3).normal(size=120)
    terms = [(1.0, label), (-1.0, ~label)]
    found = contrast(value, terms, Units("clusters", cluster))
    assert found is not None
    half = found.high - found.value
    sums = [
        sum(
            factor * (value - value[i].mean())[i & (cluster == c)].sum() / 60 for factor, i in terms
        )
        for c in range(15)
    ]
    error = np.sqrt(np.square(sums).sum() * 15 / 14)
    assert half == pytest.approx(stats.t.ppf(0.975, 14) * error)


def test_means_of_other_clusters_have_welchs_degrees_of_freedom() -> None:
    """40 single pairs and three large clusters that they are no part of: the few do not widen what
    the many make vary.
    """
    rng = np.random.default_rng(5)
    cluster = np.concatenate([np.arange(40), np.repeat([40, 41, 42], 200)])
    label = cluster < 40
    value = np.where(label, rng.normal(size=640), 1e-6 * rng.normal(size=640))
    found = contrast(value, [(1.0, label), (-1.0, ~label)], Units("clusters", cluster))
    assert found is not None
    one = stats.ttest_1samp(value[label], 0).confidence_interval(0.95)
    assert found.high - found.low == pytest.approx(one.high - one.low, rel=1e-3)


def test_a_mean_and_its_interval_are_scipys_for_single_pairs() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(0.3, 1, 50)
    found = contrast(value, [(1.0, np.ones(50, bool))], independent_pairs(50))
    assert found is not None
    interval = stats.ttest_1samp(value, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_a_mean_over_one_unit_has_no_interval() -> None:
    value, label = np.arange(6.0), np.array([1, 1, 1, 0, 0, 0]) == 1
    terms = [(1.0, label), (-1.0, ~label)]
    assert contrast(value, terms, Units("clusters", np.array([0, 0, 0, 1, 1, 1]))) is None
    found = contrast(value, terms, independent_pairs(6), level_of_each(4))
    assert found is not None
    assert found.value == -3.0


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.3, 1.5])
def test_equal_models_have_a_better_metric_in_five_percent(own: float) -> None:
    """Of twelve metrics of two equally good models, any is better in about 5 % of couples."""
    runs, wrong = 300, 0
    for i in range(runs):
        rng = np.random.default_rng([2, i])
        label = (rng.random(200) < 0.4).astype(np.float64)
        shared = 1.2 * label + rng.normal(size=200)
        drawn = [
            bootstrap(
                shared + own * rng.normal(size=200), label, 0.6,
                resampling=Resampling(300, seed=i, intervals=False),
            )
            for _ in range(2)
        ]  # fmt: skip
        found = compare_all(*drawn)
        assert len(found) >= 12
        wrong += any(c.low > 0 or c.high < 0 for c in found.values())
    # 300 simulations of a true 5 % stray up to 8.3 %.
    assert wrong / runs < 0.085
