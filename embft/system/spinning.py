"""How long a thread that waits for others keeps its core busy, by what a process inherits. Imports
next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SPINS = "1000"  # some microseconds: hardly more than threads wait on a free machine
_USERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # whoever sets one of these has chosen


def users_choice() -> bool:
    """Whether the user has said how long threads spin."""
    return any(os.environ.get(name, _SPINS) != _SPINS for name in _USERS)


@contextmanager
def long_spins_inherited() -> Iterator[None]:
    """What is started in the block begins with OpenMP's own number of spins, or the user's."""
    ours = None if users_choice() else os.environ.pop("GOMP_SPINCOUNT", None)
    try:
        yield
    finally:
        if ours is not None:
            os.environ["GOMP_SPINCOUNT"] = ours


def spin_briefly() -> None:
    """Have this process's threads, and those of all that it starts, give up their core soon while
    they wait.

    torch shares out each loop of a step by OpenMP, and GNU's lets a thread that waits for the next
    loop spin for milliseconds. With another program on the machine, that is the core which the
    thread it waits for would need. It must be called before torch is imported.
    """
    if not users_choice():
        os.environ["GOMP_SPINCOUNT"] = _SPINS
