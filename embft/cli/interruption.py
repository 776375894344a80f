"""Ctrl-C and SIGTERM outside a sweep's trials: the command ends with status 130, whenever they
come. While trials run, `scheduler/interruption.py` decides instead.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import NoReturn

from embft.errors import EXIT_INTERRUPTED, causes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.02  # seconds until an import is looked at again
_LONGEST = 5.0  # seconds for which imports are left alone
_IMPORTS = "<frozen importlib._bootstrap>"


def interrupt_outside_imports() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, and where something is being imported as soon
    as that is done: a compiled module answers an interruption of what it imports itself with an
    ImportError, which some libraries take for a package that is not installed, and go on.
    """
    deadline: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal deadline
        now = time.monotonic()
        deadline = deadline or now + _LONGEST
        if now < deadline and _imports(frame):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
            return
        deadline = None
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, handle)
    signal.signal(signal.SIGTERM, handle)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in a shell's background job
        signal.signal(signal.SIGINT, handle)


def _imports(frame: FrameType | None) -> bool:
    """Whether an import is among what this frame was called by."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False


def was_interrupted(error: BaseException) -> bool:
    """Whether this error is an interruption, or what somebody's code has made of one."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def end_at_the_next() -> None:
    """Let the next Ctrl-C or SIGTERM end this process at once: it is ending already."""

    def end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - signal's signature
        os._exit(EXIT_INTERRUPTED)

    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _SIGNALS:
        signal.signal(number, end)
