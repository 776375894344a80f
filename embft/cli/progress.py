"""What a running sweep shows: a live view on a terminal, plain lines elsewhere.

An observer of the sweep: it is notified of what happens, and knows neither Ray nor how trials run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from embft.cli.console import say
from embft.planning.estimate import duration_text
from embft.results.folders import SweepDir
from embft.results.observer import Observed, Observer
from embft.results.records import Completed, EpochScore, TrialResult
from embft.synthesis.mining_progress import MiningStep, Seen
from embft.system.speedups import go_without, unsaid

if TYPE_CHECKING:
    from embft.evaluation.context import Progress


@dataclass
class _Shown:
    """A trial that has not finished, as it is shown."""

    trial: Observed
    started: bool = False
    step: Mapping[str, Any] = field(default_factory=dict)
    epoch: EpochScore | None = None
    scoring: bool = False
    encoding: Mapping[str, Any] | None = None

    @property
    def metric(self) -> str:
        return self.trial.spec.objective.metric

    def dev(self) -> float | None:
        """The objective on dev, as last evaluated."""
        return self.epoch.dev.get(self.metric) if self.epoch else None

    def share(self) -> float:
        """How much of the training is done, 0 to 1."""
        return self.step.get("step", 0) / self.step.get("steps", 1) if self.step else 0.0


class SweepView(Observer):
    """Shows the trials of a sweep until it ends. budget: those that a search may yet propose."""

    def __init__(
        self, console: Console, budget: int = 0, expected: Mapping[str, float] | None = None
    ) -> None:
        """expected: seconds of the trials that were measured before, by key."""
        self.console, self.budget, self.expected = console, budget, expected or {}
        self.slower, self.taken, self.expected_of_done = 1.0, 0.0, 0.0
        self.most_at_once = 1
        self.live: Live | None = None
        self.open: dict[str, _Shown] = {}
        self.total = self.done = self.first = 0
        self.start = 0.0
        self.best: tuple[float, str] | None = None

    def on_start(self, _: SweepDir, trials: Sequence[Observed], done: int) -> None:
        """Begin to show."""
        self.open = {trial.key: _Shown(trial) for trial in trials}
        self.total, self.done, self.first = len(trials) + done + self.budget, done, done
        self.start = time.monotonic()
        if self.console.is_terminal:
            self.live = Live(
                get_renderable=self._render, console=self.console, refresh_per_second=4
            )
            self.live.start()

    def on_proposed(self, trial: Observed) -> None:
        """Show it with the others."""
        self.open[trial.key] = _Shown(trial)
        self.total = max(self.total, self.done + len(self.open))

    def on_end(self, _: BaseException | None) -> None:
        """Leave the last view as it is."""
        if self.live:
            self.live.stop()

    def on_stopping(self) -> None:
        """Say what happens now."""
        self._say("Stopping: what runs saves where it is. Ctrl-C again ends at once.")

    def on_progress(self, trial: Observed, event: Mapping[str, Any]) -> None:
        """Show where the trial is."""
        shown = self.open[trial.key]
        if not shown.started:
            shown.started = True
            self._line(f"{trial.title}: started")
        if event["event"] == "resumed":
            self._line(f"{trial.title}: goes on after step {event['step']}")
        elif event["event"] == "lost":
            self._say(f"{trial.title}: lost with its node or actor, begins again", "yellow")
        elif event["event"] == "step":
            shown.step = event
        elif event["event"] == "scoring":
            shown.scoring = True
        elif event["event"] == "encoding":
            if _tenths(event) > _tenths(shown.encoding):
                self._line(f"{trial.title}: {encoding_text(event)}")
            shown.encoding = event

    def on_epoch(self, trial: Observed, score: EpochScore) -> None:
        """Show the scores."""
        shown = self.open[trial.key]
        shown.epoch = score
        dev = score.dev.get(shown.metric, float("nan"))
        self._line(
            f"{trial.title}: epoch {score.epoch}/{trial.spec.train.epochs}, loss {score.loss:.4f}, "
            f"dev {shown.metric} {dev:.3f}"
        )

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """Say what the trial came to."""
        self.open.pop(trial.key, None)
        self.done += 1
        self._say_what_is_missing(result)
        where = f"[{self.done}/{self.total}]"
        if not isinstance(result, Completed):
            self._say(f"{where} {trial.title}: {result.status}: {result.reason}", "red")
            return
        if result.trained_by is None:
            self._compare_time(trial, result)
        objective = trial.spec.objective
        score = result.dev.get(objective.metric)
        shown = f"dev {objective.metric} {score:.3f}" if score is not None else "no dev score"
        self._say(f"{where} {trial.title}: {_completed(result)}, {shown}")
        if score is not None and not trial.spec.is_baseline:
            sign = 1 if objective.mode == "max" else -1
            if self.best is None or sign * score > sign * self.best[0]:
                self.best = (score, trial.folder.short)

    def _compare_time(self, trial: Observed, result: Completed) -> None:
        """Keep how much longer trials take than was measured before."""
        if expected := self.expected.get(trial.key):
            self.expected_of_done += expected
            self.taken += result.timings.total
            self.slower = self.taken / self.expected_of_done

    def _say_what_is_missing(self, result: TrialResult) -> None:
        without = result.provenance.without if result.provenance else {}
        for name, reason in without.items():
            go_without(name, reason)
        for sentence in unsaid():
            self._say(sentence)

    def _line(self, text: str) -> None:
        """A line that the live view shows in its own way."""
        if self.live is None:
            self._say(text)

    def _say(self, text: str, style: str = "") -> None:
        say(self.console, text, style, hang=2)

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [_unbroken(self._headline(), "bold")]
        running = [shown for shown in list(self.open.values()) if shown.started]
        parts += [_running(shown, self.console.width) for shown in running]
        if not running and self.open:
            parts.append(_unbroken("  starting", "dim"))
        return Group(*parts)

    def _headline(self) -> str:
        text = f"{self.done} of {self.total} trials done"
        if self.best:
            text += f" · best {self.best[0]:.3f} ({self.best[1]})"
        left = self._seconds_left()
        return text + (f" · about {duration_text(left)} left" if left is not None else "")

    def _seconds_left(self) -> float | None:
        """By what was measured before, if anything was; else from the mean time of the trials that
        this run has finished, and the share of others.
        """
        if self.open and self.open.keys() <= self.expected.keys():
            return self._expected_left()
        running = sum(shown.share() for shown in list(self.open.values()))
        worked = self.done - self.first + running
        if worked < 0.5 or not self.open:
            return None
        return (time.monotonic() - self.start) / worked * (len(self.open) - running)

    def _expected_left(self) -> float:
        """What is left of the measured times, corrected by those that finished trials took."""
        shown = list(self.open.values())
        self.most_at_once = max(self.most_at_once, sum(each.started for each in shown))
        left = sum(self.expected[s.trial.key] * (1 - s.share()) for s in shown)
        return self.slower * left / self.most_at_once


def encoding_text(event: Mapping[str, Any]) -> str:
    """How far the encoding of a corpus is, with the time that is left."""
    left = duration_text(event["seconds_left"])
    return f"encoding documents: {event['done']:,} of {event['total']:,}, about {left} left"


def mining_text(step: MiningStep) -> str:
    """How far the mining of negatives is, with the time that is left of this stage."""
    which = f", setting {step.setting} of {step.settings}" if step.settings > 1 else ""
    left = "" if step.seconds_left is None else f", about {duration_text(step.seconds_left)} left"
    return f"mining{which}: {step.stage}: {step.done:,} of {step.total:,}{left}"


@contextmanager
def mining_shown(console: Console) -> Iterator[Seen]:
    """What shows how far mining is: on a terminal in one line, elsewhere in lines of each tenth."""
    if console.is_terminal:
        with console.status("") as status:
            yield lambda step: status.update(mining_text(step))
        return
    last: list[tuple[int, str, int]] = []

    def line(step: MiningStep) -> None:
        now = (step.setting, step.stage, _tenths(asdict(step)))
        if last != [now]:
            last[:] = [now]
            say(console, mining_text(step))

    yield line


@contextmanager
def encoding_shown() -> Iterator[Progress]:
    """What shows, on a terminal, how far the encoding of a corpus is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda *_: None
        return
    with console.status("loading") as status:
        yield lambda done, total, left: status.update(
            encoding_text({"done": done, "total": total, "seconds_left": left})
        )


