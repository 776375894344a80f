"""Starts the warm process: a server that has the heavy imports done, from which workers are forked.

It is multiprocessing's fork server; `preload.py` says what it imports, `warm_process.py` forks
workers from it. A module of its own, and a light one: who wants a sweep to begin soon calls it
before anything else is imported.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker

import psutil

from embft.system.speedups import speedup
from embft.system.spinning import long_spins_inherited

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["embft.execution.preload"])


def warm_up() -> None:
    """Start the warm process, so that the first worker need not wait for it. Returns at once."""
    speedup("a warm process that starts early", _warm_up)


def _warm_up() -> None:
    resource_tracker.ensure_running()  # its start would let the signal through again
    # Ctrl-C on the terminal reaches it too, and would end it, with a traceback, while it imports.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with long_spins_inherited():  # workers look for themselves who else needs the cores
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def warm_process(*, wanted: bool) -> Iterator[None]:
    """Where it is wanted, a warm process that begins to import before the block, for as long as
    this process lives. Where the block is left by an exception, an exit or an interruption among
    them, it is ended: it would first import to its end.
    """
    if wanted:
        warm_up()
    try:
        yield
    except BaseException:
        end_warm_processes()
        raise


def end_warm_processes() -> None:
    """Kill the warm processes that this process has started."""
    for child in psutil.Process().children():
        if is_warm(child):
            with suppress(psutil.NoSuchProcess):
                child.kill()


def is_warm(process: psutil.Process) -> bool:
    """Whether this is a process that workers are forked from, or such a worker."""
    try:
        return any("multiprocessing.forkserver" in word for word in process.cmdline())
    except psutil.Error:
        return False
