"""The report while trials still run: written beside them, and never a reason to end the sweep."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

from embft.storage.errors import storage_reason
from embft.system.processes import release_memory

# The report of so many trials is written by a process of its own, with which its memory goes: at
# 10,000 it takes as much as all the rest of the sweep's own process.
_MANY = 1000
_POLL_SECONDS = 0.2


def write_meanwhile(folder: Path, trials: int, stop: threading.Event) -> None:
    """Write leaderboard and report of a sweep of so many trials; what hinders that is logged.

    Once `stop` is set, a process that writes is ended: whoever sets it has the last word.
    """
    try:
        if trials < _MANY:
            _write(folder)
        else:
            _write_apart(folder, stop)
    except Exception as error:
        if storage_reason(error) is None:  # where there is no room, the trials say so
            log = logging.getLogger("embft")
            log.warning("the report could not be written yet", exc_info=True)


def _write(folder: Path) -> None:
    from embft.report.output import write_outputs

    write_outputs(folder, running=True)
    release_memory()


def _write_apart(folder: Path, stop: threading.Event) -> None:
    # Without the working directory on its path (-P), and in a session of its own: Ctrl-C on the
    # terminal is for the sweep.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "embft.report.background", str(folder)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None:
        if stop.wait(_POLL_SECONDS):
            process.kill()
            process.wait()


if __name__ == "__main__":
    write_meanwhile(Path(sys.argv[1]), 0, threading.Event())
