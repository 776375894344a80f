"""The tables that the report draws: each number is checked against the scores it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve as sklearn_roc

from embft.leaderboard.agreement import agreements
from embft.leaderboard.association import associations, epsilon_squared
from embft.leaderboard.axes import axis_pairs, heatmap, swings, visible_range
from embft.leaderboard.before_after import overlap, roc_curve
from embft.leaderboard.compare import comparable, group_differences, versus
from embft.leaderboard.curves import chosen_epochs, cost_points, curve_points
from embft.leaderboard.findings import cost_finding, epochs_finding, heatmap_finding
from embft.leaderboard.front import pareto_front
from embft.leaderboard.groups import group_rows
from embft.leaderboard.labels import config_label, ordered_values, value_text
from embft.leaderboard.mistakes import mistake_counts, worst_mistakes
from embft.leaderboard.pair_scores import Model, models, read_scores, read_texts
from embft.leaderboard.parallel import parallel
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import scored, table_lines
from embft.report.charts.curves import epochs_chart
from embft.report.table import build_table
from embft.report.trials import SPARK, trial_pages
from embft.spec.names import one_line
from tests.helpers.leaderboards import LORA_LR_AXES, Plan, lora_lr, make_leaderboard, params

RANK, RATE = LORA_LR_AXES[1], LORA_LR_AXES[2]


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return lora_lr(tmp_path_factory.mktemp("lora"))


@pytest.fixture(scope="module")
def found(leaderboard: Leaderboard) -> list[Model]:
    return models(leaderboard)


def test_lines_keep_the_groups_ranks_and_place_the_baseline(leaderboard: Leaderboard) -> None:
    """Scores, ties and deltas are the groups' own; the baseline stands where dev puts it."""
    lines = table_lines(leaderboard)
    ranked = [line for line in lines if line.position is not None]
    assert [line.score for line in ranked] == [group.score for group in leaderboard.groups]
    assert [line.in_best_set for line in ranked] == [g.in_best_set for g in leaderboard.groups]
    assert leaderboard.baseline
    base = leaderboard.baseline.test["spearman"]
    assert all(line.delta == pytest.approx((line.score or 0) - base) for line in ranked)
    dev = [line.dev for line in lines if line.dev is not None]
    assert dev == sorted(dev, reverse=True)


def test_long_parameters_leave_the_scores_in_sight(tmp_path: Path) -> None:
    """They have no column unless the reader asks; the configuration's name says them as well."""
    losses = ("cosine_similarity", {"name": "multiple_negatives_ranking", "temperature": 0.02})
    plans = [Plan({"train.loss": loss, RATE: 1e-4}, 0.7) for loss in losses]
    found = make_leaderboard(tmp_path, plans, axes=("train.loss", RATE), resamples=10)
    shown = {column.key: column.shown for column in build_table(found).columns}
    assert (shown["param:train.loss"], shown[f"param:{RATE}"], shown["score"]) == (
        False,
        True,
        True,
    )


def test_heatmap_cells_hold_the_best_of_each_pair_of_values(leaderboard: Leaderboard) -> None:
    """Rank by learning rate comes first, and full fine-tuning has a line of its own."""
    assert axis_pairs(leaderboard) == [(RANK, RATE)]
    cells = {(cell.y, cell.x): cell for cell in heatmap(leaderboard, RANK, RATE)}
    assert len(cells) == 11
    assert ("full", "2e-3") not in cells
    for group in leaderboard.groups:
        rank = "full" if group.params[RANK] is None else str(group.params[RANK])
        assert cells[rank, value_text(group.params[RATE])].score == group.score


def test_swing_changes_one_axis_alone(leaderboard: Leaderboard) -> None:
    """The learning rate's swing is the mean over ranks and full fine-tuning."""
    scores = {(g.params[RANK], g.params[RATE]): g.score for g in leaderboard.groups}
    ranges = [np.ptp([scores[r, lr] for lr in (2e-5, 2e-4, 2e-3)]) for r in (4, 8, 16)]
    ranges.append(np.ptp([scores[None, lr] for lr in (2e-5, 2e-4)]))
    by_axis = {swing.axis: swing for swing in swings(leaderboard)}
    assert by_axis[RATE].mean == pytest.approx(np.mean(ranges))
    assert by_axis[RATE].settings == 4
    assert heatmap_finding(leaderboard, RANK, RATE).startswith(
        "Learning rate matters more than LoRA"
    )


def test_front_holds_what_nothing_beats() -> None:
    """Better and cheaper beats; equal in one and better in the other beats too."""
    costs = [[1], [2], [3], [9], [1]]
    assert pareto_front([1, 2, 2, 3, 0], costs) == [True, True, False, True, False]
    assert pareto_front([1, 1], [[1], [1]]) == [True, True]
    assert pareto_front([1, float("nan")], [[1], [0]]) == [True, False]


