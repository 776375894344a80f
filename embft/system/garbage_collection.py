"""Python's garbage collection, paused where it would go through millions of living objects."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MANY_OBJECTS = 100_000


class _Paused:
    """How many blocks of `no_collection` are open, in any thread, and what was before the first."""

    lock = threading.Lock()
    blocks = 0
    was_enabled = False


@contextmanager
def no_collection() -> Iterator[None]:
    """In the block Python looks for no unreachable cycles: while ten thousand trials are planned or
    read, it would go through all of them over and over.
    """
    with _Paused.lock:
        if _Paused.blocks == 0:
            _Paused.was_enabled = gc.isenabled()
            gc.disable()
        _Paused.blocks += 1
    try:
        yield
    finally:
        with _Paused.lock:
            _Paused.blocks -= 1
            if _Paused.blocks == 0 and _Paused.was_enabled:
                if gc.get_count()[0] > _MANY_OBJECTS and not gc.get_freeze_count():
                    # They count as old: no look at all of them right afterwards. Seldom, since
                    # what is garbage already counts as old with them, and counts begin anew.
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()
