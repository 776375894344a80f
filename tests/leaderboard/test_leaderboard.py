"""Ranks, ties, the recommendation and the answer are what the records say."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embft.leaderboard.axes import leading_range
from embft.leaderboard.decision import Candidates, choose
from embft.leaderboard.export import to_csv, to_json, to_records
from embft.leaderboard.labels import number, ranks_note
from embft.leaderboard.one_trial import one_trial_yaml
from embft.leaderboard.pair_scores import read_scores, train_rows
from embft.leaderboard.ranking import rank
from embft.leaderboard.rows import Leaderboard, Row
from embft.leaderboard.significance import outcome
from embft.leaderboard.table import table_lines
from embft.leaderboard.verdict import group_name, verdict
from embft.leaderboard.warnings import warnings
from embft.metrics.best import Contest, Field
from embft.metrics.comparison import Comparison
from embft.metrics.pairs import pair_metrics
from embft.report.table import build_table
from embft.results.dataset import read_split
from embft.results.folders import TrialDir
from embft.results.serving import Loss, Serving, Speed, Variant, write_serving
from embft.spec import Objective, parse_spec
from embft.spec.objective import Preference
from tests.helpers.leaderboards import Plan, lora_lr, lora_lr_plans, make_leaderboard, params


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """The made-up sweep, ranked by the code under test."""
    return lora_lr(tmp_path_factory.mktemp("leaderboard"))


def test_ranks_follow_dev(leaderboard: Leaderboard) -> None:
    """Groups come by their mean dev objective, and test scores are the records'."""
    scores = [group.dev_score for group in leaderboard.groups]
    assert scores == sorted(scores, reverse=True)
    assert [group.rank for group in leaderboard.groups] == list(range(1, len(scores) + 1))
    for group in leaderboard.groups:
        assert group.score == pytest.approx(group.best.test["spearman"])


def test_min_turns_the_order(leaderboard: Leaderboard) -> None:
    """With `mode: min` the lowest dev score leads, and differences keep their sign."""
    found = rank(leaderboard.rows, Objective(mode="min"))
    scores = [group.dev_score for group in found.groups]
    assert scores == sorted(scores)
    (chosen,) = [g for g in (*found.groups, *found.bases) if g.recommended]
    last = found.groups[-1]
    assert last.to_recommended is not None
    assert last.to_recommended.difference == pytest.approx(last.score - chosen.score, abs=1e-9)
    assert last.to_recommended.low < last.to_recommended.difference < last.to_recommended.high
    assert last.loss_high is not None
    assert last.loss_high > last.dev_score - scores[0]


def test_differences_are_to_the_recommended_on_test(leaderboard: Leaderboard) -> None:
    """Each difference is this score minus the recommended one's, inside its interval."""
    chosen, base = leaderboard.recommended, leaderboard.baseline
    assert chosen is not None
    assert base is not None
    assert chosen.to_recommended is None
    for group in (*leaderboard.groups, *leaderboard.bases):
        if group is chosen:
            continue
        found = group.to_recommended
        assert found is not None
        assert found.difference == pytest.approx(group.score - chosen.score, abs=1e-9)
        assert found.low <= found.difference <= found.high
        assert found.p_adjusted is not None
        assert found.p_adjusted >= found.p_value
        assert group.detectable is not None
    for group in leaderboard.groups:
        assert group.to_base is not None
        expected = group.score - base.test["spearman"]
        assert group.to_base.difference == pytest.approx(expected, abs=1e-9)


def test_rank_intervals_hold_the_rank_and_agree_with_the_best(leaderboard: Leaderboard) -> None:
    """Everyone's own rank lies in its interval, and who may be the best may be first."""
    assert leaderboard.groups[0].in_best_set
    for group in leaderboard.groups:
        assert group.rank_low <= group.rank <= group.rank_high
        assert group.rank_low == 1 or not group.in_best_set
    worst = leaderboard.groups[-1]
    assert not worst.in_best_set, "a configuration that learned nothing is not the best"
    assert worst.loss_high is not None
    assert worst.loss_high >= leaderboard.groups[0].dev_score - worst.dev_score