def test_cost_names_the_recommended_and_its_share(leaderboard: Leaderboard) -> None:
    """The sentence's numbers are those of the points."""
    points = cost_points(leaderboard)
    shipped = next(point for point in points if point.recommended)
    best = max(points, key=lambda point: point.score)
    sentence = cost_finding(leaderboard)
    assert sentence.startswith(shipped.label)
    assert f"within {best.score - shipped.score:.3f}" in sentence


def test_curves_mark_the_chosen_epoch(leaderboard: Leaderboard) -> None:
    """One chosen point for each completed trial, where the record says it is."""
    rows = [row for row in leaderboard.rows if row.epochs]
    chosen = {p.trial: p.epoch for p in curve_points(leaderboard, rows) if p.chosen}
    assert chosen == {r.trial: r.completed.best_epoch for r in rows if r.completed}
    last = sum(best == end for best, end in chosen_epochs(leaderboard))
    assert f"{last} of 11" in epochs_finding(leaderboard)


def test_curves_by_steps_have_steps_as_their_axis(leaderboard: Leaderboard, tmp_path: Path) -> None:
    """Where evaluations come within an epoch the axis is as wide as the steps; epochs elsewhere."""
    plans = [Plan({"train.lora.rank": rank}, 0.7, epochs=1, per_epoch=5) for rank in (4, 8)]
    by_step = make_leaderboard(tmp_path, plans, axes=("train.lora.rank",))
    chart, usual = epochs_chart(by_step), epochs_chart(leaderboard)
    assert chart
    assert usual
    assert {"15", "30", "45", "60", "75"} == {
        str(d["step"]) for d in chart.spec["datasets"]["rows"]
    }
    x, other = (
        next(layer["encoding"]["x"] for layer in c.spec["layer"] if "detail" in layer["encoding"])
        for c in (chart, usual)
    )
    assert (x["field"], x["scale"]["domain"]) == ("step", [15, 75])
    assert (other["field"], other["scale"]["domain"]) == ("epoch", [1, 4])
    assert '"step"' in json.dumps(chart.spec["layer"])
    assert "evaluation" in chart.title
    pages = list(trial_pages(scored(by_step)))
    page = next(p for p in pages if p.spark)
    assert page.spark
    places = [float(point.split(",")[0]) for point in page.spark.points.split()]
    assert (places[0], places[-1]) == (8.0, SPARK[0] - 8.0)
    assert any(name == "Step kept" and value.endswith(" of 75") for name, value in page.facts)


def test_range_is_cut_only_below_far_out_values() -> None:
    """One diverged trial is cut off; a broad spread is not."""
    low, high = visible_range([0.80, 0.81, 0.82, 0.83, 0.84, -0.9], True)
    assert low is not None
    assert -0.9 < low < 0.8
    assert high is None
    assert visible_range([-0.2, -0.1, 0.1, 0.7, 0.8, 0.8], True) == (None, None)
    assert visible_range([1.0, 1.1, 1.2, 1.3, 90.0], False)[1] is not None
    assert visible_range([1.0, -50.0], True) == (None, None)


def test_scores_are_read_anew_when_the_file_changes(tmp_path: Path) -> None:
    """A trial that was scored again is not shown with its old scores."""
    leaderboard = make_leaderboard(tmp_path, [Plan(params("lora", 8, 2e-4), 0.6)], resamples=20)
    row = leaderboard.groups[0].best
    before = read_scores(row, "test")
    make_leaderboard(tmp_path, [Plan(params("lora", 8, 2e-4), -0.6)], resamples=20)
    after = read_scores(row, "test")
    assert before is not None
    assert after is not None
    assert not np.array_equal(before.score, after.score)


def test_models_before_and_after(found: list[Model]) -> None:
    """The baseline comes first, then the recommended, the best full and the best LoRA."""
    assert [model.name for model in found] == ["Baseline", "Recommended", "Best full", "Best LoRA"]
    assert overlap(found[0]) > overlap(found[1])


def test_roc_curve_agrees_with_sklearn(found: list[Model]) -> None:
    """On the grid the curve is sklearn's, and the band holds it."""
    model = found[1]
    x, y, _ = sklearn_roc(model.test.label, model.test.score, drop_intermediate=False)
    for point in roc_curve(model)[1:-1]:
        assert point.true_positive_rate == pytest.approx(
            np.interp(point.false_positive_rate, x, y), abs=0.02
        )
        assert point.low <= point.true_positive_rate + 1e-9
        assert point.high >= point.true_positive_rate - 1e-9


def test_groups_count_every_pair_once(found: list[Model]) -> None:
    """The groups' pairs and false positives add up to the whole."""
    texts = read_texts(found[1].row, "test")
    assert texts is not None
    rows = group_rows(found[1], texts, "category")
    counts = mistake_counts(found[1].test)
    assert sum(row.n for row in rows) == 1000
    assert counts
    assert sum(row.false_positives for row in rows) == counts[0]


