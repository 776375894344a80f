"""Compiled random bits: many generators side by side, as the vectors of a processor hold them.

Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64, uint64

from embft.training.kernels.loops import compiled
from embft.training.kernels.threads import together


def fill(states: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64], rows: int) -> None:
    """As `fill_by_numpy` of `embft.training.dropout_bits`, which leaves `states` as they are."""
    together(fill_blocks, states, words, rows)


@compiled((uint64[:, :, ::1],), None, uint64[:, ::1], int64)
def fill_blocks(states: Any, words: Any, rows: int, thread: int, threads: int) -> None:
    """Draw one thread's share of the blocks, each column by SFC64 (Doty-Humphrey, 2010), several
    times as fast as numpy's, which draws one after another.
    """
    columns = words.shape[1]
    for block in range(thread, states.shape[0], threads):
        a, b, c, count = states[block]
        for row in words[block * rows : (block + 1) * rows]:
            for i in range(columns):
                x, y, z, n = a[i], b[i], c[i], count[i]
                drawn = x + y + n
                row[i] = drawn
                a[i] = y ^ (y >> np.uint64(11))
                b[i] = z + (z << np.uint64(3))
                c[i] = ((z << np.uint64(24)) | (z >> np.uint64(40))) + drawn
                count[i] = n + np.uint64(1)
