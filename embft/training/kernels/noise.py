"""The random bits of dropout, drawn in bulk.

torch draws masks one number at a time from a Mersenne twister, which was a quarter of a LoRA step.
Here 16 bits decide an element, drawn by many generators side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from embft.training.kernels.loops import compiled
from embft.training.kernels.threads import together

_LEVELS = 1 << 16
_WORD = 1 << 64
_DRAWS = 4  # in a word

# Words lie in blocks of so many rows, drawn by generators of the block's own, one for each column:
# as many as the vectors of a processor hold, and its threads can draw blocks at once.
_ROWS, _COLUMNS = 256, 16


class Noise(NamedTuple):
    """What dropout (Srivastava et al., 2014) does to n elements: those are kept whose bits, shape
    (n,), are at least `least`, and they are multiplied by `keep`.
    """

    bits: npt.NDArray[np.uint16]
    least: int
    keep: float

    @classmethod
    def draw(cls, p: float, n: int, generator: np.random.Generator) -> Noise:
        """For n elements at rate p, which is met to 1/65536. Nothing is drawn where p is 0."""
        if p == 0.0:
            return cls(np.zeros(n, np.uint16), 0, 1.0)
        bits = _words(-(-n // _DRAWS), generator).view(np.uint16)[:n]
        return cls(bits, round(p * _LEVELS), 1.0 / (1.0 - p))


def _words(n: int, generator: np.random.Generator) -> npt.NDArray[np.uint64]:
    """So many random words, or some more. How many threads draw them changes none."""
    blocks = -(-n // (_ROWS * _COLUMNS))
    states = generator.integers(_WORD, size=(blocks, 4, _COLUMNS), dtype=np.uint64)
    words = np.empty((-(-n // _COLUMNS), _COLUMNS), np.uint64)
    together(fill, states, words)
    return words.reshape(-1)


@compiled((uint64[:, :, ::1],), None, uint64[:, ::1])
def fill(states: Any, words: Any, thread: int, threads: int) -> None:
    """Draw one thread's share of the words, shape (rows, columns), each column by SFC64 (Doty-
    Humphrey, 2010), several times as fast as numpy's, which draws one after another.

    states: of each block of rows the four words that each column's generator begins from, shape
    (blocks, 4, columns); its words are those that numpy's gives from there.
    """
    columns = words.shape[1]
    for block in range(thread, states.shape[0], threads):
        a, b, c, count = states[block]
        for row in words[block * _ROWS : (block + 1) * _ROWS]:
            for i in range(columns):
                x, y, z, n = a[i], b[i], c[i], count[i]
                drawn = x + y + n
                row[i] = drawn
                a[i] = y ^ (y >> np.uint64(11))
                b[i] = z + (z << np.uint64(3))
                c[i] = ((z << np.uint64(24)) | (z >> np.uint64(40))) + drawn
                count[i] = n + np.uint64(1)
