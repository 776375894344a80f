"""What Ray says goes into a file, what embft says to the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BOTH = r"""
import logging, os, sys
from pathlib import Path
from threading import Event, Thread
from embft.scheduler.ray_log import ray_log

path, go = Path("ray.log"), Event()

def rays():
    go.wait()
    print("\x1b[33m(raylet)\x1b[0m state-dump")
    print("from a thread of Ray's", file=sys.stderr)

with ray_log(path) as log:
    with log.threads_started_here():
        thread = Thread(target=rays)
        thread.start()
    print("from embft")
    print("embft's error", file=sys.stderr)
    logging.getLogger("embft").warning("embft's warning")
    logging.getLogger("ray.tune").warning("Ray's warning")
    os.write(2, b"from compiled parts\n")
    go.set()
    thread.join()
    other = Thread(target=print, args=["from another thread"])
    other.start()
    other.join()
os.write(2, b"afterwards\n")
print("and afterwards", file=sys.stderr)
with ray_log(Path("silent.log")):
    pass
print(path.exists(), Path("silent.log").exists())
"""


def test_each_line_goes_where_it_belongs(tmp_path: Path) -> None:
    """By the thread that prints it; what is written past Python is none of embft's."""
    run = subprocess.run(
        [sys.executable, "-c", BOTH],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.splitlines() == ["from embft", "from another thread", "True False"]
    assert run.stderr.splitlines() == [
        "embft's error", "embft's warning", "afterwards", "and afterwards",
    ]  # fmt: skip
    assert sorted((tmp_path / "ray.log").read_text().splitlines()) == [
        "(raylet) state-dump", "Ray's warning", "from a thread of Ray's", "from compiled parts",
    ]  # fmt: skip
