"""How long a thread that waits for others keeps its core busy. Imports nothing but `os`."""

from __future__ import annotations

import os

_SPINS = "1000"  # some microseconds: hardly more than threads wait on a free machine
_USERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # whoever sets one of these has chosen


def spin_briefly() -> None:
    """Have this process's threads, and those of all that it starts, give up their core soon while
    they wait.

    torch shares out each loop of a step by OpenMP, and GNU's lets a thread that waits for the next
    loop spin for milliseconds. With another program on the machine, that is the core which the
    thread it waits for would need. It must be called before torch is imported.
    """
    if not any(name in os.environ for name in _USERS):
        os.environ["GOMP_SPINCOUNT"] = _SPINS
