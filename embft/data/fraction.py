"""A fraction of train for a learning curve: what a smaller training set would have been.

Fractions are nested: the rows of a smaller one are among those of a larger one. They are drawn
once, from the content of train and the data's seed; the trials' seeds do not change them. Pairs
that share a text come and go together, as more data would bring new texts and not new pairs of
known ones; where most pairs hang together, only equal pairs do. Dev and test stay as they are.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from embft.data.dev_split import components, row_numbers
from embft.data.pairs import Pairs
from embft.data.texts import IntArray, pair_ids
from embft.errors import DataError

# The largest share of the rows that may hang together: what a fraction may be off by.
_LARGEST = 0.02
_FEWEST = 2


class Nested:
    """The nested fractions of one training set; the order of its rows is drawn when first asked."""

    def __init__(self, train: Pairs, seed: int) -> None:
        self.train, self.seed = train, seed

    def take(self, fraction: float) -> Pairs:
        """About this fraction of the rows, in the order of train; all of them for 1.

        Raises DataError where fewer than two rows or one kind of label would be left.
        """
        if fraction == 1:
            return self.train
        place, ends = self._order
        nearest = int(np.argmin(np.abs(ends - fraction * len(self.train))))
        rows = np.flatnonzero(place <= nearest)
        kinds = len(np.unique(self.train.label[rows])) > 1 or not self.train.labelled
        if len(rows) < _FEWEST or (not kinds and len(np.unique(self.train.label)) > 1):
            left = "row" if len(rows) == 1 else "rows"
            raise DataError(
                f"data.fraction: {fraction:g} of the {len(self.train):,} rows of train is "
                f"{len(rows)} {left}{'' if kinds else ' of one label'}, too few to train on: give "
                "a larger fraction"
            )
        return self.train.take(rows)

    @cached_property
    def _order(self) -> tuple[IntArray, IntArray]:
        """For each row (n,) the place of its unit in the order in which units are added, and how
        many rows there are with each further unit.
        """
        units = _units(self.train)
        count = int(units.max()) + 1
        start = int(self.train.digest()[:16], 16)
        place = np.random.default_rng([start, self.seed]).permutation(count)
        ends = np.cumsum(np.bincount(place[units], minlength=count))
        return place[units], ends


def _units(train: Pairs) -> IntArray:
    """A number for each row, from 0 without a gap: equal for rows that come and go together."""
    ids, _ = row_numbers(train)
    units = np.unique(components(ids), return_inverse=True)[1].reshape(-1)
    if np.bincount(units).max() > _LARGEST * len(train):
        units = np.unique(pair_ids(ids[0], ids[1]), return_inverse=True)[1].reshape(-1)
    return units.astype(np.int64)
