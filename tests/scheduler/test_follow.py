"""Observers of a sweep hear everything, in order, and never in its way."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from embft.cli.progress import SweepView
from embft.planning.plan import PlannedTrial, make_plan
from embft.report import background
from embft.report.background import BackgroundReport
from embft.results.folders import SweepDir
from embft.results.observer import Observed, Observer
from embft.results.records import EpochScore, Failed, TrialResult
from embft.scheduler import follow
from embft.scheduler.follow import Follower, InBackground
from embft.spec import parse_spec

STEP = {"event": "step", "step": 3, "steps": 6, "epoch": 1, "loss": 0.5}
EPOCH = {
    "event": "epoch",
    "epoch": 1,
    "step": 6,
    "loss": 0.25,
    "dev": {"spearman": 0.75},
    "seconds": 1.5,
}


class Noted(Observer):
    """Writes down what it hears. raising: the method that raises; slow: seconds for each."""

    def __init__(self, raising: str = "", slow: float = 0.0) -> None:
        self.raising, self.slow = raising, slow
        self.heard: list[tuple[str, Any]] = []

    def _note(self, event: str, about: Any) -> None:
        time.sleep(self.slow)
        self.heard.append((event, about))
        if event == self.raising:
            raise ConnectionError("the server is gone")

    def on_start(self, sweep: SweepDir, trials: Sequence[Observed], done: int) -> None:
        """Note it."""
        self._note("start", (sweep.path.name, len(trials), done))

    def on_progress(self, trial: Observed, event: Mapping[str, Any]) -> None:
        """Note it."""
        self._note("progress", (trial.name, event["event"]))

    def on_epoch(self, trial: Observed, score: EpochScore) -> None:
        """Note it."""
        self._note("epoch", (trial.name, score.dev["spearman"]))

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """Note it."""
        self._note("trial", (trial.name, result.status))

    def on_stopping(self) -> None:
        """Note it."""
        self._note("stopping", None)

    def on_end(self, error: BaseException | None) -> None:
        """Note it."""
        self._note("end", type(error))


@pytest.fixture
def trials(
    tiny_spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Sequence[PlannedTrial]:
    """Two trials of a plan, not begun; their folders are looked at when the sweep ends."""
    monkeypatch.setattr(follow, "_POLL_SECONDS", 600.0)
    return make_plan(parse_spec(tiny_spec), tmp_path).trials[1:3]


def _fails(trial: PlannedTrial) -> None:
    given = trial.input(threads=1)
    trial.folder.write_result(Failed(**given.repeated, reason="crashed", message="it broke"))


def _live(trials: Sequence[PlannedTrial], *observers: Observer) -> None:
    """A sweep of two trials: one is evaluated and fails, then the sweep is interrupted."""
    for trial in trials:
        trial.folder.create(trial.input(threads=1))
    with suppress(KeyboardInterrupt), Follower(trials, observers, done=3):
        for event in (STEP, EPOCH):
            trials[0].folder.append_progress(event)
        _fails(trials[0])
        trials[0].folder.sweep.stop_file.touch()
        raise KeyboardInterrupt


def test_an_observer_is_told_everything_in_order(trials: Sequence[PlannedTrial]) -> None:
    """Start, progress, epochs, ends of trials, a stop, and the end; also what came at the last."""
    noted, name = Noted(), trials[0].folder.name.rpartition("-")[0]
    _live(trials, noted)
    assert noted.heard == [
        ("start", ("tiny", 2, 3)),
        ("stopping", None),
        ("progress", (name, "step")),
        ("progress", (name, "epoch")),
        ("epoch", (name, 0.75)),
        ("trial", (name, "failed")),
        ("end", KeyboardInterrupt),
    ]


@pytest.mark.parametrize("event", ["start", "progress", "epoch", "trial", "end"])
def test_what_an_observer_raises_is_reported_once_and_costs_the_others_nothing(
    event: str, trials: Sequence[PlannedTrial], caplog: pytest.LogCaptureFixture
) -> None:
    """A tracker's server may be gone: the others hear all, and so does it."""
    failing, other = Noted(raising=event), Noted()
    with caplog.at_level(logging.WARNING):
        _live(trials, failing, other)
    assert failing.heard == other.heard
    (message,) = [record.message for record in caplog.records]
    assert message.startswith(f"Noted.on_{event}: ConnectionError: the server is gone")


def test_a_slow_observer_keeps_nobody_waiting(trials: Sequence[PlannedTrial]) -> None:
    """In the background it hears the same, in the same order, and is waited for at the end."""
    slow, quick = Noted(slow=10.0), Noted()
    begun = time.monotonic()
    for number, observer in enumerate((InBackground(slow), quick)):
        observer.on_start(trials[0].folder.sweep, [], number)
    for _ in range(3):
        quick.on_stopping()
    assert time.monotonic() - begun < 5
    _live(trials, InBackground(other := Noted(slow=0.01)), same := Noted())
    assert other.heard == same.heard


def test_a_damaged_record_ends_no_view(
    trials: Sequence[PlannedTrial], caplog: pytest.LogCaptureFixture
) -> None:
    """Its trial is given up, with a message, and the others are followed."""
    noted = Noted()
    for trial in trials:
        trial.folder.create(trial.input(threads=1))
    with Follower(trials, [noted]):
        trials[0].folder.result_file.write_text("{")
        _fails(trials[1])
    assert [about[1] for event, about in noted.heard if event == "trial"] == ["failed"]
    assert "result.json" in caplog.text


def test_lines_on_a_terminal_that_is_none(trials: Sequence[PlannedTrial]) -> None:
    """Where output is a file: a line for each start, epoch and end."""
    out = io.StringIO()
    _live(trials, SweepView(Console(file=out, width=200)))
    folder = trials[0].folder
    name = f"{folder.short} {folder.name.rpartition('-')[0]}"
    assert out.getvalue().splitlines() == [
        "Stopping: what runs saves where it is. Ctrl-C again ends at once.",
        f"{name}: started",
        f"{name}: epoch 1/2, loss 0.2500, dev spearman 0.750",
        f"[4/5] {name}: failed: crashed",
    ]


def test_the_report_is_written_after_trials_but_not_after_the_last(
    trials: Sequence[PlannedTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials that finish while the sweep goes on are reported once; its end writes its own."""
    written: list[tuple[str, int]] = []
    monkeypatch.setattr(
        background, "write_in_background", lambda folder, n, _: written.append((folder.name, n))
    )
    monkeypatch.setattr(background, "_SETTLE_SECONDS", 0.05)
    threads = threading.active_count()
    report, sweep = BackgroundReport(), trials[0].folder.sweep
    report.on_start(sweep, [], 7)
    report.on_trial(*_ended(trials[0]))
    deadline = time.monotonic() + 20
    while not written and time.monotonic() < deadline:
        time.sleep(0.01)
    report.on_trial(*_ended(trials[1]))
    report.on_end(None)
    assert written == [("tiny", 7)]
    assert threading.active_count() == threads


def _ended(trial: PlannedTrial) -> tuple[Observed, TrialResult]:
    given = trial.input(threads=1)
    result = Failed(**given.repeated, reason="crashed", message="")
    return Observed(trial.folder, trial.spec, trial.params), result
