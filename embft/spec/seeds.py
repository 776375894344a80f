"""The seeds of a sweep: a list that every configuration has, or few at first and more where they
count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from embft.spec.base import Fields

MOST_SEEDS = 50
_LEAST_COMPARED = 2  # seeds of a configuration, without which nothing is said of configurations


class SeedsSpec(Fields):
    """start: how many seeds each configuration has. most: how many those may get, round by round,
    that may still be the best. first: the first seed, which the others follow.
    """

    start: int = Field(default=1, ge=1, le=MOST_SEEDS)
    most: int = Field(ge=2, le=MOST_SEEDS)
    first: int = Field(default=42, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _more_than_at_first(self) -> SeedsSpec:
        if self.most <= self.start:
            raise ValueError(
                f"most is {self.most} and start {self.start}, so that no configuration would get "
                f"more: set most above {self.start}, or give a list of seeds that all have"
            )
        return self

    def seeds(self, count: int) -> tuple[int, ...]:
        """The first so many."""
        return tuple(range(self.first, self.first + count))

    @property
    def rounds(self) -> int:
        """How many rounds of more seeds there are at most."""
        return self.most - self.start

    @property
    def looks(self) -> int:
        """How often configurations are compared at most, each with a seed more than before."""
        return self.most - max(self.start, _LEAST_COMPARED) + 1


GivenSeeds = Annotated[tuple[int, ...], Field(min_length=1)] | SeedsSpec


def at_first(given: Sequence[int] | SeedsSpec) -> tuple[int, ...]:
    """The seeds that every configuration has."""
    return given.seeds(given.start) if isinstance(given, SeedsSpec) else tuple(given)
