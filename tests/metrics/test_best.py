"""The set of the best, losses, ranks, comparisons with one: right in tables, as often as said.

Simulations are of other distributions than the method assumes (ranks of scores, not normal errors),
or of scores themselves where seeds are the question. Bands allow for the simulation's own error.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import special, stats
from threadpoolctl import threadpool_limits

from embft.metrics.best import Contest, Field, field_of
from embft.metrics.bootstrap import hierarchical
from embft.metrics.resampling import Resampling, independent_pairs, sampling_units
from embft.metrics.seed_variance import seed_variance
from embft.metrics.weighted import FloatArray


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Thousands of small products: more threads only wait for each other."""
    with threadpool_limits(1):
        yield


def _field(scores: FloatArray, variance: float = 1.0, freedom: float = 1e6) -> Field:
    """Configurations with independent errors, of one seed each."""
    k = len(scores)
    return Field(scores, variance * np.eye(k), freedom, scores[:, None], np.zeros(k, dtype=bool))


@pytest.mark.parametrize(("others", "table"), [(1, 1.645), (2, 1.916), (5, 2.234), (9, 2.42)])
def test_critical_values_are_dunnetts(others: int, table: float) -> None:
    """With independent scores of known variance they are those of Dunnett's tables (1955)."""
    found = Contest(_field(np.zeros(others + 1))).critical
    assert found == pytest.approx(table, abs=0.08)


@pytest.mark.parametrize("freedom", [4.0, 30.0])
def test_with_one_other_it_is_students_t(freedom: float) -> None:
    """Few degrees of freedom: the error's own error counts."""
    contest = Contest(_field(np.array([2.0, 0.0]), freedom=freedom))
    assert contest.critical == pytest.approx(stats.t.ppf(0.95, freedom), rel=0.06)
    expected = stats.t.sf(2 / np.sqrt(2), freedom)
    assert contest.p_best[1] == pytest.approx(expected, abs=0.015)
    assert contest.p_best_raw[1] == pytest.approx(expected)
    assert contest.against(0)[1].p_value == pytest.approx(2 * expected)


def test_ranks_hold_as_the_studentised_range_does() -> None:
    """Two scores have separate ranks from the distance on that Tukey's range gives."""
    reach = stats.studentized_range.ppf(0.95, 5, np.inf)  # of scores with variance 1
    for distance, apart in ((reach * 1.04, True), (reach * 0.96, False)):
        low, high = Contest(_field(np.array([distance, 0, 0, 0, 0]))).ranks()
        assert (high[0] == 1) == apart
        assert (low[1] == 2) == apart
    low, high = Contest(_field(np.array([9.0, 0, 0, 0, 9.0]))).ranks(np.arange(5) > 0)
    assert (low[0], high[0]) == (1, 1), "among the others it would share the first place"


def test_losses_are_those_of_the_worked_example() -> None:
    """One far ahead: it loses nothing, and each other its distance and the critical error."""
    contest = Contest(_field(np.array([10.0, 5.0, 0.0]), variance=0.5))
    assert contest.in_best_set.tolist() == [True, False, False]
    assert contest.loss_high[0] == 0
    reach = contest.critical[0]
    assert contest.loss_high[1:] == pytest.approx([5 + reach, 10 + reach])
    assert contest.difference_to_best[0, 1] == pytest.approx(5 + reach)
    assert contest.difference_to_best[1:, 1] == pytest.approx([0, 0])
    assert contest.better_than(2).tolist() == [True, True, False]


def test_copies_may_both_be_the_best() -> None:
    """Configurations with the very same scores differ by nothing, without any error."""
    field = Field(np.zeros(2), np.ones((2, 2)), 99, np.zeros((2, 1)), np.zeros(2, dtype=bool))
    contest = Contest(field)
    assert contest.in_best_set.all()
    assert contest.loss_high.tolist() == [0, 0]
    assert contest.against(0)[1].p_adjusted == 1.0
    alone = Contest(_field(np.ones(1)))
    assert (alone.in_best_set.tolist(), alone.loss_high.tolist()) == ([True], [0.0])


