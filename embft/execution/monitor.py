"""Watches one worker process until its end, and ends it when it takes more than it may.

Knows memory, time and signs of life; not what a worker does (`worker.py`) nor what its end means
for the trial (`failure.py`).
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing import connection
from pathlib import Path
from typing import Protocol

import psutil

from embft.execution.warm_process import ASKING, overhead
from embft.spec.resources import Resources
from embft.system.processes import is_alive, process_memory

_WATCH_SECONDS = 0.1
_PEAK_SECONDS = 2.0  # reading memory exactly costs milliseconds, of the worker too
_SHARE_SECONDS = 10.0  # what driver and Ray hold changes slowly
# A worker whose threads only wait uses a ten thousandth of a core; one that works, all of one.
_IDLE_SHARE = 0.005
_IDLE_SECONDS = 0.05


class Breach(StrEnum):
    """The limit that a worker went beyond."""

    MEMORY = "memory"
    TIME = "time"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class Limits:
    """What a trial's workers may use; None for no limit, times in seconds.

    memory: bytes for everything below the process `root` (this one, if None) together, of which
    `workers` workers share what the others leave. asker: the process that waits for the trial,
    without which it ends. timeout: for one attempt. heartbeat: how long a worker may do nothing.
    halve_batch: try again with half the batch when memory runs out. max_failures: how often to try
    again after an end that another attempt may not meet.
    """

    memory: int | None = None
    root: int | None = None
    asker: int | None = None
    workers: int = 1
    timeout: float | None = None
    heartbeat: float | None = None
    halve_batch: bool = False
    max_failures: int = 0

    @classmethod
    def of(cls, resources: Resources, *, root: int | None, workers: int) -> Limits:
        """Those of a sweep's trials, so many at once below the process `root`."""
        return cls(
            memory=resources.memory,
            root=root,
            workers=workers,
            timeout=resources.timeout,
            heartbeat=resources.heartbeat,
            halve_batch=resources.on_oom == "halve_batch",
            max_failures=resources.max_failures,
        )

    def abandoned(self) -> bool:
        """Whether the sweep's own process, or the asker, is gone: the trial may begin elsewhere."""
        return self.unasked() or (self.root is not None and not is_alive(self.root))

    def unasked(self) -> bool:
        """Whether nobody waits for the trial any more."""
        return self.asker is not None and not is_alive(self.asker)


@dataclass(frozen=True)
class End:
    """How a worker ended.

    exit_code: minus the signal's number, if a signal ended it. breach: why it was ended from here.
    limit: bytes that it might hold. by_kernel: memory ran out and the kernel ended a process.
    """

    exit_code: int
    peak_memory: int
    limit: int | None
    breach: Breach | None
    by_kernel: bool


class Worker(Protocol):
    """What is needed of a process that multiprocessing has started."""

    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def exitcode(self) -> int | None: ...  # noqa: D102
    @property
    def sentinel(self) -> int: ...  # noqa: D102


def watch(worker: Worker, limits: Limits, deadline: float | None) -> End:
    """Wait for a worker's end, or end it. deadline: of `time.monotonic()`, None for none."""
    kills = _kernel_kills()
    memory, life = _Memory(worker.pid or 0, limits), _Life(worker.pid or 0)
    breach: Breach | None = None
    while (status := _status(worker)) is None:
        if breach is None:
            breach = _breach(memory, life, limits, deadline)
            if breach is not None or limits.unasked():
                _kill(worker.pid or 0)
    return End(status, memory.peak, memory.limit, breach, _kernel_kills() > kills)


def _status(worker: Worker) -> int | None:
    """What a worker ended with; None when it has not ended after a while."""
    if not connection.wait([worker.sentinel], _WATCH_SECONDS):
        return None
    with ASKING:
        return worker.exitcode


def _breach(memory: _Memory, life: _Life, limits: Limits, deadline: float | None) -> Breach | None:
    if memory.exceeded():
        return Breach.MEMORY
    if deadline is not None and time.monotonic() > deadline:
        return Breach.TIME
    if limits.heartbeat is not None and life.idle() > limits.heartbeat:
        return Breach.HEARTBEAT
    return None


class _Memory:
    """How much a worker holds, at most, and whether that is too much."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self.pid, self.limits = pid, limits
        self.peak = 0
        self.limit: int | None = None
        self.read = self.shared = -_SHARE_SECONDS

    def exceeded(self) -> bool:
        now = time.monotonic()
        if self.limits.memory is not None and now - self.shared >= _SHARE_SECONDS:
            self.shared = now
            others = overhead(self.limits.root or os.getpid())
            self.limit = max(0, self.limits.memory - others) // self.limits.workers
        # Resident pages are quick to read, and never fewer than the worker's own share of them.
        near = self.limit is not None and _resident(self.pid) > self.limit
        if near or now - self.read >= _PEAK_SECONDS:
            self.read = now
            self.peak = max(self.peak, process_memory(self.pid))
        return self.limit is not None and self.peak > self.limit


class _Life:
    """How long a worker has used no processor: a stopped or deadlocked one does not."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.used, self.waited, self.looked = 0.0, 0.0, time.monotonic()

    def idle(self) -> float:
        """Seconds without work. Time in which this process did not look counts for little: then
        the whole machine, or all of the sweep, was stopped.
        """
        now = time.monotonic()
        self.waited += min(now - self.looked, 2 * _WATCH_SECONDS)
        self.looked = now
        used = _processor_seconds(self.pid)
        if used - self.used > max(_IDLE_SECONDS, _IDLE_SHARE * self.waited):
            self.used, self.waited = used, 0.0
        return self.waited


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _processor_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _kernel_kills() -> int:
    """How many processes the kernel has ended because memory ran out; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _kill(pid: int) -> None:
    """Not Process.kill(): it asks the warm process, which may be busy starting another worker."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