def test_a_rank_of_1_outside_of_the_best_set_is_explained(leaderboard: Leaderboard) -> None:
    """Ranks and the set are two procedures; a reader who sees both reads why, and only then."""
    inside = [replace(g, in_best_set=g.rank_low == 1) for g in leaderboard.groups]
    assert "outside of that set" not in ranks_note(inside)
    outside = [*inside[:-1], replace(inside[-1], rank_low=1, in_best_set=False)]
    assert "a range may reach 1 outside of that set" in ranks_note(outside)


def test_the_cheapest_within_the_tolerance_is_recommended(leaderboard: Leaderboard) -> None:
    """As the tolerance grows a cheaper one is good enough, and at last the base model is."""
    bounds = {group.rank: group.loss_high for group in leaderboard.groups}
    lora = next(g for g in leaderboard.groups if g.params["train.lora.rank"] == 4)
    enough = bounds[lora.rank]
    assert enough is not None
    for tolerance, base in ((enough + 1e-9, False), (10.0, True)):
        found = rank(leaderboard.rows, Objective(tolerance=tolerance))
        (chosen,) = [g for g in (*found.groups, *found.bases) if g.recommended]
        assert chosen.is_base == base
        assert found.decision is not None
        assert found.decision.resolved
        if not base:
            assert chosen.params == lora.params


def test_nobody_within_the_tolerance_is_unresolved(leaderboard: Leaderboard) -> None:
    """Then the leader is recommended, and the answer says what it may lose and what it takes."""
    found = rank(leaderboard.rows, Objective(tolerance=0.0))
    (chosen,) = [group for group in found.groups if group.recommended]
    decision = found.decision
    assert chosen is found.groups[0]
    assert decision is not None
    assert not decision.resolved
    assert decision.scope == "trained models"
    assert decision.loss_high is not None
    assert decision.loss_high > 0
    assert decision.needed is not None
    assert decision.needed.pairs is not None
    assert decision.needed.pairs > 300
    said = list(
        verdict(replace(leaderboard, groups=found.groups, bases=found.bases, decision=decision))
    )
    assert said[0].startswith("Recommended, but unresolved: ")
    assert f"it may lose up to {number(decision.loss_high)}" in said[1]
    assert "dev pairs (now 300) would decide it" in said[1]
    assert any("these trained models" in sentence for sentence in said)


def _changed(row: Row, trial: str, **changes: Any) -> Row:
    """The row as another configuration's, its result changed."""
    assert row.completed is not None
    result = row.completed.model_copy(update=changes)
    return replace(row, trial=trial, params={**row.params, "other": trial}, result=result)


def _recommended(*rows: Row, prefer: Preference = "parameters") -> str:
    found = rank(rows, Objective(prefer=prefer))
    assert all(group.in_best_set for group in found.groups)
    return next(group.best.trial for group in found.groups if group.recommended)


def test_what_else_the_machine_did_recommends_nothing(leaderboard: Leaderboard) -> None:
    """Of equals that took other times, the first is taken; fewer epochs are cheaper."""
    first = leaderboard.groups[0].best
    assert first.completed is not None
    timings = first.completed.timings
    quick = timings.model_copy(update={"train": timings.train / 10})
    slow = timings.model_copy(update={"train": timings.train * 10})
    one, other = _changed(first, "one", timings=slow), _changed(first, "other", timings=quick)
    assert _recommended(one, other) == "one"
    assert _recommended(other, one) == "other"
    *_, last = first.epochs
    longer = (*first.epochs, last.model_copy(update={"epoch": last.epoch + 1}))
    assert _recommended(_changed(one, "longer", epochs=longer), other) == "other"


