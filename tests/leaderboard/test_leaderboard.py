"""Ranks, ties, the recommendation and the answer are what the records say."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embft.leaderboard.axes import leading_range
from embft.leaderboard.build import one_trial_yaml
from embft.leaderboard.export import to_csv, to_json, to_records
from embft.leaderboard.labels import number
from embft.leaderboard.pair_scores import read_scores, train_rows
from embft.leaderboard.ranking import rank_groups
from embft.leaderboard.rows import Leaderboard, Row
from embft.leaderboard.table import table_lines
from embft.leaderboard.verdict import cautions, verdict
from embft.metrics.pairs import pair_metrics
from embft.report.table import build_table
from embft.results.dataset import read_split
from embft.spec import parse_spec
from tests.helpers.leaderboards import lora_lr


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """The made-up sweep, ranked by the code under test."""
    made = lora_lr(tmp_path_factory.mktemp("board"))
    groups = rank_groups(made.rows, made.metric, higher=True)
    return replace(made, groups=tuple(groups), audit=None)


def test_ranks_follow_dev(board: Leaderboard) -> None:
    """Groups come by their mean dev objective, and test scores are the records'."""
    scores = [group.dev_score for group in board.groups]
    assert scores == sorted(scores, reverse=True)
    assert [group.rank for group in board.groups] == list(range(1, len(scores) + 1))
    for group in board.groups:
        assert group.score == pytest.approx(group.best.test["spearman"])


def test_min_turns_the_order(board: Leaderboard) -> None:
    """With `mode: min` the lowest dev score leads, and differences keep their sign."""
    groups = rank_groups(board.rows, "spearman", higher=False)
    scores = [group.dev_score for group in groups]
    assert scores == sorted(scores)
    last = groups[-1]
    assert last.difference == pytest.approx(last.score - groups[0].score, abs=1e-4)


def test_differences_are_to_the_leader_on_test(board: Leaderboard) -> None:
    """Each difference is this score minus the leader's, inside its interval."""
    leader = board.groups[0]
    assert leader.difference is None
    for group in board.groups[1:]:
        assert group.difference is not None
        assert group.difference_interval is not None
        assert group.difference == pytest.approx(group.score - leader.score, abs=1e-4)
        assert group.difference_interval[0] <= group.difference <= group.difference_interval[1]


def test_rank_intervals_agree_with_ties(board: Leaderboard) -> None:
    """The leader's interval spans the tied; everyone's own rank lies in its interval."""
    tied = [group for group in board.groups if group.tied]
    assert board.groups[0].tied
    assert board.groups[0].rank_high == len(tied)
    for group in board.groups:
        assert group.rank_low <= group.rank <= group.rank_high
        assert group.tied == (group.rank_low == 1)
    worst = board.groups[-1]
    assert not worst.tied, "a configuration that learned nothing is told apart"


def test_the_cheapest_of_the_tied_is_recommended(board: Leaderboard) -> None:
    """Among the tied the fewest trainable parameters win, then the fewest epochs, then dev."""
    recommended = [group for group in board.groups if group.recommended]
    assert len(recommended) == 1
    costs = {
        (g.best.completed.trainable_parameters, g.best.epochs[-1].epoch, g.rank): g
        for g in board.groups
        if g.tied and g.best.completed
    }
    assert recommended[0] is costs[min(costs)]


def _changed(row: Row, trial: str, **changes: Any) -> Row:
    """The row as another configuration's, its result changed."""
    assert row.completed is not None
    result = row.completed.model_copy(update=changes)
    return replace(row, trial=trial, params={**row.params, "other": trial}, result=result)


def _recommended(*rows: Row) -> str:
    groups = rank_groups(rows, "spearman", higher=True)
    assert all(group.tied for group in groups)
    return next(group.best.trial for group in groups if group.recommended)


def test_what_else_the_machine_did_recommends_nothing(board: Leaderboard) -> None:
    """Of equals that took other times, the first is taken; fewer epochs are cheaper."""
    first = board.groups[0].best
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


def test_training_rows_are_those_of_the_frozen_data(tmp_path: Path) -> None:
    """However large batches are, an epoch of the same data costs the same."""
    row = lora_lr(tmp_path).groups[0].best
    assert train_rows(row) is None
    data = row.folder.sweep.dataset(row.folder.read_input().data)
    some = read_split(data, "dev").take(np.arange(7))
    some.write(data / "train.parquet")
    assert train_rows(row) == 7


