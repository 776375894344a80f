"""Runs one trial in worker processes, and turns their end into a result, or into another attempt.

Knows no machine learning and no Ray. `warm_process.py` starts a worker, `monitor.py` watches it,
`failure.py` says what its end means.
"""

from __future__ import annotations

import os
import time

from embft.errors import FailureReason, RecordError
from embft.execution.exits import EXIT_STATUS, EXIT_STOPPED
from embft.execution.failure import PASSING, Failure, failure_of
from embft.execution.monitor import End, Limits, watch
from embft.execution.warm_process import forked_worker
from embft.results.folders import TrialDir
from embft.results.records import (
    Attempt,
    Completed,
    EpochScore,
    Failed,
    Pruned,
    PruneDecision,
    Status,
    TrialInput,
)
from embft.storage.errors import StorageError, storage_reason
from embft.storage.lock import wait_for_worker

_TOGETHER_SECONDS = 1.0


def run_trial(folder: TrialDir, limits: Limits | None = None) -> Status:
    """Run a trial in worker processes of its own, again where that may help. Returns its status.

    Whatever happens to a worker, the folder holds a result afterwards; unless the sweep is asked to
    stop: then a training saves where it is, and the trial is pending. Raises StorageError where
    the folder can hold no result: the trial goes on once there is free disk.
    """
    try:
        wait_for_worker(folder.log_file)  # that an actor which has gone may have left
        if (finished := folder.result()) is not None:  # by an actor that could not say so
            return Status(finished.status)
        folder.running_file.touch()
        try:
            return _run_trial(folder, limits or Limits())
        finally:
            folder.running_file.unlink(missing_ok=True)
    except (OSError, RecordError) as error:
        reason = storage_reason(error)
        if reason is None and not folder.path.is_dir():
            raise StorageError(FailureReason.UNWRITABLE, f"{folder.path} is gone") from None
        if reason is None:
            raise
        reached = getattr(error, "strerror", None) or error
        raise StorageError(reason, f"{folder.path}: {reached}") from None


def _run_trial(folder: TrialDir, limits: Limits) -> Status:
    start = time.perf_counter()
    while True:
        given = folder.read_input()
        status, failed = _attempt(folder, given, limits)
        if failed is not None and _ends_too(folder, failed, limits):
            return Status.PENDING  # what ended the sweep ended the worker too: it has not failed
        # Read again, for a training writes down how many threads it has chosen.
        again = _again(folder, folder.read_input(), failed, limits) if failed else None
        if again is None:
            break
        folder.append_progress({"event": "retry", "reason": again.attempts[-1].reason})
        folder.failure_file.unlink(missing_ok=True)
        folder.write_input(again)
    if failed is not None:
        seconds = time.perf_counter() - start
        folder.write_result(failed.model_copy(update={"total_seconds": seconds}))
    if status != Status.PENDING:
        folder.forget_attempts()
    return status


def _attempt(folder: TrialDir, given: TrialInput, limits: Limits) -> tuple[Status, Failed | None]:
    """Run the trial's steps. Returns the status, and how it failed, if it did."""
    start = time.perf_counter()
    deadline = time.monotonic() + limits.timeout if limits.timeout is not None else None
    trains = not given.spec.is_baseline and given.trained_by is None
    for step in ["train", "score"] if trains else ["score"]:
        if folder.sweep.stop_file.exists():
            return Status.PENDING, None
        end = _run_worker(step, folder, limits, deadline)
        if end.exit_code == EXIT_STOPPED:
            return _stopped(folder, given, end, time.perf_counter() - start), None
        if end.exit_code != 0 or end.breach is not None:
            why = failure_of(folder, given, step, end, limits)
            if why.reason in EXIT_STATUS and not _takes_a_record(folder, why):
                raise StorageError(why.reason, f"{folder.name}: {why.message}")
            return Status.FAILED, _failed(folder, given, why, end, time.perf_counter() - start)
    result = folder.result()
    return result.status if isinstance(result, Completed) else Status.FAILED, None


