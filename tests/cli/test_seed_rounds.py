"""More seeds for those that may be the best: who gets them, and that a kill changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from embft.cli.seed_rounds import run_rounds
from embft.leaderboard.build import build_leaderboard
from embft.planning.plan import make_plan
from embft.results.seed_rounds import SeedRounds, read_rounds
from embft.scheduler.proposals import ProposedTrials, Suggestions
from embft.spec import parse_spec
from tests.helpers.seed_rounds import KilledError, Machine, quality, ready, spec_text

SEEDS = "{start: 1, most: 4}"


def run(text: str, results: Path, machine: Machine) -> SeedRounds:
    """The sweep as the command runs it: the first seeds, then the rounds."""
    plan, pending = ready(text, results)
    machine(plan, [trial for trial in pending if not trial.replicate])
    plan = run_rounds(plan, [trial for trial in pending if trial.replicate], machine)
    found = read_rounds(plan.folder)
    assert found is not None
    return found


def search(text: str, results: Path, machine: Machine) -> SeedRounds:
    """The same where a search proposes the configurations, one after another."""
    plan, pending = ready(text, results)
    machine(plan, [trial for trial in pending if not trial.replicate])
    asked = ProposedTrials(Suggestions(plan), lambda _: None, ended=lambda: False, replays=False)
    while isinstance(asked.suggest("one"), dict):
        machine(plan, [asked.running["one"][1]])
        asked.on_trial_complete("one")
    assert asked.error is None
    run_rounds(plan, [trial for trial in pending if trial.replicate], machine)
    found = read_rounds(plan.folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Path, SeedRounds]:
    """The folder of a sweep that ran undisturbed, and its rounds."""
    results = tmp_path_factory.mktemp("whole")
    return results / "rounds", run(spec_text(tiny_model, SEEDS), results, Machine())


def test_contenders_get_more_seeds_and_losers_do_not(whole: tuple[Path, SeedRounds]) -> None:
    """The three that are alike come to the most; of the bad ones only some get a second, while
    nothing is known of how much seeds vary.
    """
    folder, found = whole
    board = build_leaderboard(folder)
    seeds = {g.params["train.learning_rate"]: sorted(r.seed for r in g.rows) for g in board.groups}
    assert all(seeds[rate] == [42, 43, 44, 45] for rate in seeds if quality(rate) > 0.5)
    assert all(len(seeds[rate]) < 3 for rate in seeds if quality(rate) < 0.5)
    assert [one.seeds for one in found.rounds] == [2, 3, 4]
    assert found.ended == "no more seeds"
    assert board.decision is not None
    assert board.decision.scope == "configurations"
    assert not board.decision.incomplete


def killed_and_carried_on(
    begin: Callable[[str, Path, Machine], SeedRounds],
    text: str,
    folder: Path,
    kills: Sequence[int],
) -> tuple[SeedRounds, list[str]]:
    """Begin, killed after so many trainings, again and again, and at last to the end. Returns what
    it came to, and every trial that ran.
    """
    ran = list[str]()
    for most in kills:
        machine = Machine(most)
        with pytest.raises(KilledError):
            begin(text, folder, machine)
        ran += machine.ran
    last = Machine()
    found = begin(text, folder, last)
    return found, ran + last.ran


@pytest.mark.parametrize("kills", [(7,), (8, 1, 3)])
def test_a_kill_changes_nothing(
    whole: tuple[Path, SeedRounds], tmp_path: Path, tiny_model: Path, kills: tuple[int, ...]
) -> None:
    """Wherever it falls, the same rounds are run, and no trial twice."""
    text = spec_text(tiny_model, SEEDS)
    found, ran = killed_and_carried_on(run, text, tmp_path, kills)
    assert found == whole[1]
    assert len(ran) == len(set(ran)) == len(list(whole[0].glob("trials/*/result.json")))
    again = Machine()
    assert run(text, tmp_path, again) == whole[1]
    assert not again.ran


@pytest.mark.parametrize("kills", [(3,), (9,), (2, 6, 3, 1)])
def test_a_kill_in_a_search_or_its_rounds_changes_nothing(
    whole: tuple[Path, SeedRounds], tmp_path: Path, tiny_model: Path, kills: tuple[int, ...]
) -> None:
    """What a search has found gets its further seeds as a grid's configurations do, and no trial
    runs twice, whether the kill falls into the search, into a round or between two.
    """
    text = spec_text(tiny_model, SEEDS, "search: {algorithm: random, trials: 6, seed: 1}\n")
    found, ran = killed_and_carried_on(search, text, tmp_path, kills)
    records = list(tmp_path.glob("rounds/trials/*/result.json"))
    assert len(ran) == len(set(ran)) == len(records)
    assert (found.rounds, found.ended) == (whole[1].rounds, whole[1].ended)
    again = Machine()
    assert search(text, tmp_path, again) == found
    assert not again.ran


def test_damaged_rounds_are_decided_anew(
    whole: tuple[Path, SeedRounds], tmp_path: Path, tiny_model: Path
) -> None:
    """By the same results in the same way; of another spec's rounds nothing is taken."""
    text = spec_text(tiny_model, SEEDS)
    shutil.copytree(whole[0], tmp_path / "rounds")
    (tmp_path / "rounds" / "rounds.json").write_text("{}")
    machine = Machine()
    assert run(text, tmp_path, machine) == whole[1]
    assert not machine.ran
    fewer = run(spec_text(tiny_model, "{start: 1, most: 2}"), tmp_path, machine)
    assert [one.seeds for one in fewer.rounds] == [2]
    assert not machine.ran
    plan, _ = ready(spec_text(tiny_model, "[42]"), tmp_path)
    assert read_rounds(plan.folder) is None
    assert {trial.spec.seed for trial in plan.trials} == {0, 42}


def test_it_ends_when_one_is_resolved(tmp_path: Path, tiny_model: Path) -> None:
    """A tolerance that all good ones keep to is shown with few seeds."""
    text = spec_text(tiny_model, SEEDS, "objective: {tolerance: 0.1}\n")
    found = run(text, tmp_path, Machine())
    assert found.ended == "resolved"
    assert len(found.rounds) < 3
    board = build_leaderboard(tmp_path / "rounds")
    assert board.decision is not None
    assert board.decision.resolved


def test_the_first_seeds_are_the_plan(tmp_path: Path, tiny_model: Path) -> None:
    """A plan of a sweep that has not begun has the first seeds alone."""
    text = spec_text(tiny_model, "{start: 2, most: 4, first: 7}")
    plan = make_plan(parse_spec(text), tmp_path)
    assert sorted({trial.spec.seed for trial in plan.trials}) == [0, 7, 8]
