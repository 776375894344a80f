"""How many threads a training has, chosen at its start by what the machine has left.

Threads that share a step wait for each other: where another program takes a core, each step takes
as long as the slowest of them, and one thread alone is faster. On a machine that does nothing else
all cores are taken, without a trial.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

QUIET = 0.2
"""Cores that others may use of a machine that counts as free."""
_ROUNDS = 3
_SECONDS = 4.0  # that the trial of threads may take, but for its first round
_WORTH = 0.9  # of the time of fewer threads that more of them may take at most

Timed = Callable[[int], float]


def choose_threads(most: int, others: float, timed: Timed) -> int:
    """The number of threads, from 1 to `most`. others: cores that other programs use.
    timed: the seconds of a step with so many threads.
    """
    if most == 1 or others < QUIET:
        return most
    counts = sorted({1, max(1, min(most, int(most - others))), most})
    timed(counts[-1])  # the first step of all compiles, and gets its memory
    seconds = _medians(counts, timed)
    best = counts[0]
    for count in counts[1:]:
        if seconds[count] < _WORTH * seconds[best]:
            best = count
    return best


def _medians(counts: list[int], timed: Timed) -> dict[int, float]:
    """In turn, so that what others do in between hits all alike."""
    found: dict[int, list[float]] = {count: [] for count in counts}
    began = time.perf_counter()
    for number in range(_ROUNDS):
        if number and time.perf_counter() - began > _SECONDS:
            break
        for count in counts:
            found[count].append(timed(count))
    return {count: statistics.median(seconds) for count, seconds in found.items()}
