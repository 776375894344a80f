"""How many cores other programs use, beside a sweep's own processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psutil

_IDLE = ("idle", "iowait", "guest", "guest_nice")  # the last two count as user and nice already
_LEAST_SECONDS = 0.2  # processor time is counted in hundredths of a second


@dataclass(frozen=True)
class _Sample:
    """Seconds: of the clock, of all processors that this process may use, and of those the
    processes below `root` have used.
    """

    at: float
    used: float
    ours: float


@dataclass
class Others:
    """What runs beside a process and all below it, from when this is made on.

    root: its id. Time that a hypervisor gives to others counts as theirs.
    """

    root: int
    since: _Sample = field(init=False)

    def __post_init__(self) -> None:
        self.since = _sample(self.root)

    def cores(self) -> float:
        """How many cores they have used, in the mean; waits until that is more than rounding."""
        left = self.since.at + _LEAST_SECONDS - time.monotonic()
        if left > 0:
            time.sleep(left)
        now = _sample(self.root)
        theirs = now.used - self.since.used - (now.ours - self.since.ours)
        return max(0.0, theirs / (now.at - self.since.at))


def cores_of_others() -> Iterator[float]:
    """How many cores all other processes have used, in the mean, since it was last asked; at first
    since this process has begun to be looked at.
    """
    at, used = time.monotonic(), sum(_processors()) - time.process_time()
    while True:
        before = at, used
        at, used = time.monotonic(), sum(_processors()) - time.process_time()
        yield max(0.0, (used - before[1]) / max(at - before[0], 1e-9))


def _sample(root: int) -> _Sample:
    return _Sample(time.monotonic(), sum(_processors()), sum(_tree(root)))


def _processors() -> Iterable[float]:
    """Seconds that each processor has worked."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        if allowed is None or number in allowed:
            yield sum(value for name, value in times._asdict().items() if name not in _IDLE)


def _tree(root: int) -> Iterable[float]:
    """Seconds of each process, with those below it that have ended."""
    try:
        top = psutil.Process(root)
        processes = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        try:
            yield sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
