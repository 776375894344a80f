"""The time that work has left, by its own rate so far."""

from __future__ import annotations

import time


class Rate:
    """Of work that begins, or goes on, now. first: how much of it was done before."""

    def __init__(self, first: int = 0) -> None:
        self.first, self.begun = first, time.monotonic()

    def left(self, done: int, total: int) -> float | None:
        """Seconds until all is done; None while nothing is done beyond the first."""
        fresh = done - self.first
        return (time.monotonic() - self.begun) / fresh * (total - done) if fresh else None
