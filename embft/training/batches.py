"""Which rows share a batch.

An epoch's order depends on seed and epoch alone, so that a resumed trial sees the same batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch

from embft.data.pairs import Pairs
from embft.spec import TrainSpec

Batch = list[int]


class Batches:
    """The batches of each epoch, counted from 1."""

    def __init__(self, pairs: Pairs, spec: TrainSpec, seed: int) -> None:
        self.columns, self.size, self.seed = pairs.columns, spec.batch_size, seed
        self.count = len(pairs)
        self.avoid_duplicates = spec.avoids_duplicates

    def of(self, epoch: int) -> list[Batch]:
        """The batches of one epoch: every row once."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        if self.avoid_duplicates:
            return without_duplicates(order, self.columns, self.size)
        return [order[i : i + self.size] for i in range(0, self.count, self.size)]

    def steps(self, epochs: int) -> int:
        """How many batches that many epochs have."""
        if not self.avoid_duplicates:
            return epochs * -(-self.count // self.size)
        return sum(len(self.of(epoch)) for epoch in range(1, epochs + 1))


def without_duplicates(
    order: Sequence[int], columns: Sequence[Sequence[str]], size: int
) -> list[Batch]:
    """Batches in which no text stands in two rows; rows that clash wait for the next batch."""
    batches: list[Batch] = []
    stream, late = iter(order), deque[int]()
    while batch := _fill(stream, late, columns, size):
        batches.append(batch)
    return batches


def _fill(
    stream: Iterator[int], late: deque[int], columns: Sequence[Sequence[str]], size: int
) -> Batch:
    """The next batch, from the rows that were put off and then from the stream."""
    batch, seen, clashed = Batch(), set[str](), Batch()
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
