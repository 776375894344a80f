"""A trial in steps: from one evaluation on dev to the next, as Ray's schedulers want it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any

from embft.results.folders import TrialDir
from embft.results.records import Completed, Failed, Status, TrialResult
from embft.scheduler.early_stopping import EVALUATION
from embft.scheduler.searchers import METRIC

_LOOK_SECONDS = 0.02


class SteppedTrial:
    """Runs a trial in a thread, and holds it after each evaluation until the next step is asked.

    One that is finished already steps through the evaluations on its record. metric: the objective.
    reported: evaluations that Ray has heard of before, of a trial that was paused.
    """

    def __init__(
        self, folder: TrialDir, run: Callable[[TrialDir], Status], metric: str, reported: int = 0
    ) -> None:
        self.folder, self.metric, self.reported = folder, metric, reported
        self.seen = self.asked = 0
        self.values: dict[float, float] = {}  # by epoch: one that goes on tells of some once more
        self.end: Future[Status] | None = None
        if folder.result() is None:
            folder.forget_decisions()
            self.end = _started(run, folder)

    def step(self) -> dict[str, Any]:
        """The next evaluation, or how the trial has ended."""
        if self.end is not None and self.reported:
            self.folder.let_go(self.reported)
        while self.end is not None and not self.end.done():
            self._read()
            if self.reported < min(self.asked, len(self.values)):
                return self._evaluated()
            time.sleep(_LOOK_SECONDS)
        status = self.end.result() if self.end is not None else None
        record = self.folder.result()
        return self._recorded(record, status)

    def _read(self) -> None:
        events, self.seen = self.folder.progress_since(self.seen)
        for event in events:
            if event["event"] == "epoch":
                self.values[event["epoch"]] = event["dev"][self.metric]
            elif event["event"] == "asks":
                self.asked = event["evaluations"]

    def _evaluated(self) -> dict[str, Any]:
        self.reported += 1
        return {METRIC: list(self.values.values())[self.reported - 1], EVALUATION: self.reported}

    def _recorded(self, record: TrialResult | None, status: Status | None) -> dict[str, Any]:
        """From the record: an evaluation that is not reported yet, or the end."""
        if record is None:
            return {"status": status, "done": True}
        self.values = {e.epoch: e.dev[self.metric] for e in record.epochs if self.metric in e.dev}
        # The last of a trial that completed needs no decision.
        open_ = len(self.values) - isinstance(record, Completed)
        if self.end is None and self.reported < open_:
            return self._evaluated()
        end: dict[str, Any] = {"status": status, "done": True}
        if self.values and not isinstance(record, Failed):
            end |= {METRIC: list(self.values.values())[-1], EVALUATION: len(self.values)}
        return end


def _started(run: Callable[[TrialDir], Status], folder: TrialDir) -> Future[Status]:
    found: Future[Status] = Future()

    def work() -> None:
        try:
            found.set_result(run(folder))
        except BaseException as error:  # noqa: BLE001 - raised where the trial's end is waited for
            found.set_exception(error)

    Thread(target=work, daemon=True).start()
    return found
