"""A search proposes the same trials whatever happens to it, and runs none of them twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from embft.errors import RecordError, SearchError, SpecError
from embft.planning.plan import Plan
from embft.results.plan_record import read_plan
from embft.results.records import Status
from embft.results.search_log import Answered, SearchLog, Suggested, read_search
from embft.scheduler import proposals as proposing
from embft.scheduler.proposals import Suggestions
from embft.scheduler.searchers import RandomSearch
from embft.spec import parse_spec
from tests.helpers.searches import (
    Killed,
    begin,
    finish,
    planned,
    proposals,
    run,
    search_plan,
    suggestions,
)

TPE = "{algorithm: tpe, trials: 14, seed: 3}"
COSTS = "{algorithm: tpe, trials: 14, seed: 3, objectives: [score, train_seconds]}"
RANDOM = "{algorithm: random, trials: 8, seed: 3}"


def points(plan: Plan) -> list[dict[str, Any]]:
    return [each.params for each in suggestions(plan)]


@pytest.mark.parametrize("search", [TPE, RANDOM])
def test_a_seed_decides_what_is_proposed(search: str, tmp_path: Path, tiny_spec: str) -> None:
    """The same spec proposes the same points, another seed others, inside the space."""
    found = []
    for name, text in {"a": search, "b": search, "c": search.replace("seed: 3", "seed: 4")}.items():
        plan = search_plan(tmp_path / name, tiny_spec, text)
        started = run(plan)
        assert len(set(started)) == len(started) == plan.spec.search.trials
        found.append(points(plan))
    assert found[0] == found[1] != found[2]
    for point in found[0]:
        number = 0 if point["train.method"] == "lora" else 1
        space = parse_spec(plan.spec.text).space[number]
        assert list(point) == list(space), "LoRA's axes stand only under LoRA"
        assert all(space[axis].holds(value) for axis, value in point.items())


def test_tpe_learns_and_random_does_not(tmp_path: Path, tiny_spec: str) -> None:
    """After its first ten TPE's points are nearer to the best learning rate than random's."""

    def mean_of_the_last(search: str, name: str) -> float:
        plan = search_plan(tmp_path / name, tiny_spec, search)
        run(plan)
        answers = [e for e in read_search(plan.folder) if isinstance(e, Answered)]
        last = [each.score for each in answers if each.score is not None][-15:]
        return sum(last) / len(last)

    tpe = [mean_of_the_last(f"{{algorithm: tpe, trials: 30, seed: {s}}}", f"t{s}") for s in (0, 1)]
    random = [
        mean_of_the_last(f"{{algorithm: random, trials: 30, seed: {s}}}", f"r{s}") for s in (0, 1)
    ]
    assert min(tpe) > max(random)


@pytest.mark.parametrize("search", [TPE, RANDOM, COSTS], ids=["tpe", "random", "costs"])
def test_killed_between_any_two_steps_it_proposes_the_same_points(
    search: str, tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one trial at a time: a kill before or after any line of the log, again and again, also
    where a record is there of which the searcher has not heard.
    """
    undisturbed = search_plan(tmp_path / "undisturbed", tiny_spec, search)
    run(undisturbed)
    append, left = SearchLog.append, [0]

    def killed(log: SearchLog, event: Any) -> None:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        append(log, event)
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(SearchLog, "append", killed)
    for count, after in [(1, True), (2, False), (2, True), (3, False)]:
        kills = 0
        while True:
            left[0] = count
            plan = search_plan(tmp_path / f"{count}-{after}", tiny_spec, search)
            try:
                run(plan)
                break
            except Killed:
                kills += 1
        assert kills >= len(points(plan)) // 2
        assert points(plan) == points(undisturbed)


def test_with_several_at_once_nothing_finished_is_lost(tmp_path: Path, tiny_spec: str) -> None:
    """After a kill those that ran are run, those that finished count, and no point is given up."""
    plan = search_plan(tmp_path, tiny_spec, TPE)
    asked = proposals(plan)
    for name in "abc":
        asked.suggest(name)
    finish(asked.running["b"][1])
    asked.on_trial_complete("b")
    finish(asked.running["c"][1])  # and the process is gone before the searcher hears of it
    before = points(plan)
    again = search_plan(tmp_path, tiny_spec, TPE)
    started = run(again, at_once=3)
    assert points(again)[:3] == before
    assert len(started) == 14 - 2
    assert len({each.folder for each in suggestions(again)}) == 14


