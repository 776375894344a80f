"""What a worker's end means: a word for its kind, and a sentence for the user."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass

from embft.errors import FailureReason
from embft.execution.exits import EXIT_ORPHANED, EXIT_STATUS
from embft.execution.monitor import Breach, End, Limits
from embft.results.folders import TrialDir
from embft.results.records import TrialInput

# Another attempt may end otherwise; what diverged, or failed its verification, would do so again.
PASSING = frozenset(
    {FailureReason.KILLED, FailureReason.CRASHED, FailureReason.HUNG, FailureReason.UNWRITABLE}
)
_ORPHANED = {EXIT_ORPHANED, 255}  # 255: multiprocessing's, where nobody could ask the warm process
_OF_STATUS = {status: reason for reason, status in EXIT_STATUS.items()}


@dataclass(frozen=True)
class Failure:
    """Why a worker failed. message: a sentence for the user."""

    reason: FailureReason
    message: str


def failure_of(folder: TrialDir, given: TrialInput, step: str, end: End, limits: Limits) -> Failure:
    """Why the worker of this step ended as it did."""
    if end.breach is not None:
        return _by_us(given, step, end, limits)
    if end.exit_code in _OF_STATUS:
        reason = _OF_STATUS[end.exit_code]
        return Failure(reason, f"step {step!r} could not write into {folder.path}: {_SAYS[reason]}")
    if folder.failure_file.exists():
        read = json.loads(folder.failure_file.read_bytes())
        reason, message = FailureReason(read["reason"]), read["message"]
        advice = _advice(given, step) if reason is FailureReason.OUT_OF_MEMORY else ""
        return Failure(reason, message + advice)
    if end.exit_code == -signal.SIGKILL and end.by_kernel:
        return Failure(FailureReason.OUT_OF_MEMORY, _kernel(step, end) + _advice(given, step))
    return _by_signal(step, end)


def _by_us(given: TrialInput, step: str, end: End, limits: Limits) -> Failure:
    if end.breach == Breach.MEMORY:
        return Failure(
            FailureReason.OUT_OF_MEMORY, _too_much(step, end, limits) + _advice(given, step)
        )
    if end.breach == Breach.TIME:
        return Failure(
            FailureReason.TIMED_OUT,
            f"the trial took longer than resources.timeout ({limits.timeout:g} s) and was ended in "
            f"step {step!r}: allow more, or train less (train.epochs)",
        )
    return Failure(
        FailureReason.HUNG,
        f"the worker did nothing for {limits.heartbeat:g} s (resources.heartbeat) in step "
        f"{step!r} and was ended",
    )


_SAYS = {
    FailureReason.DISK_FULL: "the disk is full",
    FailureReason.UNWRITABLE: "it is not writable",
}


def _by_signal(step: str, end: End) -> Failure:
    held = f"while it held {_gigabytes(end.peak_memory)}"
    if -end.exit_code in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
        name = signal.Signals(-end.exit_code).name
        return Failure(
            FailureReason.KILLED,
            f"the worker was ended from outside ({name}) in step {step!r} {held}",
        )
    if end.exit_code < 0:
        name, words = signal.Signals(-end.exit_code).name, signal.strsignal(-end.exit_code)
        return Failure(
            FailureReason.CRASHED,
            f"the worker was ended by {name} ({words}) in step {step!r} {held}: its log "
            "ends with where",
        )
    if end.exit_code in _ORPHANED:
        return Failure(
            FailureReason.KILLED,
            f"the warm process was ended, and the worker with it, in {step!r}",
        )
    return Failure(
        FailureReason.CRASHED, f"the worker ended with status {end.exit_code} in step {step!r}"
    )


def _too_much(step: str, end: End, limits: Limits) -> str:
    return (
        f"the worker held {_gigabytes(end.peak_memory)} in step {step!r}, and resources.memory "
        f"({_gigabytes(limits.memory or 0)}) leaves it {_gigabytes(end.limit or 0)} beside the "
        "driver, Ray and the other workers"
    )


def _kernel(step: str, end: End) -> str:
    return (
        "the system ended the worker because memory ran out, "
        f"while it held {_gigabytes(end.peak_memory)} in step {step!r}"
    )


def _advice(given: TrialInput, step: str) -> str:
    if step != "train":
        return ": allow more, or try a smaller model.max_tokens"
    ways = ["a smaller model.max_tokens"]
    if given.spec.train.batch_size > 1:
        ways.insert(0, "a smaller train.batch_size (resources.on_oom: halve_batch finds one)")
    if given.spec.train.method == "full":
        ways.append("train.method: lora")
    return ": try " + ", ".join(ways)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
