"""How far a mining is: written by the process that mines, read by the one that waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from embft.storage.files import write_atomic
from embft.system.rate import Rate

_EVERY = 0.5  # seconds between two lines of one stage

Told = Callable[[str, int, int], None]
"""Called with the stage in words, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class MiningStep:
    """A stage of a mining in words, how much of it is done, and how much there is. seconds_left: of
    the stage, None at its beginning. setting, settings: which of those that are mined.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    setting: int = 1
    settings: int = 1


Seen = Callable[[MiningStep], None]


class Teller:
    """Writes to a file how far the mining is. Of a stage that goes on after an interruption the
    rate is that of what was done since.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stage, self.rate, self.written = "", Rate(), 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note it, at most twice a second but for a stage's beginning and end."""
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.rate, self.written = stage, Rate(done), 0.0
        if done < total and now - self.written < _EVERY:
            return
        self.written = now
        step = MiningStep(stage, done, total, self.rate.left(done, total))
        write_atomic(self.path, json.dumps(asdict(step)))


def read_step(path: Path) -> MiningStep | None:
    """How far the mining is; None before it has said so."""
    try:
        return MiningStep(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