def _tenths(event: Mapping[str, Any] | None) -> int:
    return 0 if event is None else 10 * int(event["done"]) // max(1, int(event["total"]))


def _completed(result: Completed) -> str:
    """`completed in 74 s`, or how long its scoring took where it was not trained again."""
    if result.trained_by is None:
        return f"completed in {result.timings.total:.0f} s"
    return f"scored again in {result.timings.evaluate:.0f} s"


_BAR, _SMALL_BAR, _WIDE = 20, 8, 100  # columns: of a bar, on a narrow terminal, of a wide one
_LEAST_TITLE = 12  # columns, room for a trial's short name
_BETWEEN = 2


def _unbroken(text: str, style: str = "") -> Text:
    """A line of the live view, which is drawn over itself and must not be broken into two."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _running(shown: _Shown, width: int) -> RenderableType:
    """A trial's line in so many columns of a terminal; of a narrow one its name is cut."""
    title, stage = f"  {shown.trial.title}", _stage(shown)
    bar = _BAR if width >= _WIDE else _SMALL_BAR
    room = max(_LEAST_TITLE, width - bar - len(stage) - 2 * _BETWEEN)
    grid = Table.grid(padding=(0, _BETWEEN, 0, 0))
    grid.add_column(no_wrap=True, width=min(room, cell_len(title)))
    grid.add_row(
        _unbroken(title, "cyan"),
        ProgressBar(total=1.0, completed=shown.share(), width=bar),
        _unbroken(stage),
    )
    return grid


def _stage(shown: _Shown) -> str:
    """What the trial does now, and what came of it so far."""
    step, dev = shown.step, shown.dev()
    if shown.encoding is not None and shown.encoding["done"] < shown.encoding["total"]:
        return encoding_text(shown.encoding)
    if shown.scoring:
        return "verifying and scoring"
    if not step:
        return "loading"
    stage = f"epoch {step['epoch']}/{shown.trial.spec.train.epochs}  loss {step['loss']:.4f}"
    return stage if dev is None else f"{stage}  dev {shown.metric} {dev:.3f}"
