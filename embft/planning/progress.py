"""How far a sweep has come, and how long it still takes by the rate that was measured.

Reads a sweep's plan, records and progress, so that anyone may ask while it runs, and afterwards.
Starts, ranks and writes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from embft.planning.steps import training_steps
from embft.results.folders import SweepDir, TrialDir
from embft.results.plan_record import PlanEntry, read_plan
from embft.results.records import Completed, EpochScore, Status, TrialResult
from embft.spec import TrainSpec, TrialSpec, trial_spec

State = Literal["running", "finished", "stopped"]


@dataclass(frozen=True)
class Running:
    """A trial that runs. Steps are the optimizer's. seconds: since it began.

    stage: `loading`, `training` or `scoring`. score: the last evaluation on dev, if there was one.
    step_seconds: the measured time of a step; None before there is one. encoding: while the
    documents of a corpus are, how many are done (`done`, of `total`) and the `seconds_left`.
    """

    folder: TrialDir
    spec: TrialSpec
    stage: Literal["loading", "training", "scoring"]
    step: int
    steps: int
    score: EpochScore | None
    seconds: float
    step_seconds: float | None
    encoding: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """One sweep. counts: of its trials, the baseline among them, by status.

    state: `stopped` where trials are pending and nobody runs them. seconds_left: what the open
    trials will take by the rate that was measured; None where none was, or nothing is left.
    """

    folder: SweepDir
    state: State
    counts: Mapping[Status, int]
    running: tuple[Running, ...]
    seconds_left: float | None

    @property
    def total(self) -> int:
        """How many trials there are."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many have a record."""
        ended = (Status.COMPLETED, Status.PRUNED, Status.FAILED)
        return sum(self.counts.get(status, 0) for status in ended)


def sweep_progress(sweep: SweepDir) -> Progress:
    """How far the sweep in this folder has come. Raises RecordError where it cannot be read."""
    plan = read_plan(sweep)
    alive = sweep.is_running()
    folders = [sweep.trial(entry["folder"]) for entry in plan["trials"]]
    results = [folder.result() for folder in folders]
    open_ = [
        (folder, entry)
        for folder, entry, result in zip(folders, plan["trials"], results, strict=True)
        if result is None
    ]
    rows = plan["pairs"]["train"]
    running = tuple(
        _running(folder, _spec(entry), _steps(entry, rows))
        for folder, entry in open_
        if alive and folder.running_file.exists()
    )
    counts = Counter(result.status if result else Status.PENDING for result in results)
    counts[Status.PENDING] -= len(running)
    counts[Status.RUNNING] += len(running)
    names = {trial.folder.name for trial in running}
    waiting = [
        (_spec(entry), _steps(entry, rows)) for folder, entry in open_ if folder.name not in names
    ]
    left = _seconds_left(_Rates.of(results, running), running, waiting) if open_ else None
    state: State = "running" if alive else "stopped" if open_ else "finished"
    return Progress(sweep, state, {k: v for k, v in counts.items() if v}, running, left)


def trial_progress(folder: TrialDir) -> Running | None:
    """Where one trial is; None while it does not run. Raises RecordError."""
    if not (folder.running_file.exists() and folder.sweep.is_running()):
        return None
    given, rows = folder.read_input(), read_plan(folder.sweep)["pairs"]["train"]
    return _running(folder, given.spec, _steps_of(given.spec.train, given.trained_by, rows))


def _spec(entry: PlanEntry) -> TrialSpec:
    return trial_spec(entry["spec"])


def _steps(entry: PlanEntry, rows: int) -> int:
    """Of a planned trial; none of one that is only scored."""
    return _steps_of(_spec(entry).train, entry.get("trained_by"), rows)


def _steps_of(train: TrainSpec, trained_by: str | None, rows: int) -> int:
    trains = train.method != "none" and trained_by is None
    return training_steps(train, rows) if trains else 0


