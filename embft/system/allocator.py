"""What this process keeps of the memory that it has freed, and what it gives back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

import psutil

from embft.system.speedups import speedup


def release_memory() -> None:
    """Give the system back what this process has freed, which Arrow and glibc keep for later."""
    with suppress(AttributeError):  # an Arrow that keeps nothing
        if arrow := sys.modules.get("pyarrow"):
            arrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        speedup("freed memory given back", lambda: ctypes.CDLL(None).malloc_trim(0))


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for what mallopt sets
_KEPT_BLOCK = 32 << 20  # bytes, the most that glibc takes; larger blocks go back at once


def keep_freed_memory() -> None:
    """From now on keep what is freed, for what is asked for next.

    Each step of a training asks for the same blocks again. glibc gives the system back whatever is
    free at its heap's end, and gets it again page by page, each of them zeroed.
    """
    if sys.platform == "linux":
        speedup("freed memory kept for the next step", _keep_blocks)


def _keep_blocks() -> None:
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
