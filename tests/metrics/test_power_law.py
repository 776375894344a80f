"""Learning curves: the law is found, and its forecast's interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from embft.metrics.power_law import fit, gain
from embft.metrics.weighted import FloatArray

ROWS = np.array([150.0, 300.0, 600.0, 1200.0])


def test_a_law_without_noise_is_found() -> None:
    truth = np.stack([0.9 - 2 * ROWS**-0.5, 0.8 - 30 * ROWS**-1.2])
    found = fit(ROWS, truth)
    ahead = np.array([2400.0, 4800.0])
    expected = np.stack([0.9 - 2 * ahead**-0.5, 0.8 - 30 * ahead**-1.2])
    assert found.at(ahead) == pytest.approx(expected, abs=1e-3)


def test_a_curve_never_falls_nor_exceeds_what_a_score_can_be() -> None:
    falling = fit(ROWS, np.array([[0.8, 0.7, 0.6, 0.5]]))
    assert falling.drop[0] == 0
    assert falling.at(2400.0)[0, 0] == pytest.approx(0.65)
    steep = np.array([[0.5, 0.7, 0.85, 0.97]])
    assert fit(ROWS, steep).limit[0] > 1
    bounded = fit(ROWS, steep, highest=1.0)
    assert bounded.limit[0] <= 1
    assert bounded.at(1e6)[0, 0] <= 1


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("drop", [0.0, 2.0])
def test_the_forecast_holds_the_true_gain(seeds: int, drop: float) -> None:
    """Where the law is true, its 95 % interval of the gain from twice the rows holds it."""
    truth = 0.85 - drop * ROWS**-0.5
    expected = drop * (1200**-0.5 - 2400**-0.5)
    runs, held = 80, 0
    for i in range(runs):
        rng = np.random.default_rng([1, i])
        by_seed = truth + 0.005 * rng.normal(size=(seeds, 4))
        scores = by_seed.mean(axis=0) + 0.02 * rng.normal() + 0.004 * rng.normal(size=4)
        strayed: FloatArray = 0.02 * rng.normal(size=(300, 1)) + 0.004 * rng.normal(size=(300, 4))
        of_seeds = None if seeds == 1 else float(by_seed.var(axis=0, ddof=1).mean()) / seeds
        found = gain(ROWS, scores, strayed, of_seeds, 4 * (seeds - 1), 1.0)
        assert found is not None
        assert found.low <= found.high
        held += found.low - 1e-12 <= expected <= found.high
    # 80 simulations of a true 95 % stray down to 90 %.
    assert held / runs >= 0.89


def test_three_sizes_say_nothing_of_more() -> None:
    assert gain(ROWS[:3], np.array([0.5, 0.6, 0.65]), np.zeros((10, 3)), None, 0) is None
