"""What ends a sweep before its last trial: Ctrl-C and SIGTERM, or the end of Ray itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from embft.errors import EXIT_INTERRUPTED
from embft.system.processes import end_descendants


class Interrupted(Exception):  # noqa: N818 - it is no error, someone asked for it
    """Someone asked the sweep to stop (Ctrl-C or SIGTERM)."""


class RayDiedError(Exception):
    """Ray's own processes are gone."""


class Stop:
    """Whether someone has asked the sweep to stop.

    tell: called as soon as it is asked (`told_at_once`). Ray's start is not interrupted and takes
    seconds; trials that run already must not wait for it, or one whose worker the same signal has
    ended would be taken for a failure.

    No Event: a signal's handler may run while its own thread holds that one's lock, and would wait
    for it for ever.
    """

    def __init__(self, tell: Callable[[], object] = bool) -> None:
        self.asked, self.tell = False, tell


@contextlib.contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Note Ctrl-C and SIGTERM in `stop`; the second one ends everything at once."""

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if stop.asked:
            end_descendants(wait=False)  # or a thread that watches one would call it a failure
            os._exit(EXIT_INTERRUPTED)
        stop.asked = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def told_at_once(stop: Stop) -> Iterator[None]:
    """In the block a thread calls `stop.tell` at the first Ctrl-C or SIGTERM. A handler runs in the
    main thread alone, and not before Ray's compiled code gives that back, which takes half a minute
    where the same signal has ended what it waits for.
    """
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)

    def listen() -> None:
        with woken:
            while numbers := woken.recv(64):
                if {signal.SIGINT, signal.SIGTERM}.intersection(numbers):
                    stop.tell()

    threading.Thread(target=listen, name="embft-signals", daemon=True).start()
    before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        wakes.close()


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """In the block nobody sets another handler of Ctrl-C and SIGTERM: Ray would, while it starts,
    and a SIGTERM in that moment would end this process with all that runs.
    """
    set_handler = signal.signal

    def keep(number: int, handler: Any) -> Any:
        if number in {signal.SIGINT, signal.SIGTERM}:
            return signal.getsignal(number)
        return set_handler(number, handler)

    setattr(signal, "signal", keep)  # noqa: B010 - mypy refuses the plain form
    try:
        yield
    finally:
        setattr(signal, "signal", set_handler)  # noqa: B010
