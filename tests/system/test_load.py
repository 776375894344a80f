"""How many cores other programs use: not this process, nor what it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

from embft.system.load import Others

BUSY = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def test_what_is_below_a_process_is_its_own() -> None:
    """A busy process is one of others', unless it is below the root."""
    command = [sys.executable, "-c", BUSY]
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle,
        subprocess.Popen(command) as child,
    ):
        try:
            began, used = time.monotonic(), _seconds(child.pid)
            ours, theirs = Others(os.getpid()), Others(idle.pid)
            time.sleep(1.0)
            with_it, without_it = theirs.cores(), ours.cores()
            took = (_seconds(child.pid) - used) / (time.monotonic() - began)
        finally:
            child.kill()
            idle.kill()
    assert took > 0.02
    assert with_it - without_it > took / 2


def _seconds(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def test_it_waits_until_there_is_something_to_count() -> None:
    """Processor time is counted in hundredths of a second."""
    began = time.monotonic()
    assert Others(os.getpid()).cores() >= 0.0
    assert time.monotonic() - began >= 0.2
