"""Every crash point of a sweep: killed, or failed by the system, at each call that changes a file.

Two trials and a baseline, under strace. Short forms take a sample of the calls, the long ones
(`make soak`) every one. `crash_rig.py` says what is left out and why that is honest.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from embft.errors import RecordError
from embft.results.folders import TrialDir
from embft.results.records import Completed
from tests.helpers.crash_points import (
    Call,
    Ended,
    Rig,
    leftovers,
    plain,
    points,
    records,
    strace_works,
    unsynced,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not strace_works(), reason="no strace that may attach"),
]
STEP = int(os.environ.get("EMBFT_CRASH_STEP", "1"))  # the long forms take every STEPth call
ERRORS = ("ENOSPC", "EIO", "EINTR")


@dataclass(frozen=True)
class Stage:
    """What runs sweeps, a sweep's spec, and what an undisturbed run of it leaves."""

    rig: Rig
    folder: Path
    spec: Path
    undisturbed: Ended
    expected: dict[str, str]
    calls: tuple[Call, ...]

    def fresh(self) -> Path:
        """The results folder, without what the last run left. Always the same path."""
        results = self.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        return results


GRID = "space: {train.method: [lora, full]}\n"
SEARCH = """\
space:
  - {train.method: [lora], train.lora.rank: {randint: [2, 9]}}
  - {train.method: [full], train.learning_rate: {loguniform: [1e-4, 1e-1]}}
search: {algorithm: tpe, trials: 2, seed: 1}
"""


