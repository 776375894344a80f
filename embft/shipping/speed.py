"""How fast a model embeds on this machine: texts a second, and how long one text waits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from embft.results.serving import Speed

BATCH = 32
_ROUND_SECONDS, _ROUNDS = 1.5, 3
_MOST_ALONE, _ALONE_SECONDS = 100, 3.0


def measure_speed(embed: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> Speed:
    """Time a function from texts to embeddings on these texts, some seconds long."""
    endless = itertools.cycle(texts)
    embed(_next(endless))  # what is made at the first call
    rounds = [_texts_a_second(embed, endless) for _ in range(_ROUNDS)]
    waits = _waits(embed, endless)
    return Speed(median(rounds), float(np.quantile(waits, 0.5)), float(np.quantile(waits, 0.95)))


def _next(texts: Any) -> list[str]:
    return list(itertools.islice(texts, BATCH))


def _texts_a_second(embed: Callable[[Sequence[str]], Any], texts: Any) -> float:
    start, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < _ROUND_SECONDS:
        done += len(embed(_next(texts)))
    return done / passed


def _waits(embed: Callable[[Sequence[str]], Any], texts: Any) -> list[float]:
    found: list[float] = []
    end = time.perf_counter() + _ALONE_SECONDS
    while len(found) < _MOST_ALONE and (not found or time.perf_counter() < end):
        start = time.perf_counter()
        embed([next(texts)])
        found.append(time.perf_counter() - start)
    return found
