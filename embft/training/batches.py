"""Which rows share a batch.

An epoch's order depends on seed and epoch alone, so that a resumed trial sees the same batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import torch

from embft.spec import TrainSpec

Batch = list[int]
Columns = Sequence[Sequence[Hashable]] | Sequence[npt.NDArray[np.int32]]


def sliced(count: int, size: int, least: int) -> list[slice]:
    """So many rows in slices of a size; fewer than `least` at the end join the slice before."""
    ends = [*range(size, count, size), count]
    if len(ends) > 1 and count - ends[-2] < least <= size:
        del ends[-2]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


class Batches:
    """The batches of each epoch, counted from 1.

    least: rows that a batch must have for its loss to teach anything. Where every text may stand
    in a batch once, what clashes may still be left alone.
    """

    def __init__(self, columns: Columns, spec: TrainSpec, seed: int, least: int = 1) -> None:
        self.least = least
        self.columns, self.size, self.seed = columns, spec.batch_size, seed
        self.count = len(columns[0])
        self.avoid_duplicates = spec.avoids_duplicates

    def of(self, epoch: int) -> Sequence[Batch]:
        """The batches of one epoch: every row once."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.count, generator=generator).numpy()
        if self.avoid_duplicates:
            return without_duplicates(order.tolist(), self.columns, self.size)
        return _Slices(order, sliced(self.count, self.size, self.least))

    def steps(self, epochs: int) -> int:
        """How many batches that many epochs have."""
        if not self.avoid_duplicates:
            return epochs * len(sliced(self.count, self.size, self.least))
        return sum(len(self.of(epoch)) for epoch in range(1, epochs + 1))


class _Slices(Sequence[Batch]):
    """An order of rows, slice by slice."""

    def __init__(self, order: npt.NDArray[np.int64], slices: Sequence[slice]) -> None:
        self.order, self.slices = order, slices

    def __len__(self) -> int:
        return len(self.slices)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        found: Batch = self.order[self.slices[index]].tolist()
        return found


def without_duplicates(order: Sequence[int], columns: Columns, size: int) -> list[Batch]:
    """Batches in which no text stands in two rows; rows that clash wait for the next batch."""
    batches: list[Batch] = []
    stream, late = iter(order), deque[int]()
    while batch := _fill(stream, late, columns, size):
        batches.append(batch)
    return batches


def _fill(stream: Iterator[int], late: deque[int], columns: Columns, size: int) -> Batch:
    """The next batch, from the rows that were put off and then from the stream."""
    batch, seen, clashed = Batch(), set[Hashable](), Batch()
    while len(batch) < size:
        row = late.popleft() if late else next(stream, None)
        if row is None:
            break
        texts = {column[row] for column in columns}
        if seen & texts:
            clashed.append(row)
        else:
            batch.append(row)
            seen |= texts
    late.extendleft(reversed(clashed))
    return batch