def test_cost_is_what_the_spec_prefers(leaderboard: Leaderboard) -> None:
    """Fewer parameters, fewer rows trained on, or nothing: then the leader is taken."""
    first = leaderboard.groups[0].best
    *_, last = first.epochs
    small = _changed(
        first, "small", trainable_parameters=10,
        epochs=(*first.epochs, last.model_copy(update={"epoch": last.epoch + 3})),
    )  # fmt: skip
    short = _changed(first, "short", trainable_parameters=20)
    best = _changed(first, "best", trainable_parameters=30, epochs=small.epochs)
    rows = (best, small, short)
    assert _recommended(*rows, prefer="parameters") == "small"
    assert _recommended(*rows, prefer="training") == "short"
    assert _recommended(*rows, prefer="none") == "best"
    # Nothing is known of their service, which then costs all the same: training decides.
    assert _recommended(*rows, prefer="serving") == "small"
    sizes = {"best": 1_000, "small": 3_000, "short": 2_000}
    served = tuple(_served(row, sizes[row.trial]) for row in rows)
    assert _recommended(*served, prefer="serving") == "best"


def _served(row: Row, size: int) -> Row:
    """The row with a folder of its own, and an index of so many bytes."""
    folder = TrialDir(row.folder.path.with_name(f"{row.trial}-{row.folder.key}"))
    shutil.copytree(row.folder.path, folder.path)
    whole = Variant(384, "float32", size, Loss(0.8, 0, (0, 0)), Loss(0.8, 0, (0, 0)))
    write_serving(folder, Serving("spearman", (), {}, (whole,), Speed(9.0, 0.1, 0.1)))
    return replace(row, folder=folder)


def test_a_base_model_is_no_cheaper_to_serve() -> None:
    """Its training is what costs nothing; served, the smallest index is taken."""
    contest = Contest(
        Field(
            np.array([0.700, 0.701]), 5e-7 * np.eye(2), 299, np.array([[0.700], [0.701]]),
            np.zeros(2, bool),
        )
    )  # fmt: skip
    among = Candidates(contest, [(5.0,), (4.0,)], [0, 0], np.array([0.003, 0.002]))
    assert choose(among, Objective(prefer="parameters")).one == 0
    assert choose(among, Objective(prefer="serving")).one == 1


def test_a_base_model_that_leads_is_kept(leaderboard: Leaderboard) -> None:
    """Where training hurts, the sentence says to keep the base model; it trains nothing."""
    lost = [group for group in leaderboard.groups if group.score < 0.2]
    assert leaderboard.baseline
    good = leaderboard.groups[0].best.completed
    assert good is not None
    assert leaderboard.baseline.completed is not None
    base = replace(
        leaderboard.baseline,
        folder=leaderboard.groups[0].best.folder,
        result=leaderboard.baseline.completed.model_copy(update={"dev": good.dev, "test": good.test,
            "files": good.files}),
    )  # fmt: skip
    found = rank([base, *(row for group in lost for row in group.rows)], Objective())
    (chosen,) = [g for g in (*found.groups, *found.bases) if g.recommended]
    assert chosen.best is base
    made = replace(leaderboard, groups=found.groups, bases=found.bases, decision=found.decision)
    assert next(iter(verdict(made))).startswith("Recommended: keep the base model, test Spearman")
    assert made.recommended is chosen
    assert made.shown is found.groups[0]
    content = json.loads(to_json(made, []))
    assert content["decision"]["keep_base_model"]
    assert content["resolved"] is True


def test_a_trained_one_that_is_not_shown_to_be_better_says_so(leaderboard: Leaderboard) -> None:
    """Its lead over the base model is within the error: unresolved, with what it would take."""
    assert leaderboard.baseline
    leader = leaderboard.groups[0].best
    twin = leaderboard.groups[1].best
    assert twin.completed is not None
    spec = leaderboard.baseline.completed.spec if leaderboard.baseline.completed else None
    base = replace(
        leaderboard.baseline,
        folder=twin.folder,
        result=twin.completed.model_copy(update={"spec": spec, "trainable_parameters": 0}),
    )
    found = rank([base, leader], Objective(tolerance=0.0))
    decision = found.decision
    assert decision is not None
    assert decision.better_than_base is False
    assert not decision.resolved
    assert decision.needed_for_base is not None
    made = replace(leaderboard, groups=found.groups, bases=found.bases, decision=decision)
    said = " ".join(verdict(made))
    assert "not shown to be better than the base model" in said