def _scored(
    rng: np.random.Generator, quality: FloatArray, n: int, seeds: int = 1, spread: float = 0.0
) -> Contest:
    """Models whose scores share four fifths of their noise, compared by Spearman."""
    label, shared = (np.arange(n) % 2).astype(np.float64), rng.normal(size=n)
    plan = Resampling(300, only=("spearman",), intervals=False, linear=True)
    units, results = independent_pairs(n), []
    for mean in quality:
        drawn = mean + spread * rng.normal(size=seeds)
        noise = np.sqrt(0.8) * shared + np.sqrt(0.2) * rng.normal(size=(seeds, n))
        scores = list(drawn[:, None] * label + noise)
        results.append(hierarchical(scores, label, [0.5] * seeds, units, plan))
    return Contest(field_of(results, "spearman"))


@pytest.mark.slow
@pytest.mark.parametrize(("count", "runs"), [(2, 300), (5, 120), (12, 60), (41, 16)])
def test_equals_are_excluded_as_rarely_as_said(count: int, runs: int) -> None:
    """Of equal models each is excluded from the best in 5 % of sweeps, whatever their number.

    Here the mean over the models of each sweep, which a single one's rate is, more exactly.
    """
    excluded = [
        1 - _scored(np.random.default_rng([1, i]), np.full(count, 1.6), 300).in_best_set.mean()
        for i in range(runs)
    ]
    error = np.std(excluded) / np.sqrt(runs)
    assert abs(np.mean(excluded) - 0.05) < 0.01 + 2.5 * error


@pytest.mark.slow
def test_one_ahead_is_in_the_set_and_most_others_are_not() -> None:
    """One of twelve clearly ahead: the best is kept, losses hold, and the set is a third."""
    quality = np.full(12, 1.6)
    quality[0] = 1.9
    truth = np.sqrt(3) / 2 * special.erf(quality / 2)
    sizes, missing, wrong = [], 0, 0
    for i in range(60):
        contest = _scored(np.random.default_rng([2, i]), quality, 300)
        sizes.append(contest.in_best_set.sum())
        missing += not contest.in_best_set[0]
        wrong += bool((contest.loss_high < truth.max() - truth - 1e-9).any())
    assert missing / 60 <= 0.06
    assert wrong / 60 <= 0.13
    assert np.mean(sizes) < 6


def _seeds(rng: np.random.Generator, count: int, seeds: int, shared: float = 0.0) -> Contest:
    """Equal recipes whose scores differ by their seeds alone."""
    table = rng.normal(size=(count, seeds)) + shared * rng.normal(size=seeds)
    fixed = np.zeros(count, dtype=bool)
    return Contest(Field(table.mean(axis=1), np.zeros((count, count)), 299, table, fixed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "seeds", "shared", "runs"),
    [(5, 2, 0.0, 200), (12, 2, 0.0, 120), (12, 3, 2.0, 120), (50, 3, 0.0, 30)],
)
def test_equal_recipes_differ_as_rarely_as_said(
    count: int, seeds: int, shared: float, runs: int
) -> None:
    """Two or three seeds: no more false differences than asked for, with any number of them.

    A seed that moves all alike changes nothing.
    """
    excluded, ranks, different = [], 0, 0
    for i in range(runs):
        contest = _seeds(np.random.default_rng([3, i]), count, seeds, shared)
        assert contest.scope == "configurations"
        excluded.append(1 - contest.in_best_set.mean())
        ranks += bool((contest.ranks()[0] > 1).any())
        found = [other.p_adjusted or 1.0 for other in contest.against(0)[1:]]
        different += min(found) < 0.05
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert ranks / runs < allowed + 0.015
    assert different / runs < allowed + 0.015
    assert np.mean(excluded) < 0.06 + 3 * np.std(excluded) / np.sqrt(runs)


def test_one_seed_speaks_of_trained_models() -> None:
    """The scope follows the seeds, and a base model has none."""
    rng = np.random.default_rng(4)
    assert _scored(rng, np.ones(3), 60).scope == "trained models"
    table = np.array([[0.1, np.nan, np.nan], [0.5, 0.7, 0.6], [0.4, np.nan, 0.6]])
    field = Field(
        np.nanmean(table, axis=1), 0.01 * np.eye(3), 99, table, np.array([True, False, False])
    )
    contest = Contest(field)
    assert contest.scope == "configurations"
    assert contest.error[0, 1] < contest.error[0, 2], "fewer seeds say less"


