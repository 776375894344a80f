"""What happens in a running sweep, from its trials' folders to its observers.

Reads the folders, as everyone does; knows neither Ray nor how trials run.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from embft.errors import EmbftError
from embft.planning.plan import PlannedTrial
from embft.results.folders import SweepDir, TrialDir
from embft.results.observer import Observed, Observer
from embft.results.records import EpochScore, TrialResult

_POLL_SECONDS = 0.4
# Trials start in the order given, so these few may be the next; all others are looked at too, but
# seldom: in a sweep of thousands that alone would keep a core busy.
_NEXT = 32
_WHOLE_REST = 49.0  # so that looking at every trial takes a fiftieth of one core at most
_DRAIN_SECONDS = 30.0

_log = logging.getLogger("embft")


@dataclass
class _Open:
    """A trial that has not finished yet, and how many bytes of its progress have been read."""

    observed: Observed
    seen: int = 0


class Follower:
    """Tells observers what happens to these trials while it is open.

    done: trials before them. sweep: the trials' own, where there may be none yet.
    """

    def __init__(
        self,
        trials: Sequence[PlannedTrial | Observed],
        observers: Sequence[Observer],
        done: int = 0,
        sweep: SweepDir | None = None,
    ) -> None:
        self.sweep = sweep or trials[0].folder.sweep
        self.trials = [Observed(t.folder, t.spec, t.params) for t in trials]
        self.open = {trial.key: _Open(trial) for trial in self.trials}
        self.done = done
        self.proposed: queue.SimpleQueue[Observed] = queue.SimpleQueue()
        self.observers = [_Guarded(observer) for observer in observers]
        self.stopping = False
        self.whole_look = 0.0  # when every trial is to be looked at again
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Follower:
        self._tell("on_start", self.sweep, self.trials, self.done)
        self.thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        self._tell("on_end", error)

    def add(self, trial: PlannedTrial) -> None:
        """Follow this one too, which a search has proposed."""
        self.proposed.put(Observed(trial.folder, trial.spec, trial.params))

    def folders(self) -> list[TrialDir]:
        """The folders of the trials that are open."""
        return [trial.observed.folder for trial in list(self.open.values())]

    def _take_proposed(self) -> None:
        while not self.proposed.empty():
            trial = self.proposed.get()
            self.open[trial.key] = _Open(trial)
            self._tell("on_proposed", trial)

    def _follow(self) -> None:
        while not self.stop.wait(_POLL_SECONDS):
            self._look()
        self.whole_look = 0.0
        self._look()

    def _look(self) -> None:
        """Tell what is new."""
        self._take_proposed()
        if not self.stopping and self.open and self.sweep.stop_file.exists():
            self.stopping = True
            self._tell("on_stopping")
        began = time.monotonic()
        whole = began >= self.whole_look
        for trial in self._looked_at(whole=whole):
            if self._update(trial):
                del self.open[trial.observed.key]
        if whole:
            self.whole_look = began + _WHOLE_REST * (time.monotonic() - began)

    def _looked_at(self, *, whole: bool) -> list[_Open]:
        """All open trials, or those that run and those that may be next."""
        if whole:
            return list(self.open.values())
        waiting = (trial for trial in self.open.values() if not trial.seen)
        running = [trial for trial in self.open.values() if trial.seen]
        return [*running, *itertools.islice(waiting, _NEXT)]

    def _update(self, trial: _Open) -> bool:
        """Tell what is new of this trial. Returns whether there is nothing more to come."""
        try:
            return self._read(trial)
        except EmbftError as error:  # a damaged record; who reads the folder later says so again
            _log.warning("%s", error)
            return True

    def _read(self, trial: _Open) -> bool:
        events, trial.seen = trial.observed.folder.progress_since(trial.seen)
        for event in events:
            self._tell("on_progress", trial.observed, event)
            if event["event"] == "epoch":
                fields = {name: value for name, value in event.items() if name != "event"}
                self._tell("on_epoch", trial.observed, EpochScore(**fields))
        result = trial.observed.folder.result()
        if result is not None:
            self._tell("on_trial", trial.observed, result)
        return result is not None

    def _tell(self, event: str, *given: Any) -> None:
        for observer in self.observers:
            observer.tell(event, *given)


class _Guarded:
    """An observer whose faults do not end the sweep."""

    def __init__(self, observer: Observer) -> None:
        self.observer, self.failed = observer, False

    def tell(self, event: str, *given: Any) -> None:
        try:
            getattr(self.observer, event)(*given)
        except Exception as error:  # noqa: BLE001 - an observer may raise anything
            # The first with its traceback, the others would only repeat it.
            _log.log(
                logging.DEBUG if self.failed else logging.WARNING,
                "%s.%s: %s: %s; the sweep goes on",
                type(self.observer).__name__,
                event,
                type(error).__name__,
                error,
                exc_info=not self.failed,
            )
            self.failed = True


class InBackground(Observer):
    """Tells another observer the same in a thread of its own, in order: nobody waits for it.

    At the sweep's end it has half a minute for what it has not been given yet.
    """

    def __init__(self, observer: Observer) -> None:
        self.observer = _Guarded(observer)
        self.waiting: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()

    def on_start(self, sweep: SweepDir, trials: Sequence[Observed], done: int) -> None:
        """Start the thread in which the observers are called; a sweep's rounds each start one."""
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()
        self.waiting.put(("on_start", (sweep, trials, done)))

    def on_proposed(self, trial: Observed) -> None:
        """Pass it on."""
        self.waiting.put(("on_proposed", (trial,)))

    def on_progress(self, trial: Observed, event: Mapping[str, Any]) -> None:
        """Pass it on."""
        self.waiting.put(("on_progress", (trial, event)))

    def on_epoch(self, trial: Observed, score: EpochScore) -> None:
        """Pass it on."""
        self.waiting.put(("on_epoch", (trial, score)))

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """Pass it on."""
        self.waiting.put(("on_trial", (trial, result)))

    def on_stopping(self) -> None:
        """Pass it on."""
        self.waiting.put(("on_stopping", ()))

    def on_end(self, error: BaseException | None) -> None:
        """Pass it on, and wait until it has taken it."""
        self.waiting.put(("on_end", (error,)))
        self.thread.join(_DRAIN_SECONDS)
        if self.thread.is_alive():
            name = type(self.observer.observer).__name__
            _log.warning("%s was too slow: the end of the sweep was not passed on to it", name)

    def _work(self) -> None:
        event = ""
        while event != "on_end":
            event, given = self.waiting.get()
            self.observer.tell(event, *given)