def test_failed_and_missing_seeds_stand_beside_the_recommendation(tmp_path: Path) -> None:
    """They are named, with what became of them, and nothing is resolved while they are missing."""
    plans = [
        plan if plan.seed != 2 or plan.params["train.lora.rank"] != 8
        else replace(plan, status="failed")
        for plan in lora_lr_plans((1, 2))
    ]  # fmt: skip
    made = make_leaderboard(tmp_path, plans, seeds=(1, 2))
    decision = made.decision
    assert decision is not None
    assert len(decision.incomplete) == 3
    assert not rank(made.rows, Objective(tolerance=9.0)).decision.resolved  # type: ignore[union-attr]
    (named,) = [sentence for sentence in made.verdict if "no score with every seed" in sentence]
    assert "3 configurations have" in named
    assert "LoRA, rank 8, lr 2e-3 (failed with seed 2)" in named


def test_training_rows_are_those_of_the_frozen_data(tmp_path: Path) -> None:
    """However large batches are, an epoch of the same data costs the same."""
    row = lora_lr(tmp_path).groups[0].best
    assert train_rows(row) is None
    data = row.folder.sweep.dataset(row.folder.read_input().data)
    some = read_split(data, "dev").take(np.arange(7))
    some.write(data / "train.parquet")
    assert train_rows(row) == 7


def test_equal_trials_may_both_be_the_best(leaderboard: Leaderboard) -> None:
    """Two configurations with the very same scores differ by nothing."""
    first = leaderboard.groups[0].best
    twin = replace(first, trial="twin", params={**first.params, "train.lora.rank": 99})
    found = rank([first, twin], Objective())
    assert [group.in_best_set for group in found.groups] == [True, True]
    against = found.groups[1].to_recommended
    assert against is not None
    assert (against.difference, against.p_adjusted) == (0.0, 1.0)


def test_scores_on_disk_give_the_records_metrics(leaderboard: Leaderboard) -> None:
    """A reader of scores.parquet finds the metrics that the record states."""
    row = leaderboard.groups[0].best
    found = read_scores(row, "test")
    assert found is not None
    assert row.completed is not None
    assert found.threshold == row.completed.threshold
    metrics = pair_metrics(found.score, found.label, found.threshold or 0.0)
    assert metrics["spearman"] == pytest.approx(row.test["spearman"], abs=1e-4)


def test_each_number_of_the_answer_is_the_boards(leaderboard: Leaderboard) -> None:
    """The verdict's score, interval, gain over the baseline and cost stand in the tables."""
    sentences = list(verdict(leaderboard))
    chosen, text = leaderboard.recommended, " ".join(sentences)
    assert chosen is not None
    assert chosen.interval is not None
    assert chosen.best.completed is not None
    gain = chosen.to_base
    assert gain is not None
    assert number(chosen.score) in sentences[0]
    assert number(chosen.interval[0]) in sentences[0]
    assert f"{number(gain.difference)} ({number(gain.low)} to {number(gain.high)})" in text
    assert "significantly better" in text
    assert f"{chosen.best.completed.trainable_parameters:,} parameters" in text


def test_no_number_of_the_answer_is_from_elsewhere(leaderboard: Leaderboard) -> None:
    """Whatever number stands in verdict and warnings is one of the tables' own."""
    leaky = with_leaks(leaderboard, 0.4321)
    said = [*verdict(leaky), *warnings(leaky)]
    known = {number(value) for value in table_numbers(leaky)}
    known |= {number(abs(value)) for value in table_numbers(leaky)}
    found = re.findall(r"\N{MINUS SIGN}?\d+\.\d{3}", " ".join(said))
    assert len(found) > 8
    assert set(found) <= known
    assert "0.432" in found


