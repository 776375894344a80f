"""Workers, forked from the warm process, and the memory that both hold.

Each worker is a process of its own, and isolation costs a fraction of a second. `warming.py` starts
the warm process.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from types import ModuleType

import psutil

from embft.execution.entry import enter
from embft.execution.warming import CONTEXT, is_warm, warm_up
from embft.results.folders import TrialDir
from embft.system.processes import process_memory

# Whenever a worker is started multiprocessing asks about all of them, and of two threads that ask
# at once whether one has ended, one is given a wrong status: so whoever starts or asks holds this.
ASKING = threading.Lock()


@contextmanager
def forked_worker(step: str, folder: TrialDir) -> Iterator[ForkServerProcess]:
    """A worker that runs this step of the trial. It must have ended when the block does."""
    worker = CONTEXT.Process(target=enter, args=(step, str(folder.path)), daemon=True)
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
    return sum(process_memory(p.pid) for p in _without_workers(root) if is_warm(p))


def _without_workers(root: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(root)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    warm = {process.pid for process in tree if is_warm(process)}
    return [process for process in tree if _parent(process) not in warm]


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None
