"""A worker's threads wait for each other wide awake while they have the machine to themselves, and
give up their cores soon while others use it.

GNU's OpenMP lets a thread that waits for the next loop spin for milliseconds, but for microseconds
only (1,000 spins) while the process has more threads of its kind than there are cores (libgomp's
manual, `GOMP_SPINCOUNT`). Sleeping and being woken costs more than most loops of a step take; but
where another program needs a core, it is the one on which the thread spins that waits for it. So
while others use cores, a worker holds more threads, which sleep. No result depends on it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import torch

from embft.system.load import cores_of_others
from embft.system.speedups import speedup
from embft.system.spinning import users_choice

_SECONDS = 0.5  # between two looks
# Cores that others use which need one: a program that takes a core gets more of it. A sweep's own
# other processes use an eighth of one, and at times a third.
_TAKEN = 0.5
_QUIET_LOOKS = 2  # after which others are believed to have ended

Hold = Callable[[], Callable[[], None]]


def give_way_to_others() -> None:
    """From now on this process's threads wait so, where they are GNU OpenMP's and the user has not
    said how long they spin. It is to be called in a process that has imported torch.
    """
    if sys.platform == "linux" and not users_choice():
        speedup("threads that wait awake", _begin)


def _begin() -> None:
    release = hold_threads()  # until it is known that the machine is free
    threading.Thread(target=watch, args=(_looks(), hold_threads, release), daemon=True).start()


def hold_threads() -> Callable[[], None]:
    """Have one more thread than there are cores, with those that compute, until the result is
    called. Raises AttributeError where torch's OpenMP is another one.
    """
    parallel, nothing = ctypes.CDLL(None).GOMP_parallel, ctypes.CDLL(None).free
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    cores = len(os.sched_getaffinity(0))
    held, ended = threading.Event(), threading.Event()

    def work() -> None:
        # Its loop does nothing. OpenMP keeps the loop's threads as long as the one that began it.
        parallel(ctypes.cast(nothing, ctypes.c_void_p), None, cores, 0)
        held.set()
        ended.wait()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    held.wait()

    def release() -> None:
        ended.set()
        thread.join()

    return release


def _looks() -> Iterator[float]:
    """Now and then, how many cores others use; none where one thread waits for no other."""
    others = cores_of_others()
    while True:
        time.sleep(_SECONDS)
        yield next(others) if torch.get_num_threads() > 1 else 0.0


def watch(looks: Iterator[float], hold: Hold, release: Callable[[], None] | None) -> None:
    """Hold threads while others use cores. looks: how many, again and again. release: what lets go
    those that are held already.
    """
    quiet = 0
    for cores in looks:
        quiet = quiet + 1 if cores < _TAKEN else 0
        if quiet == 0 and release is None:
            release = hold()
        elif quiet == _QUIET_LOOKS and release is not None:
            release()
            release = None