def table_numbers(leaderboard: Leaderboard) -> list[float]:
    """Every score, interval, difference and bound of the leaderboard's groups and baseline."""
    assert leaderboard.baseline
    assert leaderboard.decision
    base = leaderboard.baseline.test[leaderboard.metric]
    found = [base, *leaderboard.baseline.test_intervals[leaderboard.metric]]
    found.append(leaderboard.decision.objective.tolerance)
    for group in (*leaderboard.groups, *leaderboard.bases):
        found += [group.score, group.loss_high or 0.0, *(group.interval or ())]
        for each in (group.to_recommended, group.to_base, group.to_base_on_dev):
            found += [each.difference, each.low, each.high] if each else []
        found += [v for row in group.rows for v in without_leaks(row)]
    return found


def without_leaks(row: Row) -> list[float]:
    return list(row.completed.test_without_leaks.values()) if row.completed else []


def with_leaks(leaderboard: Leaderboard, score: float) -> Leaderboard:
    """The leaderboard as if some test pairs leaked, and its best without them had this score."""
    changed = []
    for group in leaderboard.groups:
        done = group.best.completed
        assert done
        result = done.model_copy(update={"test_without_leaks": {leaderboard.metric: score}})
        changed.append(replace(group, rows=(replace(group.best, result=result),)))
    return replace(leaderboard, groups=tuple(changed))


def test_scores_without_leaks_stand_beside_those_with(leaderboard: Leaderboard) -> None:
    """In the table, and in a sentence; absent where nothing leaked."""
    leaky = with_leaks(leaderboard, 0.4321)
    ranked = [line for line in table_lines(leaky) if line.position]
    assert [line.without_leaks for line in ranked] == [0.4321] * len(leaderboard.groups)
    keys = [column.key for column in build_table(leaky).columns]
    assert "leaks" in keys
    assert "leaks" not in [column.key for column in build_table(leaderboard).columns]
    assert any("0.432" in sentence for sentence in warnings(leaky))
    assert not any("also stand" in sentence for sentence in warnings(leaderboard))


def test_the_probes_change_is_against_the_own_baseline(leaderboard: Leaderboard) -> None:
    """Below 0 where general English was forgotten; a column only where the probe was asked for."""

    def probed(row: Row, value: float) -> Row:
        assert row.completed
        test = {**row.test, "probe_spearman": value}
        return replace(row, result=row.completed.model_copy(update={"test": test}))

    assert leaderboard.baseline
    base = probed(leaderboard.baseline, 0.8)
    groups = [replace(g, rows=(probed(g.best, 0.7),)) for g in leaderboard.groups]
    rows = (base, *(row for group in groups for row in group.rows))
    changed = replace(leaderboard, rows=rows, groups=tuple(groups), baseline=base)
    ranked = [line for line in table_lines(changed) if line.position]
    assert [line.probe_change for line in ranked] == pytest.approx([-0.1] * len(groups))
    assert "probe" in [column.key for column in build_table(changed).columns]
    assert "probe" not in [column.key for column in build_table(leaderboard).columns]


def test_what_learned_nothing_does_not_set_the_scale(leaderboard: Leaderboard) -> None:
    """The bars' scale holds every interval of the best and leaves the lowest scores at its edge."""
    found = leading_range(leaderboard)
    assert found
    for group in leaderboard.groups:
        if group.in_best_set and group.interval:
            assert found[0] <= group.interval[0] <= group.interval[1] <= found[1]
    worst = min(group.score for group in leaderboard.groups)
    assert worst < 0 < found[0]
    table = build_table(leaderboard)
    bars = [cell.bar for line in table.lines for cell in table.cells(line) if cell.bar]
    assert sum(bar.cut for bar in bars) == sum(
        not found[0] <= score <= found[1]
        for score in [*(g.score for g in leaderboard.groups), leaderboard.rows[-1].test["spearman"]]
    )


