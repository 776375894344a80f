"""Processes of ours: how much memory they use, and their end."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil


def available_memory() -> int:
    """Bytes that new processes may take without driving others out."""
    return int(psutil.virtual_memory().available)


def process_memory(pid: int) -> int:
    """Bytes that a process holds; shared pages count in proportion where the system knows (PSS).

    0 when the process has gone.
    """
    try:
        process = psutil.Process(pid)
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    except psutil.AccessDenied:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def tree_memory(pid: int) -> int:
    """Bytes that a process and all its descendants hold."""
    return sum(process_memory(each) for each in [pid, *descendants(pid)])


_MANY_OBJECTS = 100_000


class _Paused:
    """How many blocks of `no_collection` are open, in any thread, and what was before the first."""

    lock = threading.Lock()
    blocks = 0
    was_enabled = False


@contextmanager
def no_collection() -> Iterator[None]:
    """In the block Python looks for no unreachable cycles: while ten thousand trials are planned or
    read, it would go through all of them over and over.
    """
    with _Paused.lock:
        if _Paused.blocks == 0:
            _Paused.was_enabled = gc.isenabled()
            gc.disable()
        _Paused.blocks += 1
    try:
        yield
    finally:
        with _Paused.lock:
            _Paused.blocks -= 1
            if _Paused.blocks == 0 and _Paused.was_enabled:
                if gc.get_count()[0] > _MANY_OBJECTS and not gc.get_freeze_count():
                    # They count as old: no look at all of them right afterwards. Seldom, since
                    # what is garbage already counts as old with them, and counts begin anew.
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()


def release_memory() -> None:
    """Give the system back what this process has freed, which Arrow and glibc keep for later."""
    with suppress(AttributeError):  # an Arrow that keeps nothing
        if arrow := sys.modules.get("pyarrow"):
            arrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # a system without glibc
        ctypes.CDLL(None).malloc_trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for what mallopt sets
_KEPT_BLOCK = 32 << 20  # bytes, the most that glibc takes; larger blocks go back at once


def keep_freed_memory() -> None:
    """From now on keep what is freed, for what is asked for next.

    Each step of a training asks for the same blocks again. glibc gives the system back whatever is
    free at its heap's end, and gets it again page by page, each of them zeroed.
    """
    with suppress(OSError, AttributeError):  # a system without glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _KEPT_BLOCK)
        libc.mallopt(_TRIM_THRESHOLD, -1)


_DONT_NEED = 4  # Linux's name for what madvise does


def unmap_read_pages() -> None:
    """Hold no page of a file that this process only reads, such as libraries' code, any longer.

    Such pages count as its memory from when they were first read. The system keeps them anyway, and
    maps them again when they are needed.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for part in psutil.Process().memory_maps(grouped=False):
        # What the process has changed there, as a loader does to addresses, would be lost.
        if part.path.startswith("/") and "w" not in part.perms and not part.anonymous:
            start, end = (int(each, 16) for each in part.addr.split("-"))
            libc.madvise(start, end - start, _DONT_NEED)


def descendants(pid: int) -> Sequence[int]:
    """The process ids below this one."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def overhead(root: int) -> int:
    """Bytes that a process and all below it hold, except those forked from a warm template."""
    return sum(process_memory(process.pid) for process in _without_workers(root))


def template_memory(root: int) -> int:
    """Bytes of that which warm templates hold, which grow for seconds after their start."""
    return sum(process_memory(p.pid) for p in _without_workers(root) if _is_template(p))


def end_templates() -> None:
    """Kill the warm templates that this process has started."""
    for child in psutil.Process().children():
        if _is_template(child):
            with suppress(psutil.NoSuchProcess):
                child.kill()


def _without_workers(root: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(root)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    templates = {process.pid for process in tree if _is_template(process)}
    return [process for process in tree if _parent(process) not in templates]


def _is_template(process: psutil.Process) -> bool:
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


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def has_child(name: str) -> bool:
    """Whether a living process of this name was started by this one."""
    return any(_is_living(child, name) for child in psutil.Process(os.getpid()).children())


def _is_living(process: psutil.Process, name: str) -> bool:
    try:
        return process.name() == name and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # reaped by another thread meanwhile
        return False


def end_descendants(*, wait: bool = True) -> None:
    """Kill every process below this one, and wait until they are gone."""
    children = psutil.Process(os.getpid()).children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    if wait:
        psutil.wait_procs(children, timeout=5)
