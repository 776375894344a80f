"""Which source serves which split.

Covers what stands in for a split that is not given. Dev and test are there for the metrics of
pairs, so that positives and triplets become labelled pairs in them (`shapes.py` says how); train
keeps its shape unless another is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from embft.data.cut import cut_dev
from embft.data.pairs import Pairs, Shape, Splits
from embft.data.shapes import as_labelled, to_shape
from embft.errors import DataError


class Source(Protocol):
    """A file, and how it becomes pairs."""

    @property
    def path(self) -> Path:
        """The file."""

    def load(self) -> Pairs:
        """Its pairs. Raises DataError."""


def build_splits(
    train: Source,
    dev: Source | None = None,
    test: Source | None = None,
    *,
    dev_fraction: float = 0.1,
    shape: Shape | None = None,
) -> Splits:
    """The three splits. Without `dev` a part of train is set aside; without `test` dev stands in.

    dev_fraction: the share of train that becomes dev where no file is given. shape: what train is
    turned into. Raises DataError, also when dev or test is train's own file.
    """
    for name, other in (("dev", dev), ("test", test)):
        if other is not None and _same_file(train.path, other.path):
            raise DataError(
                f"{other.path}: `data.{name}` is the same file as `data.train`; scores on training "
                f"pairs tell nothing. Leave `data.{name}` out, and a part of train is set aside."
            )
    train_pairs, name = train.load(), str(train.path)
    train_left, dev_pairs = (
        (train_pairs, dev.load()) if dev else cut_dev(train_pairs, dev_fraction, name)
    )
    repeats = test is None or (dev is not None and _same_file(dev.path, test.path))
    judged = as_labelled(dev_pairs)
    return Splits(
        train_left if shape is None else to_shape(train_left, shape, name),
        judged,
        judged if test is None or repeats else as_labelled(test.load()),
        dev_is_cut=dev is None,
        test_is_dev=repeats,
    )


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False  # the reader says what is wrong with it
