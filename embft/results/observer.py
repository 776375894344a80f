"""Who hears of what happens in a running sweep: the terminal, the report, retention, trackers.

An observer is given to the sweep (`scheduler.tune.run_trials`), which reads its trials' folders and
calls the observer from one thread. Knows no Ray and starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embft.results.folders import SweepDir, TrialDir
from embft.results.records import EpochScore, TrialResult
from embft.spec import TrialSpec


@dataclass(frozen=True)
class Observed:
    """A trial that observers hear of. params: the varying parameters, empty for a base model."""

    folder: TrialDir
    spec: TrialSpec
    params: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The trial's key, the last part of its name."""
        return self.folder.key

    @property
    def name(self) -> str:
        """The readable part of the trial's name: `method=lora,rank=4,seed=42`."""
        return self.folder.name.rpartition("-")[0]

    @property
    def title(self) -> str:
        """What people read: the short name, and what varies."""
        return f"{self.folder.short} {self.name}"


class Observer:
    """Does nothing; a subclass has the methods that it needs.

    What a method raises is reported once, and the sweep goes on. A method that may take long (a
    report, a server that is slow to answer) must do its work in a thread of its own, or the
    observer is wrapped in `scheduler.follow.InBackground`, which has one.
    """

    def on_start(self, sweep: SweepDir, trials: Sequence[Observed], done: int) -> None:
        """These trials are going to run. done: how many of the sweep have finished before."""

    def on_proposed(self, trial: Observed) -> None:
        """A search has proposed this trial, which is going to run."""

    def on_progress(self, trial: Observed, event: Mapping[str, Any]) -> None:
        """A line of the trial's progress; `event["event"]` is step, epoch, resumed, scoring,
        retry, or lost (its node or actor has gone, and it begins again). Called for epochs too,
        before `on_epoch`.
        """

    def on_epoch(self, trial: Observed, score: EpochScore) -> None:
        """The trial has been evaluated on dev, at an epoch's end or between."""

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """The trial has finished: completed, failed or pruned."""

    def on_stopping(self) -> None:
        """The sweep was asked to stop; running trials save where they are."""

    def on_end(self, error: BaseException | None) -> None:
        """The sweep has ended. error: what ended it before its last trial, None otherwise."""