def test_what_is_on_disk_is_answered_from_its_record(tmp_path: Path, tiny_spec: str) -> None:
    """Another search of the same space begins with this one's points: none runs again, they count,
    and the searcher knows them.
    """
    first = search_plan(tmp_path, tiny_spec, RANDOM)
    run(first)
    folder, other = first.folder, first.folder.path.with_name("other")
    shutil.copytree(folder.path, other)
    folder.search_file.unlink()
    again = search_plan(tmp_path, tiny_spec, RANDOM)
    assert run(again) == []
    assert [e for e in read_search(folder) if isinstance(e, Answered)] == [
        e for e in read_search(type(folder)(other)) if isinstance(e, Answered)
    ]
    shutil.rmtree(folder.path)  # and from another sweep's folder
    assert run(search_plan(tmp_path, tiny_spec, RANDOM)) == []


def test_equal_suggestions_run_once_and_a_space_may_end(tmp_path: Path, tiny_spec: str) -> None:
    """A space of four points, of which a search for ten finds four."""
    text = tiny_spec[: tiny_spec.index("space:")] + (
        "space: {train.learning_rate: [1e-3, 1e-2], train.batch_size: [4, 8]}\n"
        "search: {algorithm: random, trials: 10}\n"
    )
    plan = planned(text, tmp_path)
    assert len(set(run(plan, at_once=2))) == 4
    assert len(points(plan)) > 100
    again = planned(text, tmp_path)
    assert run(again) == [], "it knows that nothing new is to come"
    assert Suggestions(again).exhausted


def test_a_plan_grows_with_its_suggestions(tmp_path: Path, tiny_spec: str) -> None:
    """A report needs no spec: `plan.json` and `search.jsonl` name every trial."""
    plan = search_plan(tmp_path, tiny_spec, RANDOM)
    assert len(read_plan(plan.folder)["trials"]) == 1
    started = run(plan)
    entries = read_plan(plan.folder)["trials"]
    assert [entry["folder"].rpartition("-")[2] for entry in entries[1:]] == started


def test_more_trials_go_on_with_the_same_search(tmp_path: Path, tiny_spec: str) -> None:
    """The budget may be raised; another seed is another search, whose trials are asked anew."""
    plan = search_plan(tmp_path / "grown", tiny_spec, TPE.replace("14", "6"))
    run(plan)
    grown = search_plan(tmp_path / "grown", tiny_spec, TPE)
    assert len(run(grown)) == 8
    whole = search_plan(tmp_path / "whole", tiny_spec, TPE)
    run(whole)
    assert points(grown) == points(whole)
    other = search_plan(tmp_path / "grown", tiny_spec, TPE.replace("seed: 3", "seed: 9"))
    assert points(other) == []


def test_a_torn_line_is_left_out_and_a_damaged_one_is_an_error(
    tmp_path: Path, tiny_spec: str
) -> None:
    plan = search_plan(tmp_path, tiny_spec, RANDOM)
    run(plan)
    whole = plan.folder.search_file.read_bytes()
    plan.folder.search_file.write_bytes(whole[:-20])
    again = search_plan(tmp_path, tiny_spec, RANDOM)
    assert run(again) == []
    assert plan.folder.search_file.read_bytes() == whole
    plan.folder.search_file.write_bytes(whole.replace(b'"number": 3', b'"number": 4', 1))
    with pytest.raises(RecordError, match=r"search.jsonl: this file is damaged"):
        read_plan(plan.folder)
    with pytest.raises(RecordError, match=r"line \d+ is not as it was written"):
        Suggestions(plan)


