"""Events of a sweep as lines of JSON, for scripts that follow it: `events.jsonl` in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from embft.results.folders import SweepDir
from embft.results.observer import Observed, Observer
from embft.results.records import Completed, EpochScore, TrialResult
from embft.storage.files import open_no_link


class Tracker(Observer):
    """Adds a line for the sweep's start and end, and for each evaluation and each finished trial.

    Every line has `time` (UTC, ISO 8601) and `event`: start, epoch, trial, stopping or end.
    """

    sweep: SweepDir

    def on_start(self, sweep: SweepDir, trials: Sequence[Observed], done: int) -> None:
        """Each trial that is going to run, with its parameters."""
        self.sweep = sweep
        found = [{**_named(trial), "params": dict(trial.params)} for trial in trials]
        self._write("start", done=done, trials=found)

    def on_epoch(self, trial: Observed, score: EpochScore) -> None:
        """Write an evaluation on dev."""
        self._write("epoch", **_named(trial), **score.model_dump(mode="json"))

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """Write what a trial came to."""
        if isinstance(result, Completed):
            found: dict[str, Any] = {"dev": result.dev, "test": result.test}
        else:
            found = {"reason": result.reason}
        self._write("trial", **_named(trial), status=result.status, **found)

    def on_stopping(self) -> None:
        """Write that the sweep was asked to stop."""
        self._write("stopping")

    def on_end(self, error: BaseException | None) -> None:
        """The sweep's end, and what ended it early."""
        self._write("end", error=None if error is None else type(error).__name__)

    def _write(self, event: str, **content: Any) -> None:
        line = {"time": datetime.now(UTC).isoformat(), "event": event, **content}
        with open(self.sweep.events_file, "a", opener=open_no_link, encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _named(trial: Observed) -> dict[str, str]:
    return {"trial": trial.key, "name": trial.name}
