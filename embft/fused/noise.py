"""The random bits of dropout, drawn in bulk.

torch draws masks one number at a time from a Mersenne twister, which was a quarter of a LoRA step.
Here 16 bits decide an element, drawn by numpy's SFC64 many at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_LEVELS = 1 << 16
_WORD = 1 << 64  # four draws at once, several times faster than one by one


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
        words = generator.integers(_WORD, size=-(-n // 4), dtype=np.uint64)
        return cls(words.view(np.uint16)[:n], round(p * _LEVELS), 1.0 / (1.0 - p))
