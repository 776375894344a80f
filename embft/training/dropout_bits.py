"""The random bits of dropout, drawn in bulk.

torch draws masks one number at a time from a Mersenne twister, which was a quarter of a LoRA step.
Here 16 bits decide an element, drawn by many generators side by side: in compiled loops, or, three
times as slowly and with the same bits, by numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embft.system.speedups import speedup
from embft.training.kernels.entry import kernels

_Words = npt.NDArray[np.uint64]
_LEVELS = 1 << 16
_WORD = 1 << 64
_DRAWS = 4  # in a word

# Words lie in blocks of so many rows, drawn by generators of the block's own, one for each column:
# as many as the vectors of a processor hold, and its threads can draw blocks at once.
_ROWS, _COLUMNS = 256, 16


class DropoutBits(NamedTuple):
    """What dropout (Srivastava et al., 2014) does to n elements: those are kept whose bits, shape
    (n,), are at least `least`, and they are multiplied by `keep`.
    """

    bits: npt.NDArray[np.uint16]
    least: int
    keep: float

    @classmethod
    def draw(cls, p: float, n: int, generator: np.random.Generator) -> DropoutBits:
        """For n elements at rate p, which is met to 1/65536. Nothing is drawn where p is 0."""
        if p == 0.0:
            return cls(np.zeros(n, np.uint16), 0, 1.0)
        bits = _words(-(-n // _DRAWS), generator).view(np.uint16)[:n]
        return cls(bits, round(p * _LEVELS), 1.0 / (1.0 - p))


def _words(n: int, generator: np.random.Generator) -> _Words:
    """So many random words, or some more. Neither threads nor who draws them changes any.

    Each column of a block is drawn by SFC64 (Doty-Humphrey, 2010), which begins from four words.
    """
    blocks = -(-n // (_ROWS * _COLUMNS))
    states = generator.integers(_WORD, size=(blocks, 4, _COLUMNS), dtype=np.uint64)
    words = np.empty((-(-n // _COLUMNS), _COLUMNS), np.uint64)
    fill = _compiled_fill() or fill_by_numpy
    fill(states, words, _ROWS)
    return words.reshape(-1)


def fill_by_numpy(states: _Words, words: _Words, rows: int) -> None:
    """Draw `words`, shape (n, columns), of which each block of `rows` rows begins from its states,
    shape (blocks, 4, columns): the words that numpy's SFC64 gives from there.
    """
    a, b, c, count = states.transpose(1, 0, 2)
    drawn = np.empty((len(states), rows, words.shape[1]), np.uint64)
    for row in range(rows):
        drawn[:, row] = word = a + b + count
        a, b = b ^ (b >> np.uint64(11)), c + (c << np.uint64(3))
        c = ((c << np.uint64(24)) | (c >> np.uint64(40))) + word
        count = count + np.uint64(1)  # not in its place: there are the states
    words[:] = drawn.reshape(-1, words.shape[1])[: len(words)]


@cache
def _compiled_fill() -> Callable[[_Words, _Words, int], None] | None:
    loops = kernels()
    return loops and speedup("compiled random bits", lambda: _checked(loops.fill))


def _checked(fill: Callable[[_Words, _Words, int], None]) -> Callable[[_Words, _Words, int], None]:
    """The function. Raises ArithmeticError where it draws other words than numpy."""
    states = np.random.Generator(np.random.SFC64(0)).integers(_WORD, size=(2, 4, 3), dtype="u8")
    found, wanted = np.empty((7, 3), np.uint64), np.empty((7, 3), np.uint64)
    fill(states.copy(), found, 4)  # it goes on from them where they lie
    fill_by_numpy(states, wanted, 4)
    if not np.array_equal(found, wanted):
        raise ArithmeticError("they are not those of numpy's generator")
    return fill
