"""What the charts across the axes say is rarely made by chance, and said where it holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from embft.leaderboard.association import corrected_p_values
from embft.leaderboard.axis_effects import axis_p_values, mattering
from embft.leaderboard.findings import axis_finding, heatmap_finding
from embft.leaderboard.rows import Leaderboard
from embft.metrics.effects import Effect, block_effects
from embft.metrics.weighted import FloatArray, IntArray
from tests.helpers.leaderboards import LORA_LR_AXES, Plan, make_leaderboard, params

METHOD, RANK, RATE = LORA_LR_AXES
Draw = Callable[[np.random.Generator, int], FloatArray]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """Five learning rates by two ranks."""
    points = itertools.product((4, 8), (1e-5, 1e-4, 1e-3, 1e-2, 1e-1))
    plans = [Plan(params("lora", rank, rate), 0.5) for rank, rate in points]
    return make_leaderboard(tmp_path_factory.mktemp("grid"), plans, pairs=(20, 20), resamples=2)


def _scored(leaderboard: Leaderboard, scores: FloatArray) -> Leaderboard:
    """The leaderboard with these test scores, one for each trial."""
    left = iter(scores)
    groups = [
        replace(
            group,
            rows=tuple(
                replace(row, derived={leaderboard.metric: float(next(left))}) for row in group.rows
            ),
        )
        for group in leaderboard.groups
    ]
    groups = [
        replace(g, score=fmean(row.test[leaderboard.metric] for row in g.rows)) for g in groups
    ]
    return replace(leaderboard, groups=tuple(groups))


def _effects(
    score: FloatArray, factors: list[IntArray], block: IntArray, confidence: float = 0.95
) -> list[Effect]:
    found = block_effects(score, factors, block, confidence)
    assert found is not None
    return found


def _normal(rng: np.random.Generator, n: int) -> FloatArray:
    return 0.7 + 0.01 * rng.normal(size=n)


def _heavy(rng: np.random.Generator, n: int) -> FloatArray:
    return 0.7 + 0.01 * rng.standard_t(2, size=n)


def _some_collapsed(rng: np.random.Generator, n: int) -> FloatArray:
    return 0.7 + 0.01 * rng.normal(size=n) - 0.5 * (rng.random(n) < 0.15)


@pytest.mark.parametrize("noise", [_normal, _heavy, _some_collapsed])
def test_noise_makes_few_headlines(grid: Leaderboard, noise: Draw) -> None:
    """On pure noise at most 5 % of leaderboards say that an axis matters, or matters more."""
    runs, matters, more = 400, 0, 0
    for i in range(runs):
        leaderboard = _scored(grid, noise(np.random.default_rng([1, i]), 10))
        matters += min(axis_p_values(leaderboard).values()) < 0.05
        more += "matters more" in heatmap_finding(leaderboard, RANK, RATE)
    # 400 simulations of a true 5 % stray up to 7.8 %.
    assert matters / runs < 0.078
    assert more / runs <= 0.05


def test_two_axes_that_matter_alike_are_not_ranked() -> None:
    """Equal effects of two and of five values: at most 5 % say that one does more."""
    runs, wrong = 600, 0
    first, second = np.array(list(itertools.product(range(5), range(2)))).T
    for i in range(runs):
        rng = np.random.default_rng([2, i])
        effect = rng.choice([0.3, 1.0, 3.0])
        lines = [np.linspace(-1, 1, count) for count in (5, 2)]
        score = sum(
            effect * (line / line.std())[level]
            for line, level in zip(lines, (first, second), strict=True)
        ) + rng.normal(size=10)
        one, other = _effects(score, [first, second], np.zeros(10, np.int64), 0.9)
        wrong += one.low > other.high or other.low > one.high
    assert wrong / runs <= 0.05


def test_a_real_effect_is_said(grid: Leaderboard) -> None:
    """The axis that moves the score is named, with how far, and the other is not."""
    rates = [group.params[RATE] for group in grid.groups]
    rng = np.random.default_rng(0)
    scores = np.array([0.5 + 0.1 * np.log10(rate / 1e-5) for rate in rates])
    leaderboard = _scored(grid, scores + 0.005 * rng.normal(size=10))
    assert mattering(leaderboard, RANK, RATE) == mattering(leaderboard, RATE, RANK) == RATE
    assert heatmap_finding(leaderboard, RANK, RATE).startswith(
        "Learning rate matters more than LoRA rank: on its own it moves the score by 0.40"
    )
    assert axis_finding(leaderboard, RATE, axis_p_values(leaderboard)).startswith(
        "Changing only the learning rate moves the score"
    )
    assert "has no significant effect" in axis_finding(
        leaderboard, RANK, axis_p_values(leaderboard)
    )


def test_too_few_configurations_are_not_tested(tmp_path: Path) -> None:
    """One value of everything but the rank, and one seed: nothing is left to judge chance by."""
    plans = [Plan(params("lora", rank, 2e-4), rank / 20) for rank in (4, 8, 16)]
    leaderboard = make_leaderboard(tmp_path, plans, pairs=(20, 20), resamples=2)
    assert axis_p_values(leaderboard) == {}
    assert mattering(leaderboard, RANK, RATE) is None
    assert "too few configurations to test" in axis_finding(
        leaderboard, RANK, axis_p_values(leaderboard)
    )


def test_seeds_are_what_an_effect_is_judged_by(tmp_path: Path) -> None:
    """With several seeds one axis alone can be tested."""
    plans = [
        Plan(params("lora", rank, 2e-4), 0.5, seed) for rank in (4, 8, 16) for seed in (1, 2, 3)
    ]
    leaderboard = make_leaderboard(tmp_path, plans, seeds=(1, 2, 3), pairs=(20, 20), resamples=2)
    ranks = [row.params[RANK] for group in leaderboard.groups for row in group.rows]
    noise = 0.001 * np.random.default_rng(0).normal(size=9)
    assert axis_p_values(_scored(leaderboard, np.array(ranks) / 50 + noise))[RANK] < 1e-6
    assert axis_p_values(_scored(leaderboard, 0.7 + noise))[RANK] > 0.05


def test_an_unbalanced_space_compares_within_blocks() -> None:
    """A value that is tried in better settings only gets no credit for these."""
    block = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    level = np.array([0, 1, 2, 0, 1, 2, 2, 3])
    score = 10.0 * block + np.random.default_rng(1).normal(size=8)
    (effect,) = _effects(score, [level], block)
    assert effect.p_value > 0.05
    assert effect.low == 0.0
    assert block_effects(score, [block], block) is None


def test_scores_without_noise_are_tested_too() -> None:
    level = np.repeat(np.arange(3), 4)
    (effect,) = _effects(level.astype(np.float64), [level], np.zeros(12, np.int64))
    assert effect.p_value < 1e-12
    assert 0 < effect.low < effect.high
    (nothing,) = _effects(np.ones(12), [level], np.zeros(12, np.int64))
    assert (nothing.p_value, nothing.low) == (1.0, 0.0)


def test_association_is_corrected_for_the_number_of_axes() -> None:
    """With eight axes and no effect at most 5 % of leaderboards name one; a real one is named."""
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, k, 40) for k in (2, 2, 3, 3, 4, 4, 5, 8)]
    runs, named = 60, 0
    for i in range(runs):
        score = _some_collapsed(np.random.default_rng([3, i]), 40)
        named += min(corrected_p_values(score, levels, np.random.default_rng(i))) < 0.05
    # 60 simulations of a true 5 % stray up to 13 %.
    assert named / runs < 0.13
    score = levels[4] + 0.5 * rng.normal(size=40)
    found = corrected_p_values(score, levels, rng)
    assert found[4] == min(found) < 0.01