@pytest.fixture(scope="module")
def stage(tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A grid of two trials."""
    return staged(tiny_model, pair_files, tmp_path_factory.mktemp("crash"), GRID)


@pytest.fixture(scope="module")
def searched(tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A search for two trials."""
    return staged(tiny_model, pair_files, tmp_path_factory.mktemp("search"), SEARCH)


def staged(tiny_model: Path, pair_files: Path, folder: Path, space: str) -> Stage:
    """Run the sweep twice, to know its records and its calls."""
    spec = folder / "two.yaml"
    spec.write_text(f"""\
name: two
data:
  train: {pair_files}/train.jsonl
  dev: {pair_files}/dev.jsonl
  test: {pair_files}/test.jsonl
  groups: [kind]
model: {{base: {tiny_model}}}
train: {{epochs: 3, batch_size: 24, learning_rate: 1e-2}}
{space}""")
    rig = Rig(folder)
    results = folder / "results"
    rig.sweep(spec, results)
    expected = records(results)
    shutil.rmtree(results)
    undisturbed = rig.sweep(spec, results, trace=True)
    assert undisturbed.code == 0, undisturbed.output
    assert len(expected) == 3
    return Stage(rig, folder, spec, undisturbed, expected, tuple(points(undisturbed, results)))


def test_an_undisturbed_sweep_repeats_itself(stage: Stage) -> None:
    """Two runs leave the same records, weights and scores included, but for the volatile fields."""
    assert records(stage.folder / "results") == stage.expected
    assert len(stage.calls) > 100


def test_nothing_is_renamed_before_it_is_synced(stage: Stage) -> None:
    """A power cut undoes no rename and empties no file: each is synced before, its folder after."""
    assert unsynced(stage.undisturbed, stage.folder / "results") == []


@pytest.mark.parametrize("mutant", ["no fsync", "no fsync of folders"])
def test_a_dropped_fsync_is_noticed(stage: Stage, mutant: str) -> None:
    """The test above bites."""
    results = stage.fresh()
    assert unsynced(stage.rig.sweep(stage.spec, results, trace=True, mutant=mutant), results)


def sample(calls: Sequence[Call], count: int) -> list[Call]:
    """So many calls, spread evenly, and the renames that finish the trials."""
    spread = [calls[i * len(calls) // count] for i in range(count)]
    return [*spread, *(c for c in calls if c.name == "rename" and c.paths[-1].endswith("t.json"))]


def survive(stage: Stage, call: Call, mutant: str = "") -> None:
    """Kill a sweep at this call, run the same command, and compare."""
    results = stage.fresh()
    inject = f"{call.name}:signal=SIGKILL:when={call.number}"
    ended = stage.rig.sweep(stage.spec, results, inject=inject, mutant=mutant)
    assert ended.code == -9, f"{call}: not killed\n{ended.output}"
    if not mutant:
        assert plain(ended.calls[-1]) == plain(call)
    go_on(stage, results, str(call))


def go_on(stage: Stage, results: Path, reported: str) -> None:
    """The same command finishes the sweep; finished trials are left as they were, to the byte."""
    before = finished(results)
    ended = stage.rig.sweep(stage.spec, results)
    assert ended.code == 0, f"{reported}\n{ended.output}"
    assert records(results) == stage.expected, reported
    after = finished(results)
    assert {name: after[name] for name in before} == before, reported
    assert leftovers(results) == [], reported


def finished(results: Path) -> dict[str, bytes]:
    """The bytes of the records of completed trials."""
    found = {p.parent.name: p.read_bytes() for p in results.glob("*/trials/*/result.json")}
    return {name: raw for name, raw in found.items() if b'"status": "completed"' in raw}


def test_killed_at_some_calls(stage: Stage) -> None:
    """A sample of the crash points: the records are those of an undisturbed sweep."""
    for call in sample(stage.calls, 4)[:6]:
        survive(stage, call)


def suggestions(stage: Stage) -> bytes:
    """All that the search has proposed and heard."""
    return (stage.folder / "results/two/search.jsonl").read_bytes()


@pytest.mark.long
def test_a_search_killed_at_some_calls_proposes_the_same(searched: Stage) -> None:
    """Between suggestion, record and answer above all: the records, and every line of what was
    proposed and answered, are those of an undisturbed search.
    """
    results = searched.folder / "results"
    searched.rig.sweep(searched.spec, results)
    expected = suggestions(searched)
    assert expected.count(b"suggested") == expected.count(b"answered") == 2
    lines = [call for call in searched.calls if call.paths[-1].endswith("search.jsonl")]
    records = [call for call in searched.calls if call.paths[-1].endswith("result.json")]
    for call in (lines[3], records[-1], lines[-1]):
        survive(searched, call)
        assert suggestions(searched) == expected, str(call)


@pytest.mark.long
def test_a_search_killed_at_every_call_proposes_the_same(searched: Stage) -> None:
    """As a grid: every call that changes a file."""
    searched.rig.sweep(searched.spec, searched.fresh())
    expected = suggestions(searched)
    for call in searched.calls[::STEP]:
        survive(searched, call)
        assert suggestions(searched) == expected, str(call)
    print(f"\nkilled and recovered: {len(searched.calls[::STEP])} of {len(searched.calls)} calls")


@pytest.mark.long
def test_killed_at_every_call(stage: Stage) -> None:
    """Every write, fsync, rename, mkdir and unlink below the results folder, one after another."""
    for call in stage.calls[::STEP]:
        survive(stage, call)
    print(f"\nkilled and recovered: {len(stage.calls[::STEP])} of {len(stage.calls)} calls")


@pytest.mark.long
def test_the_recovery_killed_too(stage: Stage) -> None:
    """Killed at a call, killed again at a random call of the recovery, twice, then finished."""
    draw = random.Random(0)  # noqa: S311 - which calls to die at
    kills = 0
    for call in stage.calls[:: 2 * STEP]:
        results = stage.fresh()
        stage.rig.sweep(
            stage.spec, results, inject=f"{call.name}:signal=SIGKILL:when={call.number}"
        )
        for _ in range(2):
            other = draw.choice(stage.calls)
            inject = f"{other.name}:signal=SIGKILL:when={max(1, other.number // 2)}"
            kills += stage.rig.sweep(stage.spec, results, inject=inject).code == -9
        go_on(stage, results, f"{call}, then twice more")
    print(f"\nrecoveries: {kills} killed, {len(stage.calls[:: 2 * STEP])} sweeps finished")
    assert kills > len(stage.calls[:: 2 * STEP]) / 2


def fail(stage: Stage, call: Call, error: str, *, for_good: bool) -> str:
    """Let this call fail. What completes all the same is right; the command again completes all."""
    results = stage.fresh()
    # Python takes up an interrupted call again, for ever where the system interrupts for ever.
    last = f"..{call.number + 20}" if error == "EINTR" else "+"
    when = f"{call.number}{last if for_good else ''}"
    inject = f"{call.name}:error={error}:when={when}"
    ended = stage.rig.sweep(stage.spec, results, inject=inject)
    reported = f"{call}: {inject}\n{ended.output}"
    assert ended.code in {0, 1, 2}, reported
    assert "Traceback" not in ended.output, reported
    got = {k: v for k, v in records(results).items() if '"status":"completed"' in v}
    assert got.items() <= stage.expected.items(), reported
    assert ended.code or got == stage.expected, reported
    go_on(stage, results, reported)
    return "absorbed" if ended.code == 0 else "reported"


@pytest.mark.parametrize("error", ERRORS)
def test_some_calls_fail(stage: Stage, error: str) -> None:
    """A full or broken disk, an interrupted call: reported or absorbed, never silently wrong."""
    calls = [c for c in stage.calls if c.name in {"write", "fsync", "rename", "mkdir"}]
    fail(stage, calls[len(calls) // 3 + len(error)], error, for_good=True)


@pytest.mark.long
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_every_call_fails(stage: Stage, error: str, for_good: bool) -> None:
    """Each call failing once, and from then on, with each error."""
    ways = [fail(stage, call, error, for_good=for_good) for call in stage.calls[::STEP]]
    absorbed, reported = ways.count("absorbed"), ways.count("reported")
    print(f"\n{error}: {absorbed} absorbed, {reported} reported: {len(ways)}")


def test_a_missing_rename_is_noticed(stage: Stage) -> None:
    """A record written in place, and the sweep killed before it is whole: it cannot go on."""
    results = stage.fresh()
    traced = stage.rig.sweep(stage.spec, results, trace=True, mutant="written in place")
    torn = [
        c
        for c in points(traced, results)
        if c.name == "write" and c.paths[0].endswith("/result.json")
    ]
    assert not survives(stage, torn[0], "written in place")


def survives(stage: Stage, call: Call, mutant: str) -> bool:
    """Whether the sweep is as if nothing had happened."""
    try:
        survive(stage, call, mutant)
    except AssertionError:
        return False
    return True


def adopting(stage: Stage, mutant: str = "") -> Iterator[tuple[str, bool]]:
    """Another sweep takes over the finished trials, killed at each call; which calls it survives.

    It survives when every taken-over trial is whole after the same command.
    """
    spec = stage.folder / "other.yaml"
    spec.write_text(stage.spec.read_text().replace("name: two", "name: other"))
    results = stage.fresh()
    assert stage.rig.sweep(stage.spec, results).code == 0
    traced = stage.rig.sweep(spec, results, trace=True, mutant=mutant)
    assert traced.code == 0, traced.output
    other = results / "other"
    found = [c for c in points(traced, other) if f"{other}/trials/" in c.paths[0]]
    for call in [c for c in found if c.name == "sendfile"] if mutant else found:
        shutil.rmtree(other)
        inject = f"{call.name}:signal=SIGKILL:when={call.number}"
        stage.rig.sweep(spec, results, inject=inject, mutant=mutant)
        again = stage.rig.sweep(spec, results)
        yield str(call), again.code == 0 and whole(other) and not leftovers(results)


def whole(sweep: Path) -> bool:
    """Whether every trial is completed, with all the files that its record vouches for."""
    trials = [TrialDir(path) for path in sweep.glob("trials/*")]
    try:
        for trial in trials:
            result = trial.result()
            assert isinstance(result, Completed)
            trial.check_files(result)
    except (AssertionError, RecordError):
        return False
    return len(trials) == 3


def test_a_folder_copied_in_place_is_noticed(stage: Stage) -> None:
    """Without the rename a trial that is taken over would be finished before it is whole."""
    assert not all(good for _, good in adopting(stage, "folder copied in place"))


@pytest.mark.long
def test_killed_while_trials_are_taken_over(stage: Stage) -> None:
    """At each call of taking over another sweep's trials."""
    found = list(adopting(stage))
    assert [call for call, good in found if not good] == []
    print(f"\ntaking over: {len(found)} of {len(found)} calls survived")
