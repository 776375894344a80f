"""A loop that is compiled where no folder takes a cache."""

from __future__ import annotations

from typing import Any

import numba.core.caching
import numpy as np

from embft.system.numba_cache import keep_compiled
from embft.training.kernels.loops import compiled
from embft.training.kernels.vectors import FLAT

numba.core.caching.CacheImpl._locator_classes = []


@compiled(FLAT, None)
def twice(x: Any, thread: int, threads: int) -> None:  # noqa: ARG001 - each loop has them
    for i in range(x.size):
        x[i] = 2 * x[i]


x = np.ones(3, np.float32)
twice(0, 1, 1, 0, x)
keep_compiled("__main__")
print(x.sum())
