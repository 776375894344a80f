"""A search with several objectives: what its searcher is told, and what it proposes then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from embft.leaderboard.build import build_leaderboard
from embft.planning.plan import Plan
from embft.results.folders import TrialDir
from embft.results.search_log import Answered, read_search
from embft.results.serving import Loss, Serving, Speed, Variant, write_serving
from embft.scheduler.proposals import ProposedTrials, Suggestions
from tests.helpers.searches import begin, finish, planned, run, search_plan, seconds, suggestions

TPE = "{algorithm: tpe, trials: 24, seed: 3%s}"
COSTS = TPE % ", objectives: [score, train_seconds]"


def told(plan: Plan) -> list[Answered]:
    return [event for event in read_search(plan.folder) if isinstance(event, Answered)]


def test_the_searcher_lowers_a_cost_besides(tmp_path: Path, tiny_spec: str) -> None:
    """What it proposes once it knows something costs less than what it proposes by the score."""

    def mean_cost(search: str, name: str) -> float:
        plan = search_plan(tmp_path / name, tiny_spec, search)
        run(plan)
        assert plan.planner is not None
        last = [each.params for each in suggestions(plan)][10:]
        return sum(seconds(plan.planner.proposed(point)) for point in last) / len(last)

    assert mean_cost(COSTS, "both") < mean_cost(TPE % "", "score") - 1


def test_costs_are_in_the_log_as_the_records_have_them(tmp_path: Path, tiny_spec: str) -> None:
    """Under their names; of a search with one objective there are none."""
    search = "{algorithm: random, trials: 3, objectives: [score, parameters, train_seconds]}"
    plan = search_plan(tmp_path / "a", tiny_spec, search)
    run(plan)
    records = [plan.folder.trial(each.folder or "").result() for each in suggestions(plan)]
    for answer, record in zip(told(plan), records, strict=True):
        assert record is not None
        assert answer.costs == {"parameters": 1.0, "train_seconds": record.timings.train}  # type: ignore[union-attr]
    plain = search_plan(tmp_path / "b", tiny_spec, "{algorithm: random, trials: 3}")
    run(plain)
    assert {answer.costs for answer in told(plain)} == {None}


def test_rows_trained_on_are_those_of_the_data(tmp_path: Path, tiny_spec: str) -> None:
    """As many as an epoch has, times the epochs."""
    text = tiny_spec[: tiny_spec.index("space:")] + (
        "space: {train.epochs: {randint: [2, 9]}}\n"
        "search: {algorithm: random, trials: 3, objectives: [training, score]}\n"
    )
    plan = planned(text, tmp_path)
    run(plan)
    rows = len(next(iter(plan.data.values())).train)
    assert {answer.costs and answer.costs["training"] for answer in told(plan)} == {2.0 * rows}
    assert plan.spec.objective.prefer == "training"


def test_one_objective_goes_on_with_the_search_that_named_none(
    tmp_path: Path, tiny_spec: str
) -> None:
    """Naming the score alone changes nothing; another objective is another search."""
    plan = search_plan(tmp_path, tiny_spec, "{algorithm: tpe, trials: 3, seed: 3}")
    run(plan)
    same = "{algorithm: tpe, trials: 3, seed: 3, objectives: [score]}"
    assert run(search_plan(tmp_path, tiny_spec, same)) == []
    assert len(told(plan)) == 3
    assert suggestions(search_plan(tmp_path, tiny_spec, COSTS)) == []


def test_what_models_come_to_in_service_is_measured_before_the_answer(
    tmp_path: Path, tiny_spec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each once; the searcher hears of no trial whose model could not be measured, and goes on."""
    search = "{algorithm: tpe, trials: 3, objectives: [score, serving, latency_p50]}"
    space = tiny_spec[: tiny_spec.index("space:")] + (
        "space: {model.max_tokens: [8, 16, 32], train.learning_rate: [1e-3, 1e-2]}\nserving: true\n"
    )
    plan = planned(f"{space}search: {search}\n", tmp_path)
    measured: list[TrialDir] = []

    def measure(folder: TrialDir) -> None:
        measured.append(folder)
        if len(measured) != 2:
            write_serving(folder, _serving())

    asked = ProposedTrials(Suggestions(plan, measure), begin, ended=lambda: False, replays=False)
    with caplog.at_level(logging.WARNING, "embft"):
        while isinstance(asked.suggest("a"), dict):
            finish(asked.running["a"][1])
            asked.on_trial_complete("a")
    assert asked.error is None
    assert len(measured) == len(set(measured)) == 3
    index = {"serving": 4.0e6, "latency_p50": 0.25}
    assert [answer.costs for answer in told(plan)] == [index, None, index]
    assert "its serving is not known, and the searcher does not learn of it" in caplog.text


def test_an_interrupted_measurement_is_no_answer(tmp_path: Path, tiny_spec: str) -> None:
    """Ctrl-C ends the process that measures: the searcher hears nothing false, and goes on as it
    would have.
    """
    search = "search: {algorithm: tpe, trials: 3, seed: 5, objectives: [score, serving]}\n"
    text = tiny_spec[: tiny_spec.index("space:")] + (
        "space: {train.learning_rate: {loguniform: [1e-4, 1e-1]}}\nserving: true\n" + search
    )
    stopped = False

    def interrupted(_: TrialDir) -> None:
        nonlocal stopped
        stopped = True

    def measured(folder: TrialDir) -> None:
        write_serving(folder, _serving())

    def proposed(results: Path, measure: Callable[[TrialDir], None]) -> Plan:
        plan = planned(text, results)
        asked = ProposedTrials(
            Suggestions(plan, measure), begin, ended=lambda: stopped, replays=False
        )
        while isinstance(asked.suggest("a"), dict):
            finish(asked.running["a"][1])
            asked.on_trial_complete("a")
        assert asked.error is None
        return plan

    undisturbed = proposed(tmp_path / "one", measured)
    assert told(proposed(tmp_path / "two", interrupted)) == []
    stopped = False
    resumed = proposed(tmp_path / "two", measured)
    assert told(resumed) == told(undisturbed)
    points = [[each.params for each in suggestions(plan)] for plan in (resumed, undisturbed)]
    assert points[0] == points[1]


def _serving() -> Serving:
    """Of 16 dimensions in float32 and 8 bits, of which the latter loses too much."""
    fine, bad = Loss(0.8, 0.0, (0.0, 0.001)), Loss(0.5, 0.3, (0.2, 0.4))
    variants = (
        Variant(16, "float32", 64_000_000, fine, fine),
        Variant(8, "int8", 4_000_000, fine, fine),
        Variant(8, "binary", 1_000_000, bad, bad),
    )
    return Serving("spearman", (8,), {}, variants, Speed(100.0, 0.25, 0.5))


def test_the_front_of_a_search_is_in_its_report(tmp_path: Path, tiny_spec: str) -> None:
    """By the objectives that the plan on disk names, base models among the configurations."""
    plan = search_plan(tmp_path, tiny_spec, COSTS)
    run(plan)
    leaderboard = build_leaderboard(plan.folder.path)
    assert leaderboard.costs == ("train_seconds",)
    assert leaderboard.decision is not None
    assert leaderboard.decision.objective.prefer == "training"
    said = next(each for each in leaderboard.verdict if "Pareto front" in each)
    assert "of Spearman correlation and seconds of training on dev" in said
