"""Measures a few steps of each kind of trial in real workers, and predicts the whole sweep.

Trials that differ only in what costs nothing (learning rate, seed) are one kind. Each kind runs as
a real trial of a few steps, saved, verified and scored in the sweep's own folder, and leaves
nothing but `measured.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from embft.errors import EmbftError, RecordError
from embft.execution.launcher import run_trial
from embft.execution.monitor import Limits
from embft.execution.warming import warm_process
from embft.planning.estimate import (
    CHECKPOINT_COPIES,
    CHECKPOINTS,
    FLOAT,
    Need,
    Size,
    need,
)
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.prepare import prepare
from embft.planning.steps import epoch_steps, evaluations, training_steps
from embft.results.key import trial_key
from embft.results.records import Completed, Failed
from embft.spec import TrialSpec
from embft.spec.resources import Resources
from embft.storage.files import write_atomic
from embft.storage.seal import sealed, unsealed
from embft.synthesis.mining_progress import Seen
from embft.system.machine import available_cores

# Evaluations after 20, 40 and 42 steps: their distances give the time of a step and of one of them.
_EVALUATE, _STEPS = 20, 42
_FREE = {"learning_rate": 1e-3, "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 1.0}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measured:
    """One kind of trial. Seconds: a step, an evaluation on dev, and all else of a trial together.

    model, checkpoints: bytes on disk. memory: bytes of its worker at its peak.
    """

    step: float
    evaluation: float
    rest: float
    model: int
    checkpoints: int
    memory: int

    def seconds(self, steps: int, evaluations: int) -> float:
        """How long a trial of so many steps takes."""
        return self.step * steps + self.evaluation * evaluations + self.rest

    def size(self) -> Size:
        """What it takes of disk and memory."""
        return Size(self.model, self.checkpoints, self.memory)


def measure(
    plan: Plan, pending: Sequence[PlannedTrial], progress: Progress | None = None
) -> dict[str, Measured]:
    """Measure each kind of the pending trials; by the trials' keys. The plan must be prepared.

    As many at once as the sweep will run, since they take each other's memory bandwidth and cache.
    progress: is given how many kinds are measured, and of how many. Raises EmbftError when one
    fails.
    """
    kinds: dict[str, tuple[PlannedTrial, TrialSpec]] = {}
    key_of: dict[str, str] = {}
    for trial in pending:
        kind = _short(trial, len(plan.data[trial.data_digest].train))
        key = key_of[trial.key] = trial_key(kind, trial.data_digest, trial.base.digest)
        kinds.setdefault(key, (trial, kind))
    at_once = need(plan, pending).at_once
    measured = _measure_all(plan, kinds, at_once, progress or (lambda _done, _total: None))
    found = {trial: measured[key] for trial, key in key_of.items()}
    content = {
        "version": 1,
        "trials": {key: vars(value) for key, value in found.items()},
        "baseline": next((t.key for t in pending if t.spec.is_baseline), None),
    }
    write_atomic(plan.folder.measured_file, sealed(content))
    return found


def _measure_all(
    plan: Plan,
    kinds: Mapping[str, tuple[PlannedTrial, TrialSpec]],
    at_once: int,
    progress: Progress,
) -> dict[str, Measured]:
    """Measure these kinds, so many at once, with the cores that a trial of the sweep has."""
    asked = plan.spec.resources.threads
    threads = max(1, available_cores() // at_once) if asked == "auto" else asked
    folder = plan.folder.measuring_folder
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    stop_file = plan.folder.stop_file
    stop_file.unlink(missing_ok=True)  # of an interrupted sweep
    try:
        with ThreadPoolExecutor(at_once) as pool:
            tasks = {
                key: pool.submit(_measure, plan, trial, kind, key, threads)
                for key, (trial, kind) in kinds.items()
            }
            progress(0, len(tasks))
            try:
                for done, task in enumerate(as_completed(tasks.values()), 1):
                    task.result()
                    progress(done, len(tasks))
                return {key: task.result() for key, task in tasks.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                stop_file.touch()  # those that run end at their next step
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured_seconds(
    plan: Plan, progress: Progress | None = None, mining: Seen | None = None
) -> dict[str, float]:
    """Measure, and say how long each pending trial will take, by key, and those that stand for what
    a search may propose. Holds the sweep's folder. mining: is shown how far that is.
    """
    with plan.folder.lock(), warm_process(wanted=bool(plan.pending() or plan.samples)):
        pending = (*prepare(plan, retry_failed=False, seen=mining), *plan.samples)
        found = measure(plan, pending, progress)
    return {trial.key: predicted_seconds(plan, trial, found[trial.key]) for trial in pending}


def known_need(plan: Plan, pending: Sequence[PlannedTrial]) -> Need:
    """What the trials need, by measurement where there was one, else estimated."""
    return need(plan, pending, {key: m.size() for key, m in read_measured(plan).items()})


def read_measured(plan: Plan) -> dict[str, Measured]:
    """What was measured for this sweep before; empty if nothing was."""
    try:
        content: Mapping[str, Any] = unsealed(plan.folder.measured_file)
        return {key: Measured(**value) for key, value in content["trials"].items()}
    except (FileNotFoundError, RecordError, KeyError, TypeError):
        return {}


def known_seconds(plan: Plan, pending: Sequence[PlannedTrial]) -> dict[str, float]:
    """How long these trials will take, by key, as far as they were measured before."""
    found = read_measured(plan)
    return {t.key: predicted_seconds(plan, t, found[t.key]) for t in pending if t.key in found}


def predicted_seconds(plan: Plan, trial: PlannedTrial, measured: Measured) -> float:
    """How long a trial will take, if nothing stops it early."""
    if trial.spec.is_baseline or trial.trained:
        return measured.rest
    train = trial.spec.train
    pairs = len(plan.data[trial.data_digest].train)
    steps = training_steps(train, pairs)
    return measured.seconds(steps, evaluations(train, pairs))


def _short(trial: PlannedTrial, pairs: int) -> TrialSpec:
    """The same kind of trial in a few steps, or in one epoch where that is fewer."""
    if trial.spec.is_baseline:
        return trial.spec
    few = epoch_steps(trial.spec.train, pairs) > _STEPS
    limit = {"max_steps": _STEPS, "evaluation_steps": _EVALUATE} if few else {}
    same = {"epochs": 1, "early_stopping_patience": None, "max_steps": None}
    train = trial.spec.train.model_copy(
        update={**_FREE, **same, "evaluation_steps": None, **limit, "schedule": "constant"}
    )
    return trial.spec.model_copy(update={"train": train, "seed": 0})


def _measure(plan: Plan, trial: PlannedTrial, kind: TrialSpec, key: str, threads: int) -> Measured:
    folder = plan.folder.measuring(key)
    kept = {"spec": kind, "key": key, "name": folder.name, "trained_by": None}
    given = trial.input(threads).model_copy(update=kept)
    folder.create(given)
    run_trial(folder, _limits(plan.spec.resources))
    result = folder.result()
    if not isinstance(result, Completed):
        reason = result.message if isinstance(result, Failed) else "it has no result"
        raise EmbftError(f"cannot measure {trial.folder.name}: {reason}")
    if kind.is_baseline:
        # Nothing else has the whole model scored before the sweep: with it power can be foreseen.
        write_atomic(plan.folder.measured_scores, folder.scores_file.read_bytes())
        if folder.units_file.exists():
            write_atomic(plan.folder.measured_units, folder.units_file.read_bytes())
    model = sum(p.stat().st_size for p in folder.model_folder.rglob("*") if p.is_file())
    step, evaluation = _times(result)
    checkpoints = FLOAT * result.trainable_parameters * CHECKPOINT_COPIES * CHECKPOINTS
    memory = int((result.peak_memory_mb or 0) * 1e6)
    # As its record tells it: the first worker of all also waited for the warm process.
    rest = result.timings.total - result.timings.train
    return Measured(step, evaluation, rest, model, checkpoints, memory)


def _limits(resources: Resources) -> Limits:
    """Those of a trial of the sweep, so that what does not fit is found without harm."""
    return Limits(memory=resources.memory, timeout=resources.timeout, heartbeat=resources.heartbeat)


def _times(result: Completed) -> tuple[float, float]:
    """Seconds of a step and of an evaluation; zero for a baseline."""
    if result.spec.is_baseline:
        return 0.0, 0.0
    ends = [(score.step, score.seconds) for score in result.epochs]
    if len(ends) < 3:
        steps, seconds = ends[-1]
        return seconds / steps, 0.0
    (many, long), (few, short) = _differences(ends)
    step = max(0.0, (long - short) / (many - few))
    return step, max(0.0, short - few * step)


def _differences(ends: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    for (steps, seconds), (more, later) in zip(ends[-3:], ends[-2:], strict=False):
        yield more - steps, later - seconds
