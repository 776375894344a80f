"""Starts a trial's worker processes, watches them, and turns their end into a result.

Workers are forked from a warm template, a server process that has the heavy imports done, so that
isolation costs a fraction of a second. Knows no machine learning and no Ray.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from embft.memory import process_memory
from embft.trial import EXIT_STOPPED, Completed, EpochScore, Failed, TrialDir, TrialInput

_WATCH_SECONDS = 0.2
_MEMORY_SECONDS = 1.0  # reading it costs milliseconds, of the worker too
_ORPHAN_SECONDS = 1.0
_EXIT_ORPHANED = 75

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["embft.worker"])


@dataclass(frozen=True)
class Limits:
    """What one worker may use. memory: bytes, None for no limit."""

    memory: int | None = None


@dataclass(frozen=True)
class _End:
    """How a worker ended. exit_code as multiprocessing gives it: minus the signal's number."""

    exit_code: int
    peak_memory: int
    over_limit: bool


def warm_up() -> None:
    """Start the template, so that the first worker need not wait for it. Returns at once."""
    forkserver.ensure_running()


def run_trial(folder: TrialDir, limits: Limits | None = None) -> str:
    """Run a trial's steps in worker processes of their own. Returns its status.

    Whatever happens to a worker, the folder holds a result afterwards; unless the sweep is asked to
    stop: then a training saves where it is, and the status is `stopped`.
    """
    folder.running_file.touch()
    try:
        return _run_steps(folder, limits or Limits())
    finally:
        folder.running_file.unlink(missing_ok=True)


def _run_steps(folder: TrialDir, limits: Limits) -> str:
    start = time.perf_counter()
    given = folder.read_input()
    for step in ["score"] if given.spec.is_baseline else ["train", "score"]:
        if folder.stop_file.exists():
            return "stopped"
        end = _run_worker(step, folder, limits)
        if end.exit_code == EXIT_STOPPED:
            return "stopped"
        if end.exit_code != 0 or end.over_limit:
            folder.write_result(_failure(folder, given, step, end, time.perf_counter() - start))
            shutil.rmtree(folder.checkpoints_folder, ignore_errors=True)
            return "failed"
    shutil.rmtree(folder.checkpoints_folder, ignore_errors=True)
    result = folder.result()
    return result.status if isinstance(result, Completed) else "failed"


def _run_worker(step: str, folder: TrialDir, limits: Limits) -> _End:
    """Start a worker and wait for its end, or end it when it holds more memory than it may."""
    worker = _CONTEXT.Process(target=_enter, args=(step, str(folder.path)), daemon=True)
    worker.start()
    peak, over_limit, looked = 0, False, 0.0
    while worker.exitcode is None:
        if time.monotonic() - looked >= _MEMORY_SECONDS:
            looked = time.monotonic()
            peak = max(peak, process_memory(worker.pid or 0))
        if limits.memory is not None and peak > limits.memory and not over_limit:
            over_limit = True
            _kill(worker)
        worker.join(_WATCH_SECONDS)
    exit_code = worker.exitcode
    worker.close()
    return _End(exit_code, peak, over_limit)


def _kill(worker: ForkServerProcess) -> None:
    """Not Process.kill(): it asks the template, which may be busy starting another worker."""
    try:
        os.kill(worker.pid or 0, signal.SIGKILL)
    except ProcessLookupError:
        return


def _enter(step: str, path: str) -> None:
    """The first thing a worker does: its own log, no Ctrl-C of the terminal, no life alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parents, args=(os.getppid(),), daemon=True).start()
    folder = TrialDir(Path(path))
    log = folder.open_log()
    os.dup2(log, sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(log, 2)
    from embft import worker

    worker.run_step(step, folder)


def _end_with_parents(template: int) -> None:
    """End this worker as soon as its launcher or its template is gone, however they went."""
    launcher = multiprocessing.parent_process()
    watched = [launcher.sentinel] if launcher else []
    while os.getppid() == template:
        if connection.wait(watched, timeout=_ORPHAN_SECONDS):
            break
    os._exit(_EXIT_ORPHANED)


def _failure(folder: TrialDir, given: TrialInput, step: str, end: _End, seconds: float) -> Failed:
    reason, message = _reason(folder, step, end)
    epochs = [event for event in folder.progress() if event.pop("event") == "epoch"]
    return Failed(
        key=given.key,
        name=given.name,
        spec=given.spec,
        data_digest=given.data_digest,
        model_digest=given.model_digest,
        epochs=tuple(EpochScore.model_validate(epoch) for epoch in epochs),
        peak_memory_mb=end.peak_memory / 1e6,
        reason=reason,
        message=message,
        log_tail=folder.log_tail(),
        total_seconds=seconds,
    )


def _reason(folder: TrialDir, step: str, end: _End) -> tuple[str, str]:
    """A word for the kind of failure, and a sentence."""
    if end.over_limit:
        return "out_of_memory", (
            f"the worker held {end.peak_memory / 1e9:.2f} GB, more than resources.memory leaves "
            "it: try a smaller train.batch_size, a smaller model.max_tokens, or LoRA"
        )
    if folder.failure_file.exists():
        told = json.loads(folder.failure_file.read_bytes())
        return told["reason"], told["message"]
    if end.exit_code == -signal.SIGKILL:
        return "killed", (
            f"the worker was killed in step {step!r} while it held "
            f"{end.peak_memory / 1e9:.2f} GB: the system does that when memory runs out"
        )
    if end.exit_code < 0:
        name = signal.Signals(-end.exit_code).name
        return "crashed", f"the worker was ended by {name} in step {step!r}"
    return "crashed", f"the worker ended with status {end.exit_code} in step {step!r}"