def test_equal_trials_are_tied(board: Leaderboard) -> None:
    """Two configurations with the very same scores cannot be told apart."""
    first = board.groups[0].best
    twin = replace(first, trial="twin", params={**first.params, "train.lora.rank": 99})
    groups = rank_groups([first, twin], "spearman", higher=True)
    assert [group.tied for group in groups] == [True, True]
    assert groups[1].p_value == 1.0


def test_scores_on_disk_give_the_records_metrics(board: Leaderboard) -> None:
    """A reader of scores.parquet finds the metrics that the record states."""
    row = board.groups[0].best
    found = read_scores(row, "test")
    assert found is not None
    assert row.completed is not None
    assert found.threshold == row.completed.threshold
    metrics = pair_metrics(found.score, found.label, found.threshold or 0.0)
    assert metrics["spearman"] == pytest.approx(row.test["spearman"], abs=1e-4)


def test_each_number_of_the_answer_is_the_boards(board: Leaderboard) -> None:
    """The verdict's score, interval, gain over the baseline and cost stand in the tables."""
    sentences = list(verdict(board))
    chosen, text = board.recommended, " ".join(sentences)
    assert chosen is not None
    assert chosen.interval is not None
    assert board.baseline is not None
    assert chosen.best.completed is not None
    assert number(chosen.score) in sentences[0]
    assert number(chosen.interval[0]) in sentences[0]
    assert f"{abs(chosen.score - board.baseline.test['spearman']):.3f} better" in text
    assert f"{chosen.best.completed.trainable_parameters:,} parameters" in text


def test_no_number_of_the_answer_is_from_elsewhere(board: Leaderboard) -> None:
    """Whatever number stands in verdict and cautions is one of the tables' own."""
    leaky = with_leaks(board, 0.4321)
    said = [*verdict(leaky), *cautions(leaky)]
    known = {number(value) for value in table_numbers(leaky)}
    known |= {number(abs(value)) for value in table_numbers(leaky)}
    found = re.findall(r"\N{MINUS SIGN}?\d+\.\d{3}", " ".join(said))
    assert len(found) > 8
    assert set(found) <= known
    assert "0.432" in found


def table_numbers(board: Leaderboard) -> list[float]:
    """Every score, interval and difference of the board's groups and baseline."""
    assert board.baseline
    base = board.baseline.test[board.metric]
    found = [base, *board.baseline.test_intervals[board.metric]]
    for group in board.groups:
        found += [group.score, group.score - base, *(group.interval or ())]
        found += [group.difference or 0.0, *(group.difference_interval or ())]
        found += [v for row in group.rows for v in without_leaks(row)]
    return found


def without_leaks(row: Row) -> list[float]:
    return list(row.completed.test_without_leaks.values()) if row.completed else []


def with_leaks(board: Leaderboard, score: float) -> Leaderboard:
    """The board as if some test pairs leaked, and its best without them had this score."""
    changed = []
    for group in board.groups:
        done = group.best.completed
        assert done
        result = done.model_copy(update={"test_without_leaks": {board.metric: score}})
        changed.append(replace(group, rows=(replace(group.best, result=result),)))
    return replace(board, groups=tuple(changed))


def test_scores_without_leaks_stand_beside_those_with(board: Leaderboard) -> None:
    """In the table, and in a sentence; absent where nothing leaked."""
    leaky = with_leaks(board, 0.4321)
    ranked = [line for line in table_lines(leaky) if line.position]
    assert [line.without_leaks for line in ranked] == [0.4321] * len(board.groups)
    keys = [column.key for column in build_table(leaky).columns]
    assert "leaks" in keys
    assert "leaks" not in [column.key for column in build_table(board).columns]
    assert any("0.432" in sentence for sentence in cautions(leaky))
    assert not any("also stand" in sentence for sentence in cautions(board))


def test_the_probes_change_is_against_the_own_baseline(board: Leaderboard) -> None:
    """Below 0 where general English was forgotten; a column only where the probe was asked for."""

    def probed(row: Row, value: float) -> Row:
        assert row.completed
        test = {**row.test, "probe_spearman": value}
        return replace(row, result=row.completed.model_copy(update={"test": test}))

    assert board.baseline
    base = probed(board.baseline, 0.8)
    groups = [replace(g, rows=(probed(g.best, 0.7),)) for g in board.groups]
    rows = (base, *(row for group in groups for row in group.rows))
    changed = replace(board, rows=rows, groups=tuple(groups), baseline=base)
    ranked = [line for line in table_lines(changed) if line.position]
    assert [line.probe_change for line in ranked] == pytest.approx([-0.1] * len(groups))
    assert "probe" in [column.key for column in build_table(changed).columns]
    assert "probe" not in [column.key for column in build_table(board).columns]


