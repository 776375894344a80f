"""Power: what is called detectable is detected as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from embft.metrics.power import (
    Design,
    detectable,
    detectable_difference,
    pairs_needed,
    power_of,
    seeds_needed,
)


@pytest.mark.parametrize(
    ("n", "effect"),
    # The sample sizes of R's pwr.t.test, type "paired", level 0.05, power 0.8.
    [(198.1508, 0.2), (33.36713, 0.5), (14.30276, 0.8)],
)
def test_the_detectable_difference_is_that_of_the_paired_t_test(n: float, effect: float) -> None:
    assert detectable_difference(1 / np.sqrt(n), n - 1) == pytest.approx(effect, rel=1e-4)


@pytest.mark.parametrize("freedom", [1, 2.5, 4, 30, 1e6])
@pytest.mark.parametrize("level", [0.05, 0.001])
def test_power_equals_the_share_of_simulated_tests(freedom: float, level: float) -> None:
    """A t statistic of this many degrees of freedom passes its critical value as often."""
    rng = np.random.default_rng(0)
    away = detectable_difference(1.0, freedom, level=level)
    draws = rng.normal(away, 1, 200_000) / np.sqrt(rng.chisquare(freedom, 200_000) / freedom)
    passed = np.mean(np.abs(draws) > special.stdtrit(freedom, 1 - level / 2))
    assert passed == pytest.approx(0.8, abs=0.005)
    assert power_of(away, 1.0, freedom, level=level) == pytest.approx(0.8, abs=1e-6)


def test_no_difference_is_shown_as_often_as_the_level() -> None:
    assert power_of(0.0, 1.0, 20) == pytest.approx(0.05, abs=1e-3)
    assert power_of(0.1, 0.0, 20) == 1.0
    assert detectable_difference(0.0, 20) == 0.0
    with pytest.raises(ValueError, match=r"above the level, 0\.05"):
        detectable_difference(1.0, 20, power=0.01)


def test_pairs_needed_is_the_first_number_that_is_enough() -> None:
    design = Design(pairs=300, units=300, pairs_variance=0.02**2)
    smallest = detectable(design)
    assert pairs_needed(design, smallest * 1.0001) == 300
    needed = pairs_needed(design, 0.01)
    assert needed is not None
    assert detectable(design.with_pairs(needed)) <= 0.01 < detectable(design.with_pairs(needed - 1))


def test_seeds_that_vary_too_much_are_not_helped_by_pairs_and_the_reverse() -> None:
    design = Design(300, 300, 0.01**2, seeds=3, seeds_variance=2 * 0.02**2, configurations=8)
    assert pairs_needed(design, 0.02) is None
    seeds = seeds_needed(design, 0.05)
    assert seeds is not None
    assert seeds > 3
    assert seeds_needed(design, 0.02) is None
    assert seeds_needed(Design(300, 300, 0.01**2), 0.05) is None
    with pytest.raises(ValueError, match="difference of 0"):
        pairs_needed(design, 0.0)


def test_with_one_seed_only_the_trained_models_are_compared() -> None:
    """Training's variance cannot be seen from one seed, so it does not enter."""
    one = Design(300, 250, 0.01**2, seeds=1, seeds_variance=0.1)
    assert one.variance == pytest.approx(0.01**2)
    assert one.freedom == 249
    two = Design(300, 250, 0.01**2, seeds=2, seeds_variance=0.02**2, configurations=4)
    assert two.variance == pytest.approx(0.01**2 + 0.02**2 / 2)
    assert 4 < two.freedom < 249