def test_warnings_name_what_a_reader_must_know(leaderboard: Leaderboard) -> None:
    """No test split, a cut dev split and audit problems are each said."""
    said = list(warnings(replace(leaderboard, test_is_dev=True, dev_is_cut=True)))
    assert any("optimistic" in sentence for sentence in said)
    assert any("No dev split" in sentence for sentence in said)
    problem = {"severity": "problem", "message": "42 pairs leak."}
    audited = replace(leaderboard, audit={"findings": [problem]})
    assert "42 pairs leak." in list(warnings(audited))
    assert "42 pairs leak." not in list(warnings(leaderboard))


def test_a_test_that_disagrees_with_dev_is_said(leaderboard: Leaderboard) -> None:
    """When test puts one that may be the best ahead of the recommended one, the reader learns it.

    One that dev has excluded is not spoken of, nor one whose difference is not significant.
    """
    ahead = Comparison(0.05, 0.01, 0.09, 0.0005, 0.001)
    for in_set, found, said in (
        (True, ahead, True),
        (False, ahead, False),
        (True, replace(ahead, p_adjusted=0.06), False),
        (True, replace(ahead, difference=-0.05), False),
    ):
        other = replace(leaderboard.groups[1], in_best_set=in_set, to_recommended=found)
        first = replace(leaderboard.groups[0], recommended=True, to_recommended=None)
        rest = [replace(group, in_best_set=False) for group in leaderboard.groups[2:]]
        turned = replace(leaderboard, groups=(first, other, *rest))
        text = " ".join(warnings(turned))
        assert ("On test" in text and "significantly better" in text) == said
        assert ("0.050 (0.010 to 0.090)" in text) == said


def test_csv_has_the_promised_columns(leaderboard: Leaderboard) -> None:
    """A row for each trial and the baseline, params under dotted paths, intervals beside scores."""
    rows = list(csv.DictReader(io.StringIO(to_csv(to_records(leaderboard)))))
    assert len(rows) == len(leaderboard.rows)
    assert sum(row["trial"] == "baseline" for row in rows) == 1
    assert {"train.lora.rank", "test_spearman_low", "test_spearman_high", "seed"} <= rows[0].keys()
    for row, expected in zip(rows, leaderboard.rows, strict=True):
        assert float(row["test_spearman"]) == expected.test["spearman"]


def test_the_answer_is_in_both_files(leaderboard: Leaderboard) -> None:
    """Whether it is resolved, of what it is said, and what test could have shown."""
    content = json.loads(to_json(leaderboard))
    rows = list(csv.DictReader(io.StringIO(to_csv(to_records(leaderboard)))))
    assert leaderboard.decision is not None
    assert content["resolved"] is leaderboard.decision.resolved
    assert {row["resolved"] for row in rows} == {str(content["resolved"])}
    assert {row["scope"] for row in rows} == {content["scope"]} == {"trained models"}
    shown = [float(row["detectable_difference"]) for row in rows if row["detectable_difference"]]
    assert len(shown) == len(rows) - 1, "there is one to the recommended configuration from each"
    assert content["detectable_difference"] == pytest.approx(max(shown))


def test_the_answer_is_in_both_files_before_there_is_one(leaderboard: Leaderboard) -> None:
    nothing = replace(leaderboard, decision=None, groups=(), bases=())
    content = json.loads(to_json(nothing))
    assert (content["resolved"], content["scope"], content["decision"]) == (False, None, None)
    assert content["detectable_difference"] is None
    assert {record["resolved"] for record in to_records(nothing)} == {False}


