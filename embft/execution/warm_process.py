"""The warm process: a server that has the heavy imports done, from which workers are forked.

So that each worker is a process of its own, and isolation costs a fraction of a second. It is
multiprocessing's fork server; `preload.py` says what it imports.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from types import ModuleType

import psutil

from embft.execution.entry import enter
from embft.results.folders import TrialDir
from embft.system.processes import process_memory
from embft.system.speedups import speedup

# Whenever a worker is started multiprocessing asks about all of them, and of two threads that ask
# at once whether one has ended, one is given a wrong status: so whoever starts or asks holds this.
ASKING = threading.Lock()
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["embft.execution.preload"])


def warm_up() -> None:
    """Start the warm process, so that the first worker need not wait for it. Returns at once."""
    speedup("a warm process that starts early", _warm_up)


def _warm_up() -> None:
    resource_tracker.ensure_running()  # its start would let the signal through again
    # Ctrl-C on the terminal reaches it too, and would end it, with a traceback, while it imports.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def warm_process(*, wanted: bool) -> Iterator[None]:
    """Where it is wanted, a warm process that begins to import before the block, for as long as
    this process lives. Where the block fails it is ended; it would first import to its end.
    """
    if wanted:
        warm_up()
    try:
        yield
    except Exception:
        end_warm_processes()
        raise


@contextmanager
def forked_worker(step: str, folder: TrialDir) -> Iterator[ForkServerProcess]:
    """A worker that runs this step of the trial. It must have ended when the block does."""
    worker = _CONTEXT.Process(target=enter, args=(step, str(folder.path)), daemon=True)
    with ASKING, _no_main():
        warm_up()
        worker.start()
    yield worker
    with ASKING:
        worker.close()


@contextmanager
def _no_main() -> Iterator[None]:
    """In the block a new worker runs none of this program's main module, which multiprocessing
    would have it do: the command's, or in a Ray actor Ray's, which imports all of Ray. That is the
    whole process's: only for who holds `ASKING`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def overhead(root: int) -> int:
    """Bytes that a process and all below it hold, except workers and what they started."""
    return sum(process_memory(process.pid) for process in _without_workers(root))


def warm_memory(root: int) -> int:
    """Bytes of that which warm processes hold, which grow for seconds after their start."""
    return sum(process_memory(p.pid) for p in _without_workers(root) if _is_warm(p))


def end_warm_processes() -> None:
    """Kill the warm processes that this process has started."""
    for child in psutil.Process().children():
        if _is_warm(child):
            with suppress(psutil.NoSuchProcess):
                child.kill()


def _without_workers(root: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(root)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    warm = {process.pid for process in tree if _is_warm(process)}
    return [process for process in tree if _parent(process) not in warm]


def _is_warm(process: psutil.Process) -> bool:
    """Whether this is a process that workers are forked from, or such a worker."""
    try:
        return any("multiprocessing.forkserver" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None
