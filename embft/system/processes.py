"""Processes: whether they live, how much memory they hold, and their end."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence

import psutil


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


def peak_memory() -> int:
    """The most bytes that this process has held, pages that it shares with others included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def tree_memory(pid: int) -> int:
    """Bytes that a process and all its descendants hold."""
    return sum(process_memory(each) for each in [pid, *descendants(pid)])


def descendants(pid: int) -> Sequence[int]:
    """The process ids below this one."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


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
    except psutil.NoSuchProcess:  # reaped by another thread in between
        return False


some_were_ended = False
"""Whether `end_descendants` has killed any process below this one."""


def end_descendants(*, wait: bool = True) -> None:
    """Kill every process below this one, and wait until they are gone."""
    global some_were_ended  # noqa: PLW0603 - of the whole process, as those below it are
    children = psutil.Process(os.getpid()).children(recursive=True)
    some_were_ended = some_were_ended or bool(children)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    if wait:
        psutil.wait_procs(children, timeout=5)
