"""The sweep's own process runs the trials that Ray schedules on this machine: Ray's actors ask it.

So all trials are forked from one warm process, which starts while Ray does. They ask over a socket
in a folder that only this user may enter. A trial ends with the actor that has asked for it.
"""

from __future__ import annotations

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from embft.errors import FailureReason
from embft.execution.launcher import run_trial
from embft.execution.monitor import Limits
from embft.results.folders import TrialDir
from embft.results.records import Status
from embft.storage.errors import StorageError

_Run = Callable[[TrialDir, int], Status]

_WAITING = 128  # actors that ask at the same moment
_END_SECONDS = 10.0


@contextmanager
def launch_server(
    folder: Path, limits: Limits, begun: Mapping[str, Future[Status]] | None = None
) -> Iterator[str]:
    """Run the trials that are asked for in the block. Yields the address to ask at.

    begun: trials that this process runs already, by the names of their folders.

    At the block's end it waits for trials whose askers are gone, until they have ended too.
    """
    private = folder / "launch"  # `folder` itself Ray opens to everyone
    private.mkdir(mode=0o700, exist_ok=True)  # of the sweep before, on the same Ray
    address, closing = str(private / "socket"), threading.Event()
    run = partial(_run, limits, begun or {})
    with Listener(address, family="AF_UNIX", backlog=_WAITING) as listener:
        serving: list[threading.Thread] = []
        accepting = threading.Thread(
            target=_accept, args=(listener, run, closing, serving), daemon=True
        )
        accepting.start()
        try:
            yield address
        finally:
            closing.set()
            with suppress(OSError):
                Client(address, family="AF_UNIX").close()  # wakes the thread
            accepting.join(_END_SECONDS)  # which may be about to begin one more
            for thread in serving:
                thread.join(_END_SECONDS)


def _accept(
    listener: Listener, run: _Run, closing: threading.Event, serving: list[threading.Thread]
) -> None:
    while not closing.is_set():
        with suppress(OSError):  # one who was gone before the answer is no reason to stop
            connection = listener.accept()
            if not closing.is_set():
                thread = threading.Thread(target=_serve, args=(connection, run), daemon=True)
                thread.start()
                serving[:] = [*(each for each in serving if each.is_alive()), thread]
            else:
                connection.close()


def _run(
    limits: Limits, begun: Mapping[str, Future[Status]], folder: TrialDir, asker: int
) -> Status:
    """Run the trial, or wait for its end where it has begun."""
    ahead = begun.get(folder.name)
    if ahead is not None and not ahead.done():
        return ahead.result()
    return run_trial(folder, replace(limits, asker=asker))


def _serve(connection: Connection, run: _Run) -> None:
    """Run one trial. Who asked may be gone by its end: its folder tells what it came to."""
    answer: dict[str, Any]
    with connection, suppress(OSError, EOFError):
        asked = json.loads(connection.recv_bytes())
        folder = TrialDir(Path(asked["trial"]))
        try:
            answer = {"status": run(folder, asked["asker"])}
        except StorageError as error:
            answer = {"storage": [error.reason, str(error)]}
        except Exception:  # noqa: BLE001 - raised where it was asked
            answer = {"error": traceback.format_exc()}
        connection.send_bytes(json.dumps(answer).encode())


def ask_for_trial(address: str, folder: TrialDir) -> Status:
    """Have the trial run, and wait for its end. Returns and raises what `run_trial` does."""
    with Client(address, family="AF_UNIX") as connection:
        asked = {"trial": str(folder.path), "asker": os.getpid()}
        connection.send_bytes(json.dumps(asked).encode())
        answer = json.loads(connection.recv_bytes())
    if "storage" in answer:
        reason, message = answer["storage"]
        raise StorageError(FailureReason(reason), message)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return Status(answer["status"])
