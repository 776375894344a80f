"""The sentences over the charts say no more than the scores do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embft.leaderboard.before_after import brier_change, reliability
from embft.leaderboard.compare import differences, group_differences
from embft.leaderboard.curves import chance_of_last
from embft.leaderboard.findings import (
    calibration_finding,
    change_finding,
    epochs_finding,
    weakest_group_finding,
)
from embft.leaderboard.groups import extremes_differ, group_rows
from embft.leaderboard.pair_scores import Model, PairScores, models, read_texts
from embft.leaderboard.rows import Leaderboard
from embft.metrics.pairs import pair_metrics
from embft.metrics.resampling import Units
from tests.helpers.leaderboards import Plan, lora_lr, make_leaderboard, params


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return lora_lr(tmp_path_factory.mktemp("findings"))


def _scored(model: Model, seed: int, quality: float) -> Model:
    """The model with other scores, and the record that they give."""
    rng = np.random.default_rng(seed)
    label = model.test.label
    score = 0.5 + quality * (label - 0.5) + 0.2 * rng.normal(size=len(label))
    derived = pair_metrics(score, label, 0.5)
    return replace(
        model, test=PairScores(label, score, 0.5), row=replace(model.row, derived=derived)
    )


def test_a_direction_is_named_where_it_is_significant(leaderboard: Leaderboard) -> None:
    """What training really moved rises; what chance moved has not changed."""
    base, trained = models(leaderboard)[:2]
    texts = read_texts(trained.row, "test")
    found = differences(trained, base, texts)
    assert change_finding("auc", base.row, trained.row, found["auc"]).startswith("AUC-ROC rises")
    one, two = (_scored(trained, seed, 0.1) for seed in (1, 2))
    gap = differences(two, one, texts)["auc"]
    assert "no significant change from" in change_finding("auc", one.row, two.row, gap)
    untested = change_finding("auc", one.row, two.row)
    assert untested.endswith("before fine-tuning")
    assert "rises" not in untested


def test_the_brier_score_falls_where_it_does_significantly(leaderboard: Leaderboard) -> None:
    base, trained = models(leaderboard)[:2]
    texts = read_texts(trained.row, "test")
    change = brier_change(base, trained, texts)
    was, now = reliability(base), reliability(trained)
    assert change is not None
    assert was is not None
    assert now is not None
    assert change.value == pytest.approx(now[0] - was[0])
    assert calibration_finding(was[0], now[0], change).startswith("Brier score falls from")
    same = brier_change(trained, trained, texts)
    assert same is not None
    assert "no significant change" in calibration_finding(now[0], now[0], same)


def test_the_weakest_group_is_named_where_groups_differ(leaderboard: Leaderboard) -> None:
    """Margins that the same scores have in every group differ by chance alone."""
    trained = models(leaderboard)[1]
    texts = read_texts(trained.row, "test")
    assert texts is not None
    equal = [extremes_differ(_scored(trained, seed, 0.4), texts, "category") for seed in range(40)]
    assert sum(map(bool, equal)) <= 5  # a true 5 % of 40 strays up to 5
    weak = _scored(trained, 1, 0.4)
    inside = np.asarray(texts.groups["category"]) == "money"
    shrunk = np.where(inside, 0.5 + (weak.test.score - 0.5) / 20, weak.test.score)
    weak = replace(weak, test=replace(weak.test, score=shrunk))
    rows = group_rows(weak, texts, "category")
    assert extremes_differ(weak, texts, "category") is True
    assert "closest in money" in weakest_group_finding("category", rows, differ=True)
    assert "none significant" in weakest_group_finding("category", rows, differ=False)
    assert "too few pairs" in weakest_group_finding("category", rows)


def test_groups_differ_by_chance_in_five_percent_of_clustered_pairs(
    leaderboard: Leaderboard,
) -> None:
    """Two equal models whose scores stray by cluster: no group is better more often than 5 %."""
    trained = models(leaderboard)[1]
    label = trained.test.label
    groups = np.where(np.arange(len(label)) % 2, "one", "other")
    runs, wrong = 300, 0
    for i in range(runs):
        rng = np.random.default_rng([1, i])
        cluster = rng.integers(0, 15, len(label))
        strayed = [0.3 * rng.normal(size=15)[cluster] * label for _ in range(2)]
        one, two = (
            replace(trained, test=PairScores(label, s + 0.1 * rng.normal(size=len(label)), 0.5))
            for s in strayed
        )
        units = Units("clusters", cluster)
        wrong += any(item.better for item in group_differences(one, two, list(groups), units))
    # 300 simulations of a true 5 % stray up to 8.3 %.
    assert wrong / runs < 0.085


@pytest.mark.parametrize(
    ("speed", "trials", "said"),
    [(0.2, 8, "The last epoch was the best one in 8 of 8 trials: more epochs may still help"),
     (0.2, 1, "The last epoch was the best one in the one trial")],
)  # fmt: skip
def test_more_epochs_may_help_where_that_is_no_chance(
    tmp_path: Path, speed: float, trials: int, said: str
) -> None:
    """Of one trial's four epochs the last is the best in a quarter of cases anyway."""
    plans = [Plan(params("lora", 2**i, 2e-4), 0.9, speed=speed) for i in range(trials)]
    made = make_leaderboard(tmp_path, plans, pairs=(400, 20), resamples=2)
    assert epochs_finding(made) == said


def test_the_chance_of_the_last_epoch_is_counted(tmp_path: Path) -> None:
    """Three trials of four epochs: binomial; a trial of one evaluation says nothing."""
    plans = [Plan(params("lora", 2**i, 2e-4), 0.9) for i in range(3)]
    made = make_leaderboard(tmp_path, plans, pairs=(40, 20), resamples=2)
    fewer, as_many = chance_of_last(made, 2)
    assert as_many == pytest.approx(3 * 0.25**2 * 0.75 + 0.25**3)
    assert fewer == pytest.approx(1 - 0.25**3)
    single = [Plan(params("lora", 16, 2e-4), 0.9, epochs=1), *plans]
    made = make_leaderboard(tmp_path / "single", single, pairs=(40, 20), resamples=2)
    assert chance_of_last(made, 3) == pytest.approx((fewer, as_many))