def test_json_is_plain_and_complete(leaderboard: Leaderboard) -> None:
    """The JSON parses, holds no NaN, and has the same trials."""
    content = json.loads(to_json(leaderboard))
    assert len(content["trials"]) == len(leaderboard.rows)
    assert content["metric"] == "spearman"


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_spreadsheet_formulas_are_made_harmless(text: str) -> None:
    """No text begins as a spreadsheet's formula does, and none is lost; numbers stay numbers."""
    written = to_csv([{"a": text, "b": "-1.5e-3"}])
    (cell, number) = next(row for row in csv.reader(io.StringIO(written)) if row != ["a", "b"])
    assert cell[0] not in "=+-@\t\r"
    assert cell in {f"'{text}", text.replace("\r", "\\x0d")}
    assert number == "-1.5e-3"


def test_a_row_to_copy_is_a_spec(leaderboard: Leaderboard) -> None:
    """The one-trial YAML of a row parses to that very trial."""
    row = leaderboard.groups[0].best
    assert row.result is not None
    text = one_trial_yaml(row.result.spec, "lora-lr")
    trials = [trial for _, trial in parse_spec(text).trials()]
    assert trials == [row.result.spec]


def test_a_row_to_copy_shows_texts_as_they_are(leaderboard: Leaderboard) -> None:
    """Whichever library writes it."""
    row = leaderboard.groups[0].best
    assert row.result is not None
    model = row.result.spec.model.model_copy(
        update={"template": "Gr\u00fc\u00dfe \U0001f642: {text}"}
    )
    text = one_trial_yaml(row.result.spec.model_copy(update={"model": model}), "lora-lr")
    assert "Gr\u00fc\u00dfe \U0001f642" in text


def test_seeds_widen_the_interval(tmp_path: Path) -> None:
    """Three seeds of a configuration are one group whose interval covers seeds and pairs."""
    made = lora_lr(tmp_path, seeds=(1, 2, 3))
    assert all(len(group.rows) == 3 for group in made.groups)
    leader = made.groups[0]
    assert leader.score == pytest.approx(np.mean([r.test["spearman"] for r in leader.rows]))
    assert leader.interval is not None
    assert leader.interval[0] < leader.score < leader.interval[1]


@pytest.mark.parametrize(
    ("low", "high", "p_value", "shown"),
    [
        (0.01, 0.03, 0.001, "different"),
        (-0.004, 0.006, 0.6, "equal within the tolerance"),
        (-0.004, 0.02, 0.2, "unknown"),
    ],
)
def test_a_comparison_shows_one_of_three(
    leaderboard: Leaderboard, low: float, high: float, p_value: float, shown: str
) -> None:
    """No significant difference is not equal: for that the whole interval is within it."""
    found = Comparison((low + high) / 2, low, high, p_value, p_value)
    assert outcome(found, 0.01) == shown
    assert leaderboard.decision is not None
    decision = replace(leaderboard.decision, objective=Objective(tolerance=0.01))
    group = replace(leaderboard.groups[1], to_recommended=found, detectable=0.021)
    made = replace(leaderboard, groups=(leaderboard.groups[0], group), decision=decision)
    (record,) = [r for r in to_records(made) if r["trial"] == group.best.trial]
    assert record["difference_outcome"] == shown
    table = build_table(made)
    column = [each.key for each in table.columns].index("outcome")
    (line,) = [line for line in table.lines if line.trial == group.best.trial]
    assert table.cells(line)[column].text.startswith(shown)
    assert ("0.021 would be found" in table.cells(line)[column].text) == (shown == "unknown")


def test_where_training_hurts_the_answer_says_by_how_much(tmp_path: Path) -> None:
    plans = [Plan(params("lora", rank, 2e-4), -0.4) for rank in (4, 8)]
    made = make_leaderboard(tmp_path, plans, resamples=50, tolerance=0.01)
    said = " ".join(made.verdict)
    assert said.startswith("Recommended: keep the base model")
    gain = made.groups[0].to_base
    assert gain is not None
    assert f"Of the trained ones {group_name(made, made.groups[0])} leads on dev." in said
    assert f"is {number(gain.difference)} ({number(gain.low)}" in said
    assert "significantly worse" in said
