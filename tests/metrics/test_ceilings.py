"""The highest value of a rank correlation is that of scores in the labels' order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from embft.leaderboard.highest_score import highest_score
from embft.leaderboard.pair_scores import read_scores
from embft.metrics.bootstrap import bootstrap
from embft.metrics.ceilings import ceiling
from embft.metrics.weighted import FloatArray
from embft.report.page import method
from tests.helpers.leaderboards import lora_lr_plans, make_leaderboard


@pytest.mark.parametrize(
    "label",
    [
        np.repeat([0.0, 1.0], 150),
        np.repeat([0.0, 1.0], [95, 5]),
        np.round(np.random.default_rng(0).random(200) * 5),
        np.arange(30.0),
    ],
)
def test_it_is_what_perfect_order_reaches(label: FloatArray) -> None:
    perfect = label + 1e-6 * np.arange(len(label))
    assert ceiling("spearman", label) == pytest.approx(stats.spearmanr(perfect, label).statistic)
    assert ceiling("kendall", label) == pytest.approx(stats.kendalltau(perfect, label).statistic)


def test_other_metrics_have_their_bound() -> None:
    label = np.repeat([0.0, 1.0], 10)
    assert ceiling("auc", label) == 1.0
    assert ceiling("margin", label) is None
    assert ceiling("spearman") == 1.0
    assert np.isnan(ceiling("spearman", np.ones(4)) or 0.0)


def test_a_perfect_order_is_said_to_be_the_highest() -> None:
    """AUC = 1 shows 0.866 as Spearman: the note says that there is no higher one."""
    rng = np.random.default_rng(0)
    label = np.repeat([0.0, 1.0], 150)
    perfect = bootstrap(label + 0.4 * rng.random(300), label, 0.7)
    assert perfect.estimates["auc"] == 1.0
    assert "perfect order, and 0.866 is the highest" in perfect.notes["spearman"]
    assert "kendall" in perfect.notes
    assert "highest" not in perfect.notes.get("auc", "")
    graded = np.repeat([0.0, 1.0, 2.0], 100)
    assert (
        "0.943 is the highest"
        in bootstrap(graded + 0.4 * rng.random(300), graded, 0.7).notes["spearman"]
    )
    other = bootstrap(label + rng.normal(size=300), label, 0.7)
    assert "spearman" not in other.notes


def test_the_report_says_the_highest_score(tmp_path: Path) -> None:
    leaderboard = make_leaderboard(tmp_path, lora_lr_plans()[:2], pairs=(40, 40), resamples=2)
    (said,) = highest_score(leaderboard)
    chosen = leaderboard.recommended
    assert chosen is not None
    scores = read_scores(chosen.best, "test")
    assert scores is not None
    assert f"{ceiling('spearman', scores.label):.3f} at most" in said
    assert said in method(leaderboard)
    assert list(highest_score(replace(leaderboard, metric="auc"))) == []
