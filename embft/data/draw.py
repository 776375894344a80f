"""Choices at random that are the same in every version of Python and on every platform.

Of `random`, only `random()` is promised to stay the same; all choices here are made of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Draw:
    """A stream of choices. The same seeds, numbers or texts, give the same stream."""

    def __init__(self, *seeds: object) -> None:
        # A single number seeds the stream as `random.Random(number)` would.
        seed = seeds[0] if len(seeds) == 1 and isinstance(seeds[0], int) else repr(seeds)
        self.rng = random.Random(seed)  # noqa: S311 - data, no secret

    def tosses(self, chance: float = 0.5) -> bool:
        """Whether something of this chance happens."""
        return self.rng.random() < chance

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        return int(self.rng.random() * count)

    def picks(self, values: Sequence[_T]) -> _T:
        """Draw one of the values, each equally likely."""
        return values[self.below(len(values))]

    def shuffled(self, values: Sequence[_T]) -> list[_T]:
        """The values in another order (Fisher and Yates, 1938)."""
        order = list(values)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
