"""When a sweep has enough: its time is over, a score is reached, nothing gets better, or the
recommendation is resolved.

What runs then saves where it is, as after Ctrl-C, and the sweep ends as if it had no more trials.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from embft.errors import EmbftError
from embft.planning.estimate import duration_text
from embft.results.folders import SweepDir
from embft.results.observer import Observed, Observer
from embft.results.records import Completed, Status, TrialResult
from embft.spec import Goal
from embft.spec.search import Stop

_log = logging.getLogger("embft")


class Enough(Observer):
    """Hears of each finished trial. reason: why the sweep has enough, None until it has.

    resolved: asks the results whether the recommendation is resolved; it may take seconds, and is
    asked in a thread of its own.
    """

    def __init__(
        self, stop: Stop, goal: Goal, sweep: SweepDir, resolved: Callable[[], bool] | None = None
    ) -> None:
        self.stop, self.goal, self.sweep = stop, goal, sweep
        self.resolved = resolved if stop.resolved else None
        self.reason: str | None = None
        self.best: float | None = None
        self.since = 0  # trials without a better one
        self.began = time.monotonic()
        self.asking = threading.Lock()

    def count(self, results: Iterable[TrialResult]) -> None:
        """Trials that had finished before the sweep goes on."""
        for result in results:
            self._take(result)
        if self.reason is None and self.resolved is not None and self.best is not None:
            self._ask()

    def on_trial(self, _: Observed, result: TrialResult) -> None:
        """Look whether this was enough."""
        self._take(result)
        if self.reason is None and self.resolved is not None:
            threading.Thread(target=self._ask, daemon=True).start()

    def look(self) -> None:
        """Look at the clock."""
        limit = self.stop.time
        if limit is not None and time.monotonic() - self.began > limit:
            self._end(f"stop.time, {duration_text(limit)}, is over")

    def rest(self) -> Enough | None:
        """For trials that come after these, in what is left of the time. None where that is over.

        The other limits end a search, and not what is done with what it has found.
        """
        limit = self.stop.time
        left = None if limit is None else limit - (time.monotonic() - self.began)
        if left is not None and left <= 0:
            return None
        return Enough(Stop.model_construct(time=left), self.goal, self.sweep)

    def _take(self, result: TrialResult) -> None:
        if result.spec.is_baseline or result.status == Status.FAILED:
            return
        score = result.dev.get(self.goal.metric) if isinstance(result, Completed) else None
        if score is not None and (self.best is None or self._better(score, self.best)):
            self.best, self.since = score, 0
        else:
            self.since += 1
        self._judge()

    def _better(self, one: float, other: float) -> bool:
        return one > other if self.goal.mode == "max" else one < other

    def _judge(self) -> None:
        stop, best = self.stop, self.best
        if best is not None and stop.score is not None and not self._better(stop.score, best):
            self._end(f"stop.score, {stop.score:g}, is reached: {best:.4f} on dev")
        if stop.no_better_for is not None and self.since >= stop.no_better_for:
            self._end(f"stop.no_better_for: the last {self.since} trials were no better")

    def _ask(self) -> None:
        if self.resolved is None or not self.asking.acquire(blocking=False):
            return  # the one that asks now sees the newest results, or the next trial asks again
        try:
            if self.resolved():
                self._end("stop.resolved: the recommendation is resolved")
        except EmbftError as error:
            _log.warning("stop.resolved: %s", error)
        finally:
            self.asking.release()

    def _end(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            self.sweep.ask_to_stop()  # a folder that takes no more ends the sweep otherwise
