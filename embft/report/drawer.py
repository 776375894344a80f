"""Pictures of charts, drawn by a process of their own while this one makes the rest of the page.

vl-convert takes half a second to start, and keeps Python's lock while it draws. Where there can be
no such process, pictures are drawn in this one. Imports next to nothing, so that the process can
begin before what it serves is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TextIO

_START: dict[str, Any] = {"data": {"values": []}, "mark": "point"}


def draw(spec: dict[str, Any]) -> str:
    """A Vega-Lite specification as SVG."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(spec)
    return drawn


class _Drawer:
    """The process, and a thread that waits for it."""

    def __init__(self) -> None:
        # Without the working directory on its path (-P), and in a session of its own: Ctrl-C on the
        # terminal is for the command, with which its input ends.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "embft.report.drawer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            start_new_session=True,
        )
        self.asked: Any = self.process.stdin
        self.drawn: Any = self.process.stdout
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="embft-drawer")

    def ask(self, spec: dict[str, Any]) -> Callable[[], str]:
        """Begin to draw; the result waits for the picture."""
        picture = self.thread.submit(self._picture, json.dumps(spec))
        return lambda: picture.result() or draw(spec)

    def _picture(self, line: str) -> str | None:
        """What the process makes of a line; None where it has nothing to give."""
        try:
            self.asked.write(line + "\n")
            self.asked.flush()
            found: str | None = json.loads(self.drawn.readline() or "null")
        except (OSError, ValueError):  # it has ended
            return None
        return found

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.thread.shutdown(cancel_futures=True)
        with suppress(OSError):  # what nobody reads any more
            self.asked.close()
        self.drawn.close()
        self.process.wait()


_drawer: ContextVar[_Drawer | None] = ContextVar("drawer", default=None)


@contextmanager
def drawing_beside() -> Iterator[None]:
    """While open, pictures are drawn by a process of their own, which begins at once."""
    drawer = None
    with suppress(OSError):  # no room for another process
        drawer = _Drawer()
    token = _drawer.set(drawer)
    try:
        yield
    finally:
        _drawer.reset(token)
        if drawer:
            drawer.close()


def begin_drawing(spec: dict[str, Any]) -> Callable[[], str]:
    """Draw a Vega-Lite specification; the result gives its SVG once it is asked for."""
    drawer = _drawer.get()
    return (lambda: draw(spec)) if drawer is None else drawer.ask(spec)


def serve(lines: TextIO, to: TextIO) -> None:
    """Draw the specification on each line, as JSON, and write the picture on a line, as JSON; null
    of one that cannot be drawn, so that whoever asked draws it and hears why.
    """
    draw(_START)  # starting is what takes longest
    for line in lines:
        try:
            drawn = draw(json.loads(line))
        except ValueError:
            drawn = None
        to.write(json.dumps(drawn) + "\n")
        to.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
