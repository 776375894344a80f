"""Put beside the code as `sitecustomize` by the kill tests: who started which trial, and when.

Python calls it in each of its processes. A worker opens its trial's log to append to it, as the
first thing it does: that is a start, once for each process. Nothing of embft is touched.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STARTS = os.environ.get("EMBFT_STARTS")
_noted = set[int]()


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not str(arguments[0]).endswith("/log.txt"):
        return
    if not isinstance(arguments[2], int) or not arguments[2] & os.O_APPEND:
        return
    if os.getpid() in _noted:
        return
    _noted.add(os.getpid())
    trial = Path(str(arguments[0])).parent
    finished = b'"status": "completed"' in _read(trial / "result.json")
    line = f"{trial.name} {os.getpid()} {'again' if finished else 'open'}\n"
    file = os.open(str(_STARTS), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, line.encode())
    os.close(file)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


if _STARTS:
    sys.addaudithook(_note)
