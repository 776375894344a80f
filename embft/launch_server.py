"""The sweep's own process runs the trials that Ray schedules on this machine: Ray's actors ask it.

So all trials are forked from one warm template, which starts while Ray does. They ask over a socket
in a folder that only this user may enter.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from embft.failure import StorageError
from embft.launcher import run_trial
from embft.trial import TrialDir
from embft.watch import Limits


@contextmanager
def launch_server(folder: Path, limits: Limits) -> Iterator[str]:
    """Run the trials that are asked for in the block. Yields the address to ask at."""
    private = folder / "launch"  # `folder` itself Ray opens to everyone
    private.mkdir(mode=0o700)
    address, closing = str(private / "socket"), threading.Event()
    with Listener(address, family="AF_UNIX") as listener:
        threading.Thread(target=_accept, args=(listener, limits, closing), daemon=True).start()
        try:
            yield address
        finally:
            closing.set()
            with suppress(OSError):
                Client(address, family="AF_UNIX").close()  # wakes the thread


def _accept(listener: Listener, limits: Limits, closing: threading.Event) -> None:
    while not closing.is_set():
        with suppress(OSError):  # one who was gone before the answer is no reason to stop
            connection = listener.accept()
            if not closing.is_set():
                threading.Thread(target=_serve, args=(connection, limits), daemon=True).start()


def _serve(connection: Connection, limits: Limits) -> None:
    """Run one trial. Who asked may be gone by its end: its folder tells what it came to."""
    answer: dict[str, Any]
    with connection, suppress(OSError, EOFError):
        folder = TrialDir(Path(connection.recv_bytes().decode()))
        try:
            answer = {"status": run_trial(folder, limits)}
        except StorageError as error:
            answer = {"storage": [error.reason, str(error)]}
        except Exception:  # noqa: BLE001 - told where it was asked
            answer = {"error": traceback.format_exc()}
        connection.send_bytes(json.dumps(answer).encode())


def ask_for_trial(address: str, folder: TrialDir) -> str:
    """Have the trial run, and wait for its end. Returns and raises what `run_trial` does."""
    with Client(address, family="AF_UNIX") as connection:
        connection.send_bytes(str(folder.path).encode())
        answer = json.loads(connection.recv_bytes())
    if "storage" in answer:
        raise StorageError(*answer["storage"])
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return str(answer["status"])
