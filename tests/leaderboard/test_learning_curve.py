"""The learning curve: what more rows of train bring is read off a law, or why it cannot be said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embft.leaderboard.findings import learning_finding
from embft.leaderboard.learning_curve import AXIS, learning_curves
from embft.leaderboard.rows import Leaderboard
from embft.report.charts.learning_curve import learning_chart
from tests.helpers.leaderboards import Plan, make_leaderboard

ROWS = {0.125: 150, 0.25: 300, 0.5: 600, 1.0: 1200}
AXES = (AXIS, "train.method")


def _quality(rows: int) -> float:
    return 0.35 - 3.5 / float(np.sqrt(rows))


def _leaderboard(
    folder: Path, shares: tuple[float, ...], methods: tuple[str, ...] = ("lora",), seeds: int = 1
) -> Leaderboard:
    names = tuple(range(42, 42 + seeds))
    plans = [
        Plan({AXIS: share, "train.method": method}, _quality(ROWS[share]), seed, rows=ROWS[share])
        for method in methods
        for share in shares
        for seed in names
    ]
    axes = AXES if len(methods) > 1 else AXES[:1]
    return make_leaderboard(folder, plans, axes=axes, seeds=names, resamples=50)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_curve_has_the_scores_and_a_law(tmp_path: Path, seeds: int) -> None:
    """Rows are those of the frozen train; the gain is that of the made-up law at twice them."""
    leaderboard = _leaderboard(tmp_path, tuple(ROWS), seeds=seeds)
    (curve,) = learning_curves(leaderboard)
    assert [point.rows for point in curve.points] == [150, 300, 600, 1200]
    by_share = {group.params[AXIS]: group for group in leaderboard.groups}
    for share, point in zip(ROWS, curve.points, strict=True):
        assert point.score == pytest.approx(by_share[share].score)
        assert point.interval == by_share[share].interval
        assert len(point.trials) == seeds
    assert curve.gain is not None
    slope = (curve.points[3].score - curve.points[0].score) / (_quality(1200) - _quality(150))
    expected = slope * (_quality(2400) - _quality(1200))
    assert curve.gain.low <= expected <= curve.gain.high
    assert curve.law[0][0] == pytest.approx(150)
    assert curve.law[-1][0] == pytest.approx(2400)
    said = learning_finding(leaderboard, curve)
    assert said.startswith("With 2,400 rows of train instead of 1,200 the Spearman correlation")
    assert f"({curve.gain.low:.3f} to {curve.gain.high:.3f})" in said


def test_each_setting_has_its_curve_and_the_chart_draws_them(tmp_path: Path) -> None:
    leaderboard = _leaderboard(tmp_path, tuple(ROWS), ("lora", "full"))
    curves = learning_curves(leaderboard)
    assert {curve.label for curve in curves} == {"LoRA", "Full"}
    chosen = leaderboard.recommended
    assert chosen is not None
    if not chosen.is_base:
        assert chosen.best.trial in {t for point in curves[0].points for t in point.trials}
    drawn = learning_chart(leaderboard)
    assert drawn is not None
    assert drawn.points == 8
    assert drawn.title == learning_finding(leaderboard, curves[0])
    assert learning_finding(leaderboard, curves[1]) in drawn.note
    ahead = drawn.spec["datasets"]["ahead"]
    for row, curve in zip(ahead, curves, strict=True):
        assert curve.gain is not None
        width = curve.gain.high - curve.gain.low
        assert row["high"] - row["low"] == pytest.approx(width, rel=1e-3)


def test_three_sizes_are_drawn_and_promise_nothing(tmp_path: Path) -> None:
    leaderboard = _leaderboard(tmp_path, (0.25, 0.5, 1.0))
    (curve,) = learning_curves(leaderboard)
    assert curve.gain is None
    assert curve.law == ()
    drawn = learning_chart(leaderboard)
    assert drawn is not None
    assert "cannot be said: that takes 4 sizes of train, and there are 3" in drawn.title
    assert "power law" not in drawn.note


def test_without_single_values_nothing_is_promised(tmp_path: Path) -> None:
    leaderboard = _leaderboard(tmp_path, tuple(ROWS))
    leaderboard.groups[0].best.folder.scores_file.unlink()
    (curve,) = learning_curves(leaderboard)
    assert curve.gain is None
    assert "values of single pairs" in curve.reason


def test_what_follows_no_law_promises_nothing(tmp_path: Path) -> None:
    """Scores that rise, fall and rise again by far more than seeds and pairs explain."""
    plans = [
        Plan({AXIS: share}, quality, seed, rows=ROWS[share])
        for share, quality in zip(ROWS, (0.2, 0.75, 0.1, 0.5), strict=True)
        for seed in (1, 2, 3)
    ]
    leaderboard = make_leaderboard(tmp_path, plans, axes=AXES[:1], seeds=(1, 2, 3), resamples=50)
    (curve,) = learning_curves(leaderboard)
    assert curve.gain is None
    assert "stray from a power law" in curve.reason


def test_other_sweeps_have_none(tmp_path: Path) -> None:
    leaderboard = _leaderboard(tmp_path, (1.0,))
    assert learning_curves(leaderboard) == []
    assert learning_chart(leaderboard) is None
    lower = replace(_leaderboard(tmp_path / "x", tuple(ROWS)), mode="min")
    (curve,) = learning_curves(lower)
    assert curve.gain is not None
    assert curve.gain.value == pytest.approx(0.0, abs=1e-9), "more rows never make it worse"
    assert np.isfinite(curve.gain.high)
