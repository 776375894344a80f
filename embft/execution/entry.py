"""The first thing a worker does: its own log, no Ctrl-C of the terminal, no life alone.

A module of its own, and a light one: the launcher names its function to the warm process.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path

from embft.execution.exits import EXIT_ORPHANED
from embft.results.folders import TrialDir
from embft.storage.lock import hold_as_worker

_ORPHAN_SECONDS = 1.0
# Of all processes the kernel takes a worker first when memory runs out; its trial tells of it.
_OOM_SCORE = "800"


def enter(step: str, path: str) -> None:
    """Become the worker of a step (`train` or `score`) of the trial whose folder this is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parents, args=(os.getppid(),), daemon=True).start()
    folder = TrialDir(Path(path))
    hold_as_worker(folder.open_log())  # not the one below, which programs it starts inherit
    log = folder.open_log()
    os.dup2(log, sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(log, 2)
    faulthandler.enable(all_threads=False)  # so that the log tells where a segmentation fault was
    with suppress(OSError):  # where the system has no such file
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    from embft.execution import worker

    worker.run_step(step, folder)


def _end_with_parents(warm_process: int) -> None:
    """End this worker as soon as its launcher or its warm process is gone, however they went."""
    launcher = multiprocessing.parent_process()
    watched = [launcher.sentinel] if launcher else []
    while os.getppid() == warm_process:
        if connection.wait(watched, timeout=_ORPHAN_SECONDS):
            break
    os._exit(EXIT_ORPHANED)