def _running(folder: TrialDir, spec: TrialSpec, planned: int) -> Running:
    """planned: the steps that it has, if nothing in its progress says otherwise."""
    events = list(folder.progress())
    began = _last(events, ("retry", "lost"))
    events = events[began + 1 :]
    epochs = [event for event in events if event["event"] == "epoch"]
    steps = [event for event in events if event["event"] in {"step", "epoch", "resumed"}]
    last = steps[-1]["step"] if steps else 0
    scoring = any(event["event"] == "scoring" for event in events)
    started = _written(folder, folder.running_file.name)
    return Running(
        folder=folder,
        spec=spec,
        stage="scoring" if scoring else "training" if steps else "loading",
        step=last,
        steps=next((e["steps"] for e in reversed(steps) if "steps" in e), planned),
        score=EpochScore(**_without_name(epochs[-1])) if epochs else None,
        seconds=max(0.0, time.time() - started),
        step_seconds=_step_seconds(folder, events, started),
        encoding=_encoding(events),
    )


def _encoding(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    last = events[-1] if events else {}
    open_ = last.get("event") == "encoding" and last["done"] < last["total"]
    return _without_name(last) if open_ else None


def _last(events: Sequence[Mapping[str, Any]], names: Sequence[str]) -> int:
    """The place of the last of these events; -1 where there is none."""
    return max((i for i, event in enumerate(events) if event["event"] in names), default=-1)


def _without_name(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "event"}


def _step_seconds(
    folder: TrialDir, events: Sequence[Mapping[str, Any]], started: float
) -> float | None:
    """By the last evaluation, which has the seconds of the training; before the first one by when
    the progress was written, start included.
    """
    scored = [event for event in events if event["event"] == "epoch" and event["step"] > 0]
    if scored:
        return float(scored[-1]["seconds"] / scored[-1]["step"])
    steps = [event["step"] for event in events if event["event"] in {"step", "resumed"}]
    if len(steps) < 2 or steps[-1] <= steps[0]:
        return None
    first = steps[0] if events[0]["event"] == "resumed" else 0
    seconds = _written(folder, folder.progress_file.name) - started
    return seconds / (steps[-1] - first) if seconds > 0 else None


def _written(folder: TrialDir, name: str) -> float:
    """When a file of the trial was written; now, where it has gone in between."""
    try:
        return (folder.path / name).stat().st_mtime
    except OSError:
        return time.time()


@dataclass(frozen=True)
class _Rates:
    """Seconds of a step by training method, and of all that a trial is beside its steps."""

    step: Mapping[str, float]
    rest: float

    @classmethod
    def of(cls, results: Sequence[TrialResult | None], running: Sequence[Running]) -> _Rates:
        """As finished and running trials have measured them."""
        done = [result for result in results if isinstance(result, Completed)]
        found: dict[str, list[float]] = {}
        for method, rate in _rates(done, running):
            found.setdefault(method, []).append(rate)
        rest = [each.timings.total - each.timings.train for each in done]
        return cls({m: fmean(each) for m, each in found.items()}, fmean(rest) if rest else 0.0)

    def of_method(self, method: str) -> float | None:
        """The method's own rate, else the mean of the others; 0 of a baseline, which has no step.

        None where nothing was measured.
        """
        if method == "none":
            return 0.0
        known = self.step.get(method)
        return known if known or not self.step else fmean(self.step.values())


def _rates(done: Sequence[Completed], running: Sequence[Running]) -> Iterator[tuple[str, float]]:
    for result in done:
        if result.epochs and result.epochs[-1].step:
            yield result.spec.train.method, result.timings.train / result.epochs[-1].step
    for trial in running:
        if trial.step_seconds is not None:
            yield trial.spec.train.method, trial.step_seconds


def _seconds_left(
    rates: _Rates, running: Sequence[Running], waiting: Sequence[tuple[TrialSpec, int]]
) -> float | None:
    """As many at once as run now. None where a trial's rate is not known."""
    found = [_left(rates, spec, steps) for spec, steps in waiting]
    found += [
        _left(rates, each.spec, max(0, each.steps - each.step), each.step_seconds)
        for each in running
    ]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) / max(1, len(running)) if len(known) == len(found) else None


def _left(rates: _Rates, spec: TrialSpec, steps: int, own: float | None = None) -> float | None:
    rate = rates.of_method(spec.train.method) if own is None else own
    if steps == 0:
        return rates.rest
    return None if rate is None else rate * steps + rates.rest
