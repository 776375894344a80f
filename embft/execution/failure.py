"""What a worker's end means: a word for its kind, and a sentence for the user.

`reason` of a failed trial is one of: out_of_memory, timed_out, hung, killed, crashed, diverged,
verification_failed (in older records proof_failed), model_error, invalid_input, disk_full,
unwritable.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass

from embft.execution.monitor import End, Limits
from embft.results.folders import TrialDir
from embft.results.records import TrialInput

# Another attempt may end otherwise; what diverged, or failed its verification, would do so again.
PASSING = frozenset({"killed", "crashed", "hung", "unwritable"})
# The exit status of a worker that was asked to stop and has saved where it was.
EXIT_STOPPED = 76
# The exit status of a worker that saw its launcher or its template end.
EXIT_ORPHANED = 75
_TEMPLATE_GONE = {EXIT_ORPHANED, 255}  # 255: multiprocessing's, where nobody could ask the template
# The exit statuses of a worker that could not even write down why it ends.
EXIT_STATUS = {"disk_full": 64, "unwritable": 65}
_OF_STATUS = {status: reason for reason, status in EXIT_STATUS.items()}


@dataclass(frozen=True)
class Cause:
    """Why a worker ended. reason: one word. message: a sentence."""

    reason: str
    message: str


def cause_of(folder: TrialDir, given: TrialInput, step: str, end: End, limits: Limits) -> Cause:
    """Why the worker of this step ended as it did."""
    if end.cause is not None:
        return _by_us(given, step, end, limits)
    if end.exit_code in _OF_STATUS:
        reason = _OF_STATUS[end.exit_code]
        return Cause(reason, f"step {step!r} could not write into {folder.path}: {_SAYS[reason]}")
    if folder.failure_file.exists():
        cause = Cause(**json.loads(folder.failure_file.read_bytes()))
        if cause.reason == "out_of_memory":
            return Cause(cause.reason, cause.message + _advice(given, step))
        return cause
    if end.exit_code == -signal.SIGKILL and end.by_kernel:
        return Cause("out_of_memory", _kernel(step, end) + _advice(given, step))
    return _by_signal(step, end)


def _by_us(given: TrialInput, step: str, end: End, limits: Limits) -> Cause:
    if end.cause == "memory":
        return Cause("out_of_memory", _too_much(step, end, limits) + _advice(given, step))
    if end.cause == "time":
        return Cause(
            "timed_out",
            f"the trial took longer than resources.timeout ({limits.timeout:g} s) and was ended in "
            f"step {step!r}: allow more, or train less (train.epochs)",
        )
    return Cause(
        "hung",
        f"the worker did nothing for {limits.heartbeat:g} s (resources.heartbeat) in step "
        f"{step!r} and was ended",
    )


_SAYS = {"disk_full": "the disk is full", "unwritable": "it is not writable"}


def _by_signal(step: str, end: End) -> Cause:
    held = f"while it held {_gigabytes(end.peak_memory)}"
    if -end.exit_code in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
        name = signal.Signals(-end.exit_code).name
        return Cause(
            "killed", f"the worker was ended from outside ({name}) in step {step!r} {held}"
        )
    if end.exit_code < 0:
        name, words = signal.Signals(-end.exit_code).name, signal.strsignal(-end.exit_code)
        return Cause(
            "crashed",
            f"the worker was ended by {name} ({words}) in step {step!r} {held}: its log "
            "ends with where",
        )
    if end.exit_code in _TEMPLATE_GONE:
        return Cause("killed", f"the warm template was ended, and the worker with it, in {step!r}")
    return Cause("crashed", f"the worker ended with status {end.exit_code} in step {step!r}")


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