def _stopped(folder: TrialDir, given: TrialInput, end: End, seconds: float) -> Status:
    """What a training that has saved where it is comes to: pending, or pruned by a scheduler."""
    decision = folder.read_decision()
    if decision is None:
        return Status.PENDING
    write_pruned(folder, given, decision, seconds=seconds, peak_memory=end.peak_memory)
    return Status.PRUNED


def write_pruned(
    folder: TrialDir,
    given: TrialInput,
    decision: PruneDecision,
    *,
    seconds: float = 0.0,
    peak_memory: float | None = None,
) -> None:
    """Write the record of a trial that a scheduler has stopped, with its curve so far."""
    epochs = _curve(folder)
    folder.write_result(
        Pruned(
            **given.repeated,
            epochs=epochs,
            peak_memory_mb=None if peak_memory is None else peak_memory / 1e6,
            reason=decision.reason,
            scheduler=decision.scheduler,
            total_seconds=max([seconds, *(epoch.seconds for epoch in epochs)]),
        )
    )


def _takes_a_record(folder: TrialDir, why: Failure) -> bool:
    """Whether the fault is the trial's own, and the results folder takes its record.

    A full disk is every trial's fault: a record would only keep this one from going on.
    """
    return why.reason != FailureReason.DISK_FULL and os.access(folder.path, os.W_OK)


def _ends_too(folder: TrialDir, failed: Failed, limits: Limits) -> bool:
    """Whether the sweep ends as well. A signal to all of its processes ends a worker first."""
    deadline = time.monotonic() + _TOGETHER_SECONDS * (failed.reason == FailureReason.KILLED)
    while True:
        if limits.abandoned() or folder.sweep.stop_file.exists():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_TOGETHER_SECONDS / 10)


def _again(
    folder: TrialDir, given: TrialInput, failed: Failed, limits: Limits
) -> TrialInput | None:
    """What the next attempt is given, or None where another would not help, or is too many."""
    attempt = Attempt(
        reason=failed.reason,
        message=failed.message,
        peak_memory_mb=failed.peak_memory_mb or 0.0,
        seconds=failed.total_seconds,
    )
    changed: dict[str, object] = {"attempts": (*given.attempts, attempt)}
    scoring = folder.trained_file.exists()  # a smaller batch only helps training
    if failed.reason == FailureReason.OUT_OF_MEMORY and limits.halve_batch and not scoring:
        pairs = given.train_spec.micro_batch_size or given.spec.train.batch_size
        if given.spec.is_baseline or pairs == 1:
            return None
        return given.model_copy(update={**changed, "micro_batch_size": (pairs + 1) // 2})
    tried = sum(attempt.reason in PASSING for attempt in given.attempts)
    if failed.reason not in PASSING or tried >= limits.max_failures:
        return None
    return given.model_copy(update=changed)


def _run_worker(step: str, folder: TrialDir, limits: Limits, deadline: float | None) -> End:
    """Start a worker and wait for its end."""
    with forked_worker(step, folder) as worker:
        return watch(worker, limits, deadline)


def _failed(folder: TrialDir, given: TrialInput, why: Failure, end: End, seconds: float) -> Failed:
    return Failed(
        **given.repeated,
        epochs=_curve(folder),
        peak_memory_mb=end.peak_memory / 1e6,
        memory_limit_mb=end.limit / 1e6 if end.limit is not None else None,
        reason=why.reason,
        message=why.message,
        log_tail=folder.log_tail(),
        total_seconds=seconds,
    )


def _curve(folder: TrialDir) -> tuple[EpochScore, ...]:
    """The evaluations that the trial's progress tells of, each once."""
    epochs = {e["epoch"]: e for e in folder.progress() if e.pop("event") == "epoch"}
    return tuple(EpochScore.model_validate(epoch) for epoch in epochs.values())
