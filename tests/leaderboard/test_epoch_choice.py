"""What the best of many evaluations owes to their number is said, and about right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from embft.leaderboard.epoch_choice import epoch_choice_warning, epoch_choices
from embft.leaderboard.rows import Leaderboard, Row
from embft.metrics.weighted import FloatArray
from embft.results.records import EpochScore
from tests.helpers.leaderboards import Plan, make_leaderboard, params


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    plans = [Plan(params("lora", 2**i, 2e-4), 0.8) for i in range(6)]
    return make_leaderboard(tmp_path_factory.mktemp("epochs"), plans, pairs=(20, 20), resamples=2)


def _with_curves(
    leaderboard: Leaderboard, curves: Sequence[Sequence[float] | FloatArray]
) -> list[Row]:
    trained = [row for row in leaderboard.rows if not row.is_baseline]
    found = []
    for row, curve in zip(trained, curves, strict=False):
        assert row.completed is not None
        epochs = tuple(
            EpochScore(epoch=i, step=10 * i, loss=0.1, dev={"spearman": float(s)}, seconds=1.0 * i)
            for i, s in enumerate(curve, 1)
        )
        found.append(replace(row, result=row.completed.model_copy(update={"epochs": epochs})))
    return found


def test_the_best_of_twenty_equal_evaluations_is_flattered_as_much_as_is_said(
    leaderboard: Leaderboard,
) -> None:
    """Twenty evaluations that stray by 0.01 about one value: their largest is 0.0187 above it."""
    said, true = [], []
    for i in range(100):
        rng = np.random.default_rng(i)
        curves = [0.8 + 0.01 * rng.normal(size=20) for _ in range(3)]
        _, found = epoch_choices(_with_curves(leaderboard, curves), "spearman", higher=True)
        said.append(np.mean([choice.bias for choice in found]))
        true.append(np.mean([curve.max() - 0.8 for curve in curves]))
    assert np.mean(said) == pytest.approx(np.mean(true), rel=0.1)
    assert np.mean(true) == pytest.approx(0.0187, rel=0.05)


def test_a_curve_that_rises_to_its_end_has_chosen_among_few(leaderboard: Leaderboard) -> None:
    rng = np.random.default_rng(0)
    rising = 0.5 + 0.3 * (1 - np.exp(-np.arange(20) / 8)) + 0.001 * rng.normal(size=20)
    flat = 0.8 + 0.001 * rng.normal(size=20)
    curves = _with_curves(leaderboard, [rising, flat])
    deviation, (up, level) = epoch_choices(curves, "spearman", higher=True)
    assert up.bias < 0.5 * level.bias
    turned = _with_curves(leaderboard, [1 - rising, 1 - flat])
    other, found = epoch_choices(turned, "spearman", higher=False)
    assert other == pytest.approx(deviation)
    assert [choice.bias for choice in found] == pytest.approx([up.bias, level.bias])


def test_the_warning_comes_where_trials_differ_in_it(leaderboard: Leaderboard) -> None:
    rng = np.random.default_rng(0)
    curves = [0.8 + 0.01 * rng.normal(size=20) for _ in range(5)]
    same = replace(leaderboard, rows=tuple(_with_curves(leaderboard, curves)))
    assert list(epoch_choice_warning(same)) == []
    differ = replace(leaderboard, rows=tuple(_with_curves(leaderboard, [*curves, [0.8]])))
    (said,) = epoch_choice_warning(differ)
    assert "the best of between 1 and 20 evaluations on dev" in said
    assert "and 0.000 to that of the one with 1: compare these on test" in said
    few = replace(leaderboard, rows=tuple(_with_curves(leaderboard, [[0.7, 0.8], [0.8]])))
    (said,) = epoch_choice_warning(few)
    assert "no trial has three evaluations" in said
