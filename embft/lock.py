"""One sweep at a time in a results folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embft.errors import EmbftError


@contextmanager
def sweep_lock(folder: Path) -> Iterator[None]:
    """Hold the sweep's folder. Raises EmbftError with the process id of whoever holds it.

    The system lets go of the lock when its process ends, however it ends: it cannot be stale.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A link that someone laid there may lead to a file that must not be emptied.
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            raise EmbftError(
                f"{folder}: process {holder} is running this sweep; wait for it, or give another "
                "folder with --results"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def is_running(folder: Path) -> bool:
    """Whether a living process holds the sweep's folder."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
