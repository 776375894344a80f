"""One sweep at a time in a results folder, and one worker at a time in a trial's."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embft.errors import EmbftError
from embft.storage.files import open_no_link

_DYING_SECONDS = 2.0  # many times what the system takes to take a killed process down
_WORKER_SECONDS = 20.0  # many times what a worker takes to notice that its sweep is gone
_POLL_SECONDS = 0.05


@contextmanager
def folder_lock(lock: Path) -> Iterator[None]:
    """Hold the sweep's folder that this file is in. Raises EmbftError with the id of whoever does.

    The system lets go of the lock when its process ends, however it ends: it cannot be stale.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    if lock.is_symlink():  # it may lead to a file that must not be emptied
        raise EmbftError(f"{lock}: a symbolic link in a results folder: remove it")
    descriptor = open_no_link(os.fspath(lock), os.O_RDWR | os.O_CREAT)
    try:
        if not _comes_true(lambda: _lock(descriptor), _DYING_SECONDS):
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            raise EmbftError(
                f"{lock.parent}: process {holder} is running this sweep; wait for it, or give "
                "another folder with --results"
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock the open file. False where someone holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, so long at most. Returns whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def hold_as_worker(log: int) -> None:
    """Lock the trial's log, open as `log`, as long as this process has that descriptor."""
    with suppress(OSError):  # where the file system knows no locks
        fcntl.flock(log, fcntl.LOCK_EX)


def wait_for_worker(log: Path) -> None:
    """Wait until no worker holds the log: one that a killed sweep has left ends by itself.

    Raises EmbftError when it does not.
    """
    if not _comes_true(lambda: not is_held(log), _WORKER_SECONDS):
        raise EmbftError(
            f"{log.parent}: a worker of an earlier sweep still works there; end it, "
            "then give the same command again"
        )


def is_held(path: Path) -> bool:
    """Whether a living process has locked this file; False where the file system knows no locks."""
    try:
        descriptor = open_no_link(os.fspath(path), os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False