def test_worst_mistakes_are_mistakes_in_order(found: list[Model]) -> None:
    """False positives are label 0 above the threshold, the highest first, with their own texts."""
    texts = read_texts(found[1].row, "test")
    assert texts is not None
    wrong = worst_mistakes(found, texts, found[1], most=5)
    high = [item for item in wrong if item.kind == "too high"]
    assert [item.size for item in high] == sorted((item.size for item in high), reverse=True)
    for item in high:
        assert item.label == 0
        assert item.scores["Recommended"] >= (found[1].test.threshold or 0)
        assert item.text_1 == texts.text_1[item.row]
    assert all(item.label == 1 for item in wrong if item.kind == "too low")


def test_versus_is_the_difference_of_the_two(leaderboard: Leaderboard) -> None:
    """Differences are those of the records, and their intervals hold them."""
    two = comparable(leaderboard)[:3]
    texts = read_texts(two[0].row, "test")
    couples = versus(two, texts, leaderboard.group_columns)
    assert [(c.first, c.second) for c in couples] == [(0, 1), (0, 2), (1, 2)]
    for couple in couples:
        first, second = two[couple.first].row, two[couple.second].row
        for item in couple.metrics:
            assert item.difference == pytest.approx(first.test[item.name] - second.test[item.name])
            assert item.low <= item.difference <= item.high
            assert item.better == (item.low > 0) - (item.high < 0)
        gaps = np.abs(two[couple.first].test.score - two[couple.second].test.score)
        assert gaps[list(couple.apart)].min() >= np.sort(gaps)[-len(couple.apart)]


def test_group_interval_is_welchs(found: list[Model]) -> None:
    """The interval of a margin's difference is scipy's for the paired differences."""
    from scipy import stats

    first, second = found[1], found[2]
    item = group_differences(first, second, ["all"] * 1000)[0]
    gap = first.test.score - second.test.score
    label = first.test.label
    test = stats.ttest_ind(gap[label == 1], gap[label == 0], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (item.low, item.high) == pytest.approx((interval.low, interval.high))
    assert item.difference == pytest.approx(gap[label == 1].mean() - gap[label == 0].mean())


def test_objective_agrees_with_itself(leaderboard: Leaderboard) -> None:
    """The objective stands first with tau 1; every metric names one of the configurations."""
    table = agreements(leaderboard)
    assert table[0].metric == "spearman"
    assert table[0].tau == pytest.approx(1)
    trials = {group.best.trial for group in leaderboard.groups}
    assert all(item.first_trial in trials for item in table)


def test_association_finds_the_axis_that_matters_and_is_silent_otherwise(tmp_path: Path) -> None:
    """From 30 configurations on; an axis without influence does not differ from chance."""
    rates = (1e-5, 1e-4, 1e-3)
    plans = [
        Plan(params("lora", rank, rate), 0.2 + 0.2 * i)
        for rank in range(1, 12)
        for i, rate in enumerate(rates)
    ]
    leaderboard = make_leaderboard(tmp_path, plans, pairs=(60, 120), resamples=10)
    found = {item.axis: item.significant for item in associations(leaderboard)}
    assert found == {RATE: True, RANK: False}
    few = make_leaderboard(tmp_path / "few", plans[:6], pairs=(60, 120), resamples=10)
    assert associations(few) == []


def test_epsilon_squared_of_known_tables() -> None:
    """All of the variance between levels is 1, none of it is 0."""
    level = np.array([0, 0, 1, 1])
    assert epsilon_squared(np.array([1.0, 1.0, 2.0, 2.0]), level) == 1
    assert epsilon_squared(np.array([1.0, 2.0, 1.0, 2.0]), level) == 0


def test_parallel_has_a_point_for_each_configuration_and_axis(leaderboard: Leaderboard) -> None:
    """Heights lie between 0 and 1, the best score's is 1."""
    table = parallel(leaderboard)
    assert table
    assert len(table.points) == len(leaderboard.groups) * len(table.titles)
    assert all(0 <= point["height"] <= 1 for point in table.points)


def test_labels_read_as_people_write() -> None:
    """Rates in powers, lists joined, what does not apply left out."""
    assert value_text(2e-05) == "2e-5"
    assert value_text(0.00015) == "1.5e-4"
    assert value_text(0.1) == "0.1"
    assert value_text(16.0) == "16"
    assert value_text(["query", "value"]) == "query, value"
    assert value_text(True) == "yes"
    assert config_label(params("lora", 8, 2e-4), LORA_LR_AXES) == "LoRA, rank 8, lr 2e-4"
    assert config_label(params("full", None, 2e-5), LORA_LR_AXES) == "Full, lr 2e-5"
    assert ordered_values([8, None, 4, 8]) == [4, 8, None]
    assert ordered_values([["q"], ["q", "v"], ["q"]]) == [["q"], ["q", "v"]]
    assert ordered_values(["b", {"c": 1}, "a", {"c": 1}, "b"]) == ["b", {"c": 1}, "a"]
    assert one_line("a\u2028b\u202e\n c") == "a b c"
    assert len(one_line("x" * 100)) == 60
