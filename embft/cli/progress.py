"""What a running sweep shows: a live view on a terminal, plain lines elsewhere.

Reads the trial folders, as everyone does; knows neither Ray nor how trials run.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from embft.planning.estimate import duration_text
from embft.planning.plan import PlannedTrial
from embft.results.folders import TrialDir
from embft.results.records import Completed, TrialResult

_POLL_SECONDS = 0.4
# Trials start in the order given, so these few may be the next; all others are looked at too, but
# seldom: in a sweep of thousands that alone would keep a core busy.
_NEXT = 32
_WHOLE_REST = 49.0  # so that looking at every trial takes a fiftieth of one core at most
_REST = 29.0  # so that what follows finished trials (a report) takes a thirtieth of one core


@dataclass
class _Trial:
    """One trial as last seen on disk."""

    planned: PlannedTrial
    seen: int = 0  # bytes of its progress
    started: float | None = None
    step: dict[str, Any] = field(default_factory=dict)
    epoch: dict[str, Any] = field(default_factory=dict)
    scoring: bool = False

    @property
    def name(self) -> str:
        return self.planned.folder.name.rpartition("-")[0]

    def share(self) -> float:
        """How much of the training is done, 0 to 1."""
        return self.step.get("step", 0) / self.step.get("steps", 1) if self.step else 0.0


class SweepView:
    """Follows the trials of a sweep until it is closed.

    `on_result` runs for each finished trial at once. `on_finished` runs after trials finish, in
    a thread of its own, and never for the last ones: whoever closes the view has the last word, and
    the event that it is given is set.
    """

    def __init__(
        self,
        trials: Sequence[PlannedTrial],
        done: int,
        console: Console,
        on_finished: Callable[[threading.Event], None],
        on_result: Callable[[TrialDir, TrialResult], None] | None = None,
    ) -> None:
        self.console, self.on_finished, self.on_result = console, on_finished, on_result
        self.open = {trial.key: _Trial(trial) for trial in trials}
        self.total, self.done = len(trials) + done, done
        self.first, self.start = done, time.monotonic()
        self.best: tuple[float, str] | None = None
        self.stopping = False
        self.whole_look = 0.0  # when every trial is to be looked at again
        self.stop = threading.Event()
        self.finished = threading.Event()
        self.threads = [
            threading.Thread(target=work, daemon=True) for work in (self._follow, self._tell)
        ]

    def __enter__(self) -> SweepView:
        self.live = (
            Live(get_renderable=self._render, console=self.console, refresh_per_second=4)
            if self.console.is_terminal
            else None
        )
        if self.live:
            self.live.start()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.finished.set()
        for thread in self.threads:
            thread.join()
        if self.live:
            self.live.stop()

    def _follow(self) -> None:
        while not self.stop.wait(_POLL_SECONDS):
            if self._look():
                self.finished.set()
        self.whole_look = 0.0
        self._look()

    def _tell(self) -> None:
        """Call `on_finished` when trials have finished, and then rest many times as long."""
        while not self.stop.is_set():
            self.finished.wait()
            self.finished.clear()
            if not self.stop.is_set():
                began = time.monotonic()
                self.on_finished(self.stop)
                self.stop.wait(_REST * (time.monotonic() - began))

    def _look(self) -> bool:
        """Take in what is new. Returns whether a trial has finished."""
        self._look_for_a_stop()
        began = time.monotonic()
        whole = began >= self.whole_look
        finished = [trial for trial in self._looked_at(whole=whole) if self._update(trial)]
        for trial in finished:
            del self.open[trial.planned.key]
        if whole:
            self.whole_look = began + _WHOLE_REST * (time.monotonic() - began)
        return bool(finished)

    def _look_for_a_stop(self) -> None:
        trial = next(iter(self.open.values()), None)
        sweep = trial.planned.folder.sweep if trial else None
        if not self.stopping and sweep and sweep.stop_file.exists():
            self.stopping = True
            self._say("Stopping: what runs saves where it is. Ctrl-C again ends at once.")

    def _looked_at(self, *, whole: bool) -> list[_Trial]:
        """All open trials, or those that run and those that may be next."""
        if whole:
            return list(self.open.values())
        waiting = (trial for trial in self.open.values() if trial.started is None)
        return [*self._running_trials(), *itertools.islice(waiting, _NEXT)]

    def _running_trials(self) -> list[_Trial]:
        return [trial for trial in list(self.open.values()) if trial.started is not None]

    def _update(self, trial: _Trial) -> bool:
        """Take in what is new on disk. Returns whether the trial has finished."""
        events, trial.seen = trial.planned.folder.progress_since(trial.seen)
        for event in events:
            self._take(trial, event)
        result = trial.planned.folder.result()
        if result is None:
            return False
        self.done += 1
        self._finished(trial, result)
        if self.on_result is not None:
            self.on_result(trial.planned.folder, result)
        return True

    def _take(self, trial: _Trial, event: dict[str, Any]) -> None:
        if trial.started is None:
            trial.started = time.monotonic()
            self._line(f"{trial.name}: started")
        if event["event"] == "resumed":
            self._line(f"{trial.name}: goes on after step {event['step']}")
        elif event["event"] == "step":
            trial.step = event
        elif event["event"] == "epoch":
            trial.epoch = event
            self._line(f"{trial.name}: {self._epoch(trial)}")
        elif event["event"] == "scoring":
            trial.scoring = True

    def _finished(self, trial: _Trial, result: TrialResult) -> None:
        where = f"[{self.done}/{self.total}]"
        if not isinstance(result, Completed):
            self._say(f"{where} {trial.name}: {result.status}: {result.reason}", "red")
            return
        objective = trial.planned.spec.objective
        score = result.dev.get(objective.metric)
        shown = f"dev {objective.metric} {score:.3f}" if score is not None else "no dev score"
        self._say(f"{where} {trial.name}: completed in {result.timings.total:.0f} s, {shown}")
        if score is not None and not trial.planned.spec.is_baseline:
            sign = 1 if objective.mode == "max" else -1
            if self.best is None or sign * score > sign * self.best[0]:
                self.best = (score, trial.name)

    def _epoch(self, trial: _Trial) -> str:
        metric = trial.planned.spec.objective.metric
        score = trial.epoch["dev"].get(metric, float("nan"))
        epochs = trial.planned.spec.train.epochs
        return (
            f"epoch {trial.epoch['epoch']}/{epochs}, loss {trial.epoch['loss']:.4f}, "
            f"dev {metric} {score:.3f}"
        )

    def _line(self, text: str) -> None:
        """A line that the live view shows in its own way."""
        if self.live is None:
            self._say(text)

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(self._headline(), style="bold")]
        running = self._running_trials()
        parts += [self._running(trial) for trial in running]
        if not running and self.open:
            parts.append(Text("  starting", style="dim"))
        return Group(*parts)

    def _headline(self) -> str:
        text = f"{self.done} of {self.total} trials done"
        if self.best:
            text += f" · best {self.best[0]:.3f} ({self.best[1]})"
        left = self._seconds_left()
        return text + (f" · about {duration_text(left)} left" if left is not None else "")

    def _running(self, trial: _Trial) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        step, epochs = trial.step, trial.planned.spec.train.epochs
        stage = "verifying and scoring" if trial.scoring else "loading"
        if step and not trial.scoring:
            stage = f"epoch {step['epoch']}/{epochs}  loss {step['loss']:.4f}"
        if trial.epoch and not trial.scoring:
            metric = trial.planned.spec.objective.metric
            score = trial.epoch["dev"].get(metric)
            stage += f"  dev {metric} {score:.3f}" if score is not None else ""
        bar = ProgressBar(total=1.0, completed=trial.share(), width=20)
        grid.add_row(Text(f"  {trial.name}", style="cyan"), bar, Text(stage))
        return grid

    def _seconds_left(self) -> float | None:
        """From the mean time of the trials that this run has finished, and the share of others."""
        running = sum(trial.share() for trial in self.open.values())
        worked = self.done - self.first + running
        if worked < 0.5 or not self.open:
            return None
        return (time.monotonic() - self.start) / worked * (len(self.open) - running)
