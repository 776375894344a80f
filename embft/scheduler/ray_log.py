"""What Ray says goes into a file of the sweep's folder, and off the terminal.

Ray's compiled parts write to standard error, past Python; its threads print state dumps of 25 lines
to standard output when a node dies. Does not import Ray.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_STANDARD_ERROR = 2
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class RayLog:
    """The file, and the threads whose words go there."""

    def __init__(self, file: TextIO, threads: set[threading.Thread] | None = None) -> None:
        self.file = file
        self._threads = set[threading.Thread]() if threads is None else threads
        if self._threads:  # of a Ray that runs already
            self._take_messages()

    @contextmanager
    def threads_started_here(self) -> Iterator[None]:
        """What threads that are started in the block print goes to the file."""
        before = set(threading.enumerate())
        try:
            yield
        finally:
            self._threads |= set(threading.enumerate()) - before
            self._take_messages()

    def _take_messages(self) -> None:
        handlers: list[logging.Handler] = [logging.StreamHandler(self.file)]
        logging.getLogger("ray").handlers[:] = handlers

    def add_this_thread(self) -> None:
        """What this thread prints goes to the file."""
        self._threads.add(threading.current_thread())

    def takes(self) -> bool:
        """Whether what this thread prints goes to the file."""
        return threading.current_thread() in self._threads

    def write(self, text: str) -> None:
        """Put it into the file, if that takes it."""
        with suppress(OSError):
            self.file.write(_COLOURS.sub("", text))
            self.file.flush()


class _Sorted:
    """A stream of the terminal, but for what belongs into the file."""

    def __init__(self, log: RayLog, terminal: TextIO) -> None:
        self._log, self._terminal = log, terminal

    def write(self, text: str) -> int:
        if not self._log.takes():
            return self._terminal.write(text)
        self._log.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


@contextmanager
def ray_log(path: Path, threads: set[threading.Thread] | None = None) -> Iterator[RayLog]:
    """In the block, what Ray says is appended to this file. It is removed if there was nothing.

    threads: Ray's own, of one that runs already; those that start in the block are added.
    """
    with path.open("a", encoding="utf-8", errors="replace") as file:
        log, streams = RayLog(file, threads), (sys.stdout, sys.stderr)
        terminal = os.dup(_STANDARD_ERROR)
        with os.fdopen(terminal, "w", buffering=1, errors="replace") as errors:
            try:
                sys.stderr.flush()
                os.dup2(file.fileno(), _STANDARD_ERROR)
                sorted_: list[Any] = [_Sorted(log, each) for each in (sys.stdout, errors)]
                sys.stdout, sys.stderr = sorted_
                yield log
            finally:
                sys.stdout, sys.stderr = streams
                os.dup2(terminal, _STANDARD_ERROR)
    with suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()