def test_what_learned_nothing_does_not_set_the_scale(board: Leaderboard) -> None:
    """The bars' scale holds every tied interval and leaves the lowest scores at its edge."""
    found = leading_range(board)
    assert found
    for group in board.groups:
        if group.tied and group.interval:
            assert found[0] <= group.interval[0] <= group.interval[1] <= found[1]
    worst = min(group.score for group in board.groups)
    assert worst < 0 < found[0]
    table = build_table(board)
    bars = [cell.bar for line in table.lines for cell in table.cells(line) if cell.bar]
    assert sum(bar.cut for bar in bars) == sum(
        not found[0] <= score <= found[1]
        for score in [*(g.score for g in board.groups), board.rows[-1].test["spearman"]]
    )


def test_cautions_name_what_a_reader_must_know(board: Leaderboard) -> None:
    """No test split, one seed, unfinished trials and audit problems are each said."""
    said = list(cautions(replace(board, test_is_dev=True, dev_is_cut=True)))
    assert any("optimistic" in sentence for sentence in said)
    assert any("One seed only" in sentence for sentence in said)
    problem = {"severity": "problem", "message": "42 pairs leak."}
    audited = replace(board, audit={"findings": [problem]})
    assert "42 pairs leak." in list(cautions(audited))
    assert "42 pairs leak." not in list(cautions(board))


def test_a_test_that_disagrees_with_dev_is_said(board: Leaderboard) -> None:
    """When test puts another surely ahead of dev's leader, the reader learns it."""
    second = replace(board.groups[1], difference=0.05, p_value=0.001, score=0.99)
    turned = replace(board, groups=(board.groups[0], second, *board.groups[2:]))
    assert any("surely ahead" in sentence for sentence in cautions(turned))


def test_csv_has_the_promised_columns(board: Leaderboard) -> None:
    """A row for each trial and the baseline, params under dotted paths, intervals beside scores."""
    rows = list(csv.DictReader(io.StringIO(to_csv(to_records(board)))))
    assert len(rows) == len(board.rows)
    assert sum(row["trial"] == "baseline" for row in rows) == 1
    assert {"train.lora.rank", "test_spearman_low", "test_spearman_high", "seed"} <= rows[0].keys()
    for row, expected in zip(rows, board.rows, strict=True):
        assert float(row["test_spearman"]) == expected.test["spearman"]


def test_json_is_plain_and_complete(board: Leaderboard) -> None:
    """The JSON parses, holds no NaN, and has the same trials."""
    content = json.loads(to_json(board))
    assert len(content["trials"]) == len(board.rows)
    assert content["metric"] == "spearman"


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_spreadsheet_formulas_are_made_harmless(text: str) -> None:
    """No text begins as a spreadsheet's formula does, and none is lost; numbers stay numbers."""
    written = to_csv([{"a": text, "b": "-1.5e-3"}])
    (cell, number) = next(row for row in csv.reader(io.StringIO(written)) if row != ["a", "b"])
    assert cell[0] not in "=+-@\t\r"
    assert cell in {f"'{text}", text.replace("\r", "\\x0d")}
    assert number == "-1.5e-3"


def test_a_row_to_copy_is_a_spec(board: Leaderboard) -> None:
    """The one-trial YAML of a row parses to that very trial."""
    row = board.groups[0].best
    assert row.result is not None
    text = one_trial_yaml(row.result.spec, "lora-lr")
    trials = [trial for _, trial in parse_spec(text).trials()]
    assert trials == [row.result.spec]


def test_a_row_to_copy_shows_texts_as_they_are(board: Leaderboard) -> None:
    """Whichever library writes it."""
    row = board.groups[0].best
    assert row.result is not None
    model = row.result.spec.model.model_copy(
        update={"template": "Gr\u00fc\u00dfe \U0001f642: {text}"}
    )
    text = one_trial_yaml(row.result.spec.model_copy(update={"model": model}), "lora-lr")
    assert "Gr\u00fc\u00dfe \U0001f642" in text


def test_seeds_widen_the_interval(tmp_path: Path) -> None:
    """Three seeds of a configuration are one group whose interval covers seeds and pairs."""
    made = lora_lr(tmp_path, seeds=(1, 2, 3))
    groups = rank_groups(made.rows, "spearman", higher=True)
    assert all(len(group.rows) == 3 for group in groups)
    leader = groups[0]
    assert leader.score == pytest.approx(np.mean([r.test["spearman"] for r in leader.rows]))
    assert leader.interval is not None
    assert leader.interval[0] < leader.score < leader.interval[1]
