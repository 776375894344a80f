"""A signal at some moment of each of 5,000 waits."""

from __future__ import annotations

import random
import signal
import time

from embft.scheduler.interruption import Stop, stop_on_signals

for _ in range(5000):
    stop = Stop()
    with stop_on_signals(stop):
        signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, random.uniform(2e-6, 4e-4))  # noqa: S311
        while not stop.asked:
            time.sleep(1e-4)