def test_seed_variances_are_pooled_and_paired() -> None:
    """What a seed does to all is left out; a missing seed costs its degree of freedom."""
    rng = np.random.default_rng(5)
    seed, noise = 5 * rng.normal(size=4), rng.normal(size=(400, 4))
    found = seed_variance(noise + seed)
    assert found is not None
    assert found.pooled == pytest.approx(1.0, abs=0.12)
    assert found.shared == pytest.approx(seed.var(ddof=1), rel=0.2)
    few = (noise + seed)[:4]
    few[1, 1:], few[2, 0] = np.nan, np.nan
    fewer = seed_variance(few)
    assert fewer is not None
    assert fewer.own_freedom.tolist() == pytest.approx([2 * 3 - 1] * 4)
    assert seed_variance(np.array([[1.0, np.nan], [2.0, np.nan]])) is None
    single = seed_variance(np.array([[1.0, 2.0, 3.0]]))
    assert single is not None
    assert (single.own[0], single.own_freedom[0]) == (1.0, 2.0)


def test_variances_that_differ_are_moderated() -> None:
    """A few configurations that vary ten times as much keep a larger variance than the others."""
    rng = np.random.default_rng(6)
    spread = np.where(np.arange(40) < 8, 10.0, 1.0)
    found = seed_variance(spread[:, None] * rng.normal(size=(40, 5)))
    assert found is not None
    assert not found.together
    assert np.median(found.own[:8]) > 10 * np.median(found.own[8:])


def test_the_linear_error_leaves_out_what_resampling_counts_three_times() -> None:
    """The variance of the difference of two similar models is the one that repeated draws have."""
    differences: list[float] = []
    found: dict[bool, list[float]] = {False: [], True: []}
    for i in range(200):
        rng = np.random.default_rng([7, i])
        label, shared = (np.arange(100) % 2).astype(np.float64), rng.normal(size=100)
        scores = 1.6 * label + shared + 0.25 * rng.normal(size=(2, 100))
        for linear, variances in found.items():
            plan = Resampling(200, only=("auc",), intervals=False, linear=linear)
            one, two = (hierarchical([s], label, [0.5], resampling=plan) for s in scores)
            variances.append(float(np.var(one.samples["auc"] - two.samples["auc"])))
        differences.append(one.estimates["auc"] - two.estimates["auc"])
    truth = np.var(differences)
    assert np.mean(found[True]) / truth < 1.25
    assert np.mean(found[False]) > 1.06 * np.mean(found[True])


def test_shared_texts_leave_no_variance_below_that_of_pairs() -> None:
    """Where texts are drawn, the field's variances are robust to them and never negative."""
    rng = np.random.default_rng(8)
    ends = np.stack([rng.integers(0, 20, 200), rng.integers(20, 40, 200)])
    units = sampling_units([f"t{i}" for i in ends[0]], [f"t{i}" for i in ends[1]])
    assert units.scheme == "texts"
    effect, label = rng.normal(size=40)[ends].sum(axis=0), (rng.random(200) < 0.5) * 1.0
    plan = Resampling(400, only=("auc",), intervals=False, linear=True)
    results = [
        hierarchical([label + a * effect + rng.normal(size=200)], label, [0.5], units, plan)
        for a in (0.0, 0.0, 1.0)
    ]
    error = Contest(field_of(results, "auc")).error
    assert (error[~np.eye(3, dtype=bool)] > 0.005).all()
    assert error[0, 2] > error[0, 1]


def test_who_was_not_resampled_alike_does_not_compare() -> None:
    label = (np.arange(60) % 2).astype(np.float64)
    scores = label + np.random.default_rng(9).normal(size=60)
    plans = [Resampling(100, linear=True), Resampling(100, linear=True, seed=1)]
    results = [hierarchical([scores], label, [0.5], resampling=plan) for plan in plans]
    with pytest.raises(ValueError, match="resampled differently"):
        field_of(results, "auc")
