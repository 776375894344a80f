"""`embft status` and `embft watch`: how far sweeps have come, while they run and afterwards."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.data import new_console
from embft.cli.options import SWEEPS_BELOW, TEXT_OR_JSON
from embft.cli.path_options import Place
from embft.errors import EXIT_INTERRUPTED, EmbftError, RecordError

if TYPE_CHECKING:
    from embft.planning.progress import Progress, Running
    from embft.results.folders import SweepDir

_POLL_SECONDS = 0.5


@click.command()
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=Place(folder=True, reading=True))
@SWEEPS_BELOW
@TEXT_OR_JSON
def status(folders: tuple[Path, ...], results: Path, form: str) -> None:
    """Say how far every sweep below --results has come, or those in FOLDERs (results/NAME).

    For each: how many trials are done and have failed, where those that run are, and how long it
    will still take by the rate that was measured so far.
    """
    from embft.cli.console import say
    from embft.results.folders import SweepDir, sweeps_below

    sweeps = [SweepDir(folder) for folder in folders] or sweeps_below(results)
    found = [(sweep, _read(sweep, wanted=bool(folders))) for sweep in sweeps]
    if form == "json":
        click.echo(json.dumps([_content(*each) for each in found], indent=2))
        return
    console = new_console()
    for sweep, progress in found:
        for line in _lines(sweep, progress):
            say(console, line, hang=2)
    if not found:
        say(console, f"{results}: no sweep is here: `embft sweep SPEC` begins one")


def _read(sweep: SweepDir, *, wanted: bool) -> Progress | str:
    """A sweep's progress. One of many that cannot be read hides none of the others."""
    from embft.planning.progress import sweep_progress

    try:
        return sweep_progress(sweep)
    except RecordError as error:
        if wanted:
            raise
        return str(error)


def _lines(sweep: SweepDir, progress: Progress | str) -> Iterator[str]:
    if isinstance(progress, str):
        yield f"{sweep.path.name}: cannot be read: {progress}"
        return
    yield f"{sweep.path.name}: {_headline(progress)}"
    for trial in progress.running:
        name = trial.folder.name.rpartition("-")[0]
        yield f"  {trial.folder.short} {name}: {where(trial)}"


def _headline(progress: Progress) -> str:
    """`running, 3 of 9 trials done, 1 failed, about 12 min left`."""
    from embft.planning.estimate import duration_text
    from embft.results.records import Status

    parts = [progress.state, f"{progress.done} of {progress.total} trials done"]
    parts += [
        f"{progress.counts[s]} {s}" for s in (Status.FAILED, Status.PRUNED) if s in progress.counts
    ]
    if progress.seconds_left is not None:
        parts.append(f"about {duration_text(progress.seconds_left)} left")
    if progress.state == "stopped":
        parts.append("the same `embft sweep` carries on")
    return ", ".join(parts)


def where(trial: Running) -> str:
    """Where a trial is: `epoch 2 of 4, step 130 of 300, 0.21 s a step, dev spearman 0.702`."""
    from embft.cli.progress import encoding_text
    from embft.planning.estimate import duration_text

    if trial.encoding is not None:
        return encoding_text(trial.encoding)
    if trial.stage != "training":
        words = {"loading": "loading", "scoring": "verifying and scoring"}
        return f"{words[trial.stage]}, {duration_text(trial.seconds)} so far"
    epochs = trial.spec.train.epochs
    epoch = min(epochs, int(trial.step * epochs / max(1, trial.steps)) + 1)
    parts = [f"epoch {epoch} of {epochs}, step {trial.step:,} of {trial.steps:,}"]
    if trial.step_seconds is not None:
        parts.append(f"{trial.step_seconds:.2g} s a step")
    metric = trial.spec.objective.metric
    if trial.score is not None and metric in trial.score.dev:
        parts.append(f"dev {metric} {trial.score.dev[metric]:.3f}")
    return ", ".join(parts)


def _content(sweep: SweepDir, progress: Progress | str) -> dict[str, Any]:
    """One sweep for scripts."""
    named = {"sweep": sweep.path.name, "folder": str(sweep.path)}
    if isinstance(progress, str):
        return {**named, "state": "unreadable", "reason": progress}
    return {
        **named,
        "state": progress.state,
        "trials": progress.total,
        "done": progress.done,
        "counts": {str(status): count for status, count in progress.counts.items()},
        "seconds_left": progress.seconds_left,
        "running": [_running_content(trial) for trial in progress.running],
    }


def _running_content(trial: Running) -> dict[str, Any]:
    return {
        "trial": trial.folder.name,
        "short": trial.folder.short,
        "stage": trial.stage,
        "step": trial.step,
        "steps": trial.steps,
        "epochs": trial.spec.train.epochs,
        "seconds": trial.seconds,
        "step_seconds": trial.step_seconds,
        "encoding": trial.encoding,
        "dev": trial.score.dev if trial.score else None,
    }


@click.command()
@click.argument("folder", required=False, type=Place(folder=True, reading=True))
@SWEEPS_BELOW
def watch(folder: Path | None, results: Path) -> None:
    """Watch a running sweep, FOLDER (results/NAME) or the only one below --results, until it ends.

    What is shown is what `embft sweep` itself shows. Ctrl-C ends watching and leaves the sweep
    alone (exit status 130).
    """
    from embft.cli.console import say
    from embft.results.folders import SweepDir

    sweep = SweepDir(folder) if folder else _the_only_one(results)
    console = new_console()
    try:
        if sweep.is_running():
            _follow(sweep)
    except KeyboardInterrupt:
        say(console, "no longer watched; the sweep goes on")
        sys.exit(EXIT_INTERRUPTED)
    for line in _lines(sweep, _read(sweep, wanted=True)):
        say(console, line, hang=2)


def _the_only_one(results: Path) -> SweepDir:
    """The running sweep below a folder. Raises EmbftError for none and for several."""
    from embft.results.folders import sweeps_below

    running = [sweep for sweep in sweeps_below(results) if sweep.is_running()]
    if len(running) == 1:
        return running[0]
    names = ", ".join(str(sweep.path) for sweep in running)
    raise EmbftError(
        f"{len(running)} sweeps are running below {results}: give the folder of one: {names}"
        if running
        else f"no sweep is running below {results}: `embft status` says how far each has come"
    )


def _follow(sweep: SweepDir) -> None:
    """Show what happens until the sweep ends. A search adds trials as it goes."""
    from embft.cli.progress import SweepView
    from embft.scheduler.follow import Follower

    while sweep.is_running():
        waiting, done = _observed(sweep)
        if not waiting:
            time.sleep(_POLL_SECONDS)
            continue
        with Follower(waiting, [SweepView(new_console())], done) as follower:
            while sweep.is_running() and (follower.open or not _observed(sweep)[0]):
                time.sleep(_POLL_SECONDS)


def _observed(sweep: SweepDir) -> tuple[Sequence[Any], int]:
    """The trials that have no record yet, and how many have one."""
    from embft.results.observer import Observed
    from embft.results.plan_record import read_plan
    from embft.spec import trial_spec

    entries = read_plan(sweep)["trials"]
    waiting = [
        Observed(sweep.trial(entry["folder"]), trial_spec(entry["spec"]), entry["params"])
        for entry in entries
        if not sweep.trial(entry["folder"]).result_file.exists()
    ]
    return waiting, len(entries) - len(waiting)
