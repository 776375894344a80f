"""Which source serves which split.

Covers what stands in for a split that is not given. Dev and test are there for the metrics of
pairs, so that positives and triplets become labelled pairs in them (`shapes.py` says how); train
keeps its shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from embft.data.dev_split import split_dev
from embft.data.files import DataFiles
from embft.data.pairs import Pairs, Splits
from embft.data.shapes import as_labelled
from embft.errors import DataError


class Source(Protocol):
    """A file, or several that are one set, and how they become pairs."""

    @property
    def files(self) -> DataFiles:
        """The files that the split is read from."""

    def load(self) -> Pairs:
        """Read its pairs. Raises DataError where the files are at fault."""


def build_splits(
    train: Source,
    dev: Source | None = None,
    test: Source | None = None,
    *,
    dev_fraction: float = 0.1,
) -> Splits:
    """The three splits. Without `dev` a part of train is set aside; without `test` dev stands in.

    dev_fraction: the share of train that becomes dev where no file is given. Raises DataError, also
    when dev or test is train's own file.
    """
    for name, other in (("dev", dev), ("test", test)):
        shared = train.files.shared_with(other.files) if other is not None else None
        if shared is not None:
            raise DataError(
                f"{shared}: `data.{name}` is the same file as `data.train`; scores on training "
                f"pairs tell nothing. Leave `data.{name}` out, and a part of train is set aside."
            )
    train_pairs = train.load()
    train_left, dev_pairs = (
        (train_pairs, dev.load()) if dev else split_dev(train_pairs, dev_fraction, str(train.files))
    )
    repeats = test is None or (dev is not None and _same(dev, test))
    judged = as_labelled(dev_pairs)
    return Splits(
        train_left,
        judged,
        judged if test is None or repeats else as_labelled(test.load()),
        dev_is_cut=dev is None,
        test_is_dev=repeats,
    )


def with_files(made: Splits, dev: Source | None, test: Source | None) -> Splits:
    """The same splits, with the dev and test of these files instead where there are any."""
    if dev is not None:
        made = replace(made, dev=as_labelled(dev.load()), dev_is_cut=False)
    return made if test is None else replace(made, test=as_labelled(test.load()))


def _same(dev: Source, test: Source) -> bool:
    """Whether both are the same files. Raises DataError where they have only some in common."""
    shared = dev.files.shared_with(test.files)
    if shared is None:
        return False
    if [f.path.resolve() for f in dev.files.files] != [f.path.resolve() for f in test.files.files]:
        raise DataError(
            f"{shared}: this file is in `data.dev` and in `data.test`, which have other files "
            "besides: what is chosen on its pairs would be reported on them. Give it to one."
        )
    return True