def test_initial_points_come_first(tmp_path: Path, tiny_spec: str) -> None:
    """In the order written, by both searchers, with the axes that have one value filled in."""
    initial = (
        "initial: [{train.method: full, train.learning_rate: 1e-4}, "
        "{train.method: lora, train.lora.rank: 4, train.learning_rate: 1e-2}]"
    )
    for name in ("tpe", "random"):
        search = f"{{algorithm: {name}, trials: 3, {initial}}}"
        plan = search_plan(tmp_path / name, tiny_spec, search)
        run(plan)
        assert points(plan)[:2] == [
            {"train.method": "full", "train.learning_rate": 1e-4},
            {"train.method": "lora", "train.lora.rank": 4, "train.learning_rate": 1e-2},
        ]


def test_a_searcher_that_raises_is_a_clear_error(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray hears that nothing more is to come, and the sweep what has happened."""
    plan = search_plan(tmp_path, tiny_spec, TPE)
    asked = proposals(plan)
    asked.suggest("a")
    monkeypatch.setattr(asked.suggestions.searcher, "suggest", lambda _: 1 / 0)
    assert asked.suggest("b") == "FINISHED"
    assert isinstance(asked.error, SearchError)
    assert "tpe (optuna" in str(asked.error)
    assert "ZeroDivisionError" in str(asked.error)
    assert "Everything that has finished is kept" in str(asked.error)


def test_another_version_that_proposes_other_points_is_refused(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go on with other points than those that were answered would mix up what was learned."""
    plan = search_plan(tmp_path, tiny_spec, RANDOM)
    run(plan)
    monkeypatch.setattr(proposing, "make_searcher", lambda spec: _other(RandomSearch, spec))
    with pytest.raises(SearchError, match="install the former, or move the file away"):
        Suggestions(plan)


def _other(kind: Any, spec: Any) -> Any:
    found = kind(spec)
    found.seed += 1
    return found


def test_a_suggestion_whose_values_do_not_go_together_is_answered_as_failed(
    tmp_path: Path, tiny_spec: str
) -> None:
    """It is written down with the reason, and is none of the trials; two ends that never go
    together are refused beforehand.
    """
    wide = "train.warmup_steps: {randint: [0, 300]}\n    train.weight_decay: [0.0, 0.1]\n"
    axes = "".join(f"    train.{name}\n" for name in (
        "epochs: {randint: [1, 4]}", "max_grad_norm: {uniform: [0.5, 2.0]}", "lora.rank: [2, 4]",
        "learning_rate: {loguniform: [1e-4, 1e-2]}", "batch_size: [16, 4]",
        "micro_batch_size: [null, 10]", "schedule: [linear, constant]",
    ))  # fmt: skip
    head = tiny_spec[: tiny_spec.index("space:")]
    plan = planned(
        head + f"space:\n    {wide}{axes}search: {{algorithm: random, trials: 6, seed: 1}}\n",
        tmp_path,
    )
    assert len(run(plan)) == 6
    refused = [each.refused for each in suggestions(plan) if each.refused]
    assert refused
    assert all("micro_batch_size is 10, more than batch_size" in reason for reason in refused)
    assert run(planned(plan.spec.text, tmp_path)) == []
    with pytest.raises(SpecError, match="micro_batch_size is 10, more than batch_size 4"):
        parse_spec(plan.spec.text.replace(f"    {wide}", ""))


def test_pruned_trials_are_answered_with_their_curve(tmp_path: Path, tiny_spec: str) -> None:
    """The searcher hears how far they came, and no score; they are not run again, unless another
    scheduler decides.
    """
    plan = search_plan(tmp_path, tiny_spec, RANDOM, "scheduler: asha\n")
    asked = proposals(plan)
    asked.suggest("a")
    trial = asked.running["a"][1]
    finish(trial, pruned=True)
    asked.on_trial_complete("a")
    answer = next(e for e in asked.suggestions.log.events if isinstance(e, Answered))
    assert (answer.status, answer.score, len(answer.curve)) == (Status.PRUNED, None, 1)
    assert trial.result() is not None
    other = search_plan(tmp_path, tiny_spec, RANDOM, "scheduler: median\n")
    again = proposals(other)
    assert again.suggest("a") == {"trial": str(trial.folder.path.resolve())}
    assert trial.folder.result() is None, "it runs again from its start"
    begin(trial)
    assert isinstance(read_search(plan.folder)[1], Suggested)
