"""Ray's actors have the sweep's own process run their trials."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from embft.errors import FailureReason
from embft.execution.monitor import Limits
from embft.results.folders import TrialDir
from embft.results.records import Status
from embft.scheduler import broker as launch_server
from embft.scheduler.broker import ask_for_trial
from embft.storage.errors import StorageError
from tests.helpers.commands import start_program, wait_for


def test_what_a_trial_comes_to_is_told_where_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status, a full disk, and a fault with its traceback; several at a time."""
    together = threading.Barrier(2, timeout=20)

    def run(folder: TrialDir, limits: Limits) -> Status:
        assert limits.timeout == 7
        if folder.name == "full":
            raise StorageError(FailureReason.DISK_FULL, "no room")
        if folder.name == "broken":
            raise ValueError("who knows")
        together.wait()
        return Status(folder.name)

    monkeypatch.setattr(launch_server, "run_trial", run)
    statuses: list[Status] = []
    with launch_server.launch_server(tmp_path, Limits(timeout=7)) as address:
        assert Path(address).parent.stat().st_mode & 0o077 == 0, "nobody else may ask"

        def ask(name: str) -> None:
            statuses.append(ask_for_trial(address, TrialDir(tmp_path / name)))

        asking = [threading.Thread(target=ask, args=(name,)) for name in ("completed", "failed")]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert sorted(statuses) == [Status.COMPLETED, Status.FAILED]
        with pytest.raises(StorageError, match="no room") as caught:
            ask_for_trial(address, TrialDir(tmp_path / "full"))
        assert caught.value.reason == "disk_full"
        with pytest.raises(RuntimeError, match="ValueError: who knows"):
            ask_for_trial(address, TrialDir(tmp_path / "broken"))
    with pytest.raises(OSError, match=r"No such file|refused"):
        ask_for_trial(address, TrialDir(tmp_path / "a"))


def test_a_trial_ends_with_who_has_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor that dies leaves no trial behind, and the server waits until that has ended."""
    began, ended = threading.Event(), threading.Event()

    def run(_: TrialDir, limits: Limits) -> Status:
        began.set()
        wait_for(limits.abandoned)
        ended.set()
        return Status.PENDING

    monkeypatch.setattr(launch_server, "run_trial", run)
    with launch_server.launch_server(tmp_path, Limits()) as address:
        asker = start_program("ask_for_trial", address)
        assert began.wait(30)
        asker.kill()
        asker.wait()
    assert ended.is_set()


def test_whoever_asks_as_the_server_ends_does_not_keep_it_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may have been made and not begun, which nobody can wait for; its trial is waited
    for all the same.
    """
    made, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    start = threading.Thread.start

    def begin_late(thread: threading.Thread) -> None:
        if thread.name.endswith("(_serve)"):
            made.set()
            goes_on.wait(5)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin_late)

    def run(*_: object) -> Status:
        time.sleep(0.5)
        ended.set()
        return Status.PENDING

    monkeypatch.setattr(launch_server, "run_trial", run)
    with launch_server.launch_server(tmp_path, Limits()) as address:
        asker = start_program("ask_for_trial", address)
        assert made.wait(30)
        threading.Timer(0.2, goes_on.set).start()
    assert ended.is_set()
    asker.communicate(timeout=30)
