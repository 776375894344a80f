"""The report while trials still run: written beside them, and never a reason to end the sweep.

An observer of the sweep, with a thread of its own.
"""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from embft.errors import EmbftError
from embft.results.folders import SweepDir
from embft.results.observer import Observed, Observer
from embft.results.records import TrialResult
from embft.storage.errors import storage_reason
from embft.system.allocator import release_memory

# The report of so many trials is written by a process of its own, with which its memory goes: at
# 10,000 it takes as much as all the rest of the sweep's own process.
_MANY = 1000
_POLL_SECONDS = 0.2
_BEGUN_SECONDS = 5.0  # after which the first trials no longer need the cores for their own imports
_SETTLE_SECONDS = 0.5  # so that the sweep's last trials start no report that its end makes again
_REST = 29.0  # so that reports take a thirtieth of one core


class BackgroundReport(Observer):
    """Writes leaderboard and report after trials have finished, and rests many times as long.

    Never after the last ones: whoever ends the sweep has the last word.
    """

    def __init__(self) -> None:
        self.folder, self.trials = Path(), 0
        self.stop, self.finished = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def on_start(self, sweep: SweepDir, trials: Sequence[Observed], done: int) -> None:
        """Wait for trials to finish."""
        self.folder, self.trials = sweep.path, len(trials) + done
        self.thread.start()

    def on_trial(self, trial: Observed, result: TrialResult) -> None:  # noqa: ARG002 - that is all
        """Have the report written."""
        self.finished.set()

    def on_end(self, _: BaseException | None) -> None:
        """Write no more."""
        self.stop.set()
        self.finished.set()
        self.thread.join()

    def _work(self) -> None:
        self.finished.wait(_BEGUN_SECONDS)
        if not self.stop.is_set():
            importlib.import_module("embft.report.output")  # its half a second is none of the end's
        while not self.stop.is_set():
            self.finished.wait()
            if self.stop.wait(_SETTLE_SECONDS):
                return
            self.finished.clear()
            began = time.monotonic()
            write_in_background(self.folder, self.trials, self.stop)
            self.stop.wait(_REST * (time.monotonic() - began))


def write_in_background(folder: Path, trials: int, stop: threading.Event) -> None:
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
            ours = not isinstance(error, EmbftError | OSError)
            log = logging.getLogger("embft")
            log.warning("the report could not be written yet: %s", error, exc_info=ours)


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
    write_in_background(Path(sys.argv[1]), 0, threading.Event())
