"""Sweeps whose processes are killed, and what they leave behind."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest

from embft.errors import EmbftError
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.folders import SweepDir
from embft.results.records import Failed
from embft.spec import parse_spec
from embft.storage.lock import hold_as_worker, wait_for_worker
from tests.helpers.commands import (
    ACTOR,
    embft,
    records,
    relatives,
    rows,
    start,
    wait_for,
    wait_for_the_end,
)

pytestmark = pytest.mark.slow


def test_kill_9_of_everything_loses_nothing(tmp_path: Path, tiny_spec: str) -> None:
    """Killed in its third trial, the same command keeps the first two and completes the rest."""
    folder = tmp_path / "results" / "tiny"
    (tmp_path / "tiny.yaml").write_text(tiny_spec)
    sweep = start("sweep", "tiny.yaml", cwd=tmp_path)
    wait_for(lambda: len(records(folder)) >= 2 or sweep.poll() is not None)
    for process in relatives(tmp_path):
        process.kill()
    sweep.wait()
    before = records(folder)
    assert 2 <= len(before) < 5
    embft("sweep", "tiny.yaml", cwd=tmp_path)
    after = records(folder)
    assert len(after) == 5
    assert {name: after[name] for name in before} == before
    assert len(rows(folder)) == 5


@pytest.mark.long
def test_the_same_command_at_once_after_a_killed_driver(tmp_path: Path, tiny_spec: str) -> None:
    """What the killed one leaves neither disturbs nor fails a trial, and ends by itself."""
    folder = tmp_path / "results" / "tiny"
    (tmp_path / "tiny.yaml").write_text(tiny_spec.replace("epochs: 2", "epochs: 12"))
    sweep = start("sweep", "tiny.yaml", cwd=tmp_path)
    wait_for(lambda: list(folder.glob("trials/method*/progress.jsonl")))
    sweep.kill()
    embft("sweep", "tiny.yaml", cwd=tmp_path)
    sweep.wait()
    assert [row["status"] for row in rows(folder).values()] == ["completed"] * 5
    wait_for_the_end(tmp_path, 60)  # Ray's own agents look for their head now and then
    assert list(Path("/tmp").glob(f"embft-ray-{sweep.pid}-*")) == []  # noqa: S108


def test_a_trial_begins_again_whose_actor_was_killed(tmp_path: Path, tiny_spec: str) -> None:
    """It has not failed: another actor goes on with it, and the user sees one line."""
    folder = tmp_path / "results" / "tiny"
    (tmp_path / "tiny.yaml").write_text(tiny_spec.replace("epochs: 2", "epochs: 6"))
    sweep = start("sweep", "tiny.yaml", cwd=tmp_path)
    # The first begins before Ray has an actor.
    wait_for(lambda: len([*folder.glob("trials/method*/progress.jsonl")]) > 1, 240)
    (actor,) = [p for p in relatives(tmp_path) if re.match(ACTOR, " ".join(p.cmdline()))]
    actor.kill()
    output, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, output
    assert output.count("lost with its node or actor, begins again") == 1
    assert "Traceback" not in output
    assert [row["status"] for row in rows(folder).values()] == ["completed"] * 5


def test_a_worker_that_is_left_keeps_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody makes the folder afresh under it, and the message says where it is."""
    monkeypatch.setattr("embft.storage.lock._WORKER_SECONDS", 0.3)
    log = tmp_path / "log.txt"
    wait_for_worker(log)
    held = os.open(log, os.O_WRONLY | os.O_CREAT)
    hold_as_worker(held)
    with pytest.raises(EmbftError, match="a worker of an earlier sweep still works there"):
        wait_for_worker(log)
    os.close(held)
    wait_for_worker(log)


def test_a_lock_file_that_was_left_locks_nothing(tmp_path: Path) -> None:
    """The system lets go of a lock when its process ends; the file may say what it will."""
    (tmp_path / ".lock").write_text("1\n")
    assert not SweepDir(tmp_path).is_running()
    with SweepDir(tmp_path).lock():
        assert SweepDir(tmp_path).is_running()
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_is_waited_for_while_its_holder_ends(tmp_path: Path) -> None:
    """The system takes a moment to take a killed process down."""
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with SweepDir(tmp_path).lock():
            held.set()
            time.sleep(0.5)
            released.set()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    with SweepDir(tmp_path).lock():
        assert released.is_set()


def test_what_was_finished_after_the_plan_was_made_is_not_run_again(
    tmp_path: Path, tiny_spec: str
) -> None:
    """By the sweep that held the folder until then."""
    plan, other = (make_plan(parse_spec(tiny_spec), tmp_path) for _ in range(2))
    with other.folder.lock():
        first, *rest = prepare(other, retry_failed=False)
        given = first.input(threads=1)
        first.folder.create(given)
        first.folder.write_result(Failed(**given.repeated, reason="crashed", message="made up"))
    with plan.folder.lock():
        pending = prepare(plan, retry_failed=False)
    assert [trial.key for trial in pending] == [trial.key for trial in rest]


def test_a_pipe_in_place_of_a_lock_blocks_nobody(tmp_path: Path) -> None:
    """Whoever opens a pipe to read waits for a writer otherwise, for ever."""
    os.mkfifo(tmp_path / ".lock")
    assert not SweepDir(tmp_path).is_running()
