"""What embft, Ray and others print while Ray's words go to a file."""

from __future__ import annotations

import logging
import os
import sys
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
