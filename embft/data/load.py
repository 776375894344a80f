"""From the users' files to pairs.

Covers which columns make a pair, and the scaling of labels. The formats are in `read.py`, single
values in `values.py`; which files serve which split is in `splits.py`. What is formally right but
bad data is the audit's matter.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from embft.data.column import GrowingColumns
from embft.data.files import DataFiles, Given
from embft.data.names import Place
from embft.data.negatives import GrowingNegatives
from embft.data.origin import Origins
from embft.data.pairs import Pairs
from embft.data.read import read_rows
from embft.data.values import Range, group_of, label_parser, text_of
from embft.errors import DataError


@dataclass(frozen=True)
class Columns:
    """The columns' names in the users' file.

    Without a label the rows are positives, and with `negatives` they are triplets, which have no
    label: a column for each hard negative of a row, or one that holds lists. Integers are positions
    from 0, in a csv or tsv file that has no header; all must then be integers, and group columns
    are given as digits ("0"). The STS benchmark is `Columns(5, 6, 4)`.
    """

    text_1: str | int = "text_1"
    text_2: str | int = "text_2"
    label: str | int | None = "label"
    negatives: Sequence[str | int] = ()

    def __post_init__(self) -> None:
        if self.negatives and self.label is not None:
            raise ValueError("triplets have no label")

    @property
    def named(self) -> dict[str, str | int]:
        """The columns under our names: texts, label if there is one, negatives."""
        label = {} if self.label is None else {"label": self.label}
        negatives = {f"negatives[{i}]": name for i, name in enumerate(self.negatives)}
        return {"text_1": self.text_1, "text_2": self.text_2, **label, **negatives}

    @property
    def required(self) -> int:
        """How many of these must stand in every row: of several negatives one may lack some."""
        return len(self.named) - (len(self.negatives) if len(self.negatives) > 1 else 0)


@dataclass(frozen=True)
class PairFile:
    """A file of pairs, or several that are one set, and how they are read; see `load_pairs`."""

    path: Given
    columns: Columns = Columns()
    groups: Sequence[str] = ()
    label_range: Range | None = None

    @property
    def files(self) -> DataFiles:
        """The files that the pairs are read from."""
        return DataFiles(self.path)

    def load(self) -> Pairs:
        """Every pair of the files. Raises DataError."""
        return load_pairs(self.path, self.columns, self.groups, self.label_range)


def load_pairs(
    path: Given,
    columns: Columns,
    groups: Sequence[str] = (),
    label_range: Range | None = None,
) -> Pairs:
    """Every pair or triplet of the file, in its order; of several files one after another.

    Texts are kept as they are. Of negatives see `data/negatives.py`. label_range: (low, high), both
    finite; labels must lie inside and are scaled to [0, 1]; without it each must be 0 or 1 (true
    and false count as such); it says nothing of files without labels. Groups become text, missing
    values "". Raises DataError with file, line and column.
    """
    files = DataFiles(path)
    names = _names(files, columns, groups)
    others = len(names) - len(groups)
    kept, origins, labels = GrowingColumns(2 + len(groups)), Origins(), array("d")
    label_of, graded = label_parser(files, label_range), None
    negatives = GrowingNegatives(columns.negatives)
    for place, values in read_rows(files, names, columns.required):
        row = [text_of(place, name, values[i]) for i, name in enumerate(names[:2])]
        row += [group_of(place, name, values[i]) for i, name in enumerate(groups, others)]
        if columns.label is not None:
            label = label_of(place, columns.label, values[2])
            labels.append(label)
            graded = place if graded is None and label not in (0.0, 1.0) else graded
        elif columns.negatives:
            negatives.append(place, values[2:others])
        kept.append(row)
        origins.append(place)
    if not len(origins):
        raise DataError(f"{files}: the file holds no pairs; give a file with at least one.")
    first, second, *rest = kept.finished()
    by_group, origin = dict(zip(groups, rest, strict=True)), origins.finished()
    if columns.label is None:
        own = negatives.finished()
        return replace(Pairs.unlabelled(first, second, own, by_group), origin=origin)
    found = np.array(labels)
    if label_range is None and graded is not None:
        raise _graded(graded, columns.label, found)
    scaled = _scaled(found, label_range)
    return Pairs(first, second, scaled, by_group, origin=origin, scale=label_range)


def _scaled(label: npt.NDArray[np.float64], label_range: Range | None) -> npt.NDArray[np.float64]:
    """Labels (n,) of a range on the scale from 0 to 1."""
    if label_range is None:
        return label
    low, high = label_range
    # A label at the upper end must not land an ulp above 1.
    return np.asarray(np.clip((label - low) / (high - low), 0.0, 1.0))


def _names(files: DataFiles, columns: Columns, groups: Sequence[str]) -> list[str | int]:
    """The wanted columns: texts, label if there is one, negatives, groups."""
    named = columns.named
    main = list(named.values())
    by_position = [isinstance(column, int) for column in main]
    if len(set(main)) < len(main):
        given = ", ".join(f"{name} {column!r}" for name, column in named.items())
        raise DataError(
            f"{files}: `data.columns` names a column twice: {given}; they must be {len(main)} "
            f"different columns."
        )
    if not any(by_position):
        return [*main, *groups]
    wrong = [column for column in main if not isinstance(column, int) or column < 0]
    wrong += [name for name in groups if not (name.isascii() and name.isdigit())]
    if wrong:
        raise DataError(
            f"{files}: `data.columns` gives positions (a file without a header), so {wrong[0]!r} "
            f"must be a position too, counted from 0; groups are written as digits, such as '0'."
        )
    return [*main, *(int(name) for name in groups)]


def _graded(at: Place, column: str | int, label: npt.NDArray[np.float64]) -> DataError:
    """The error for labels of which the one at this place is the first that is not binary."""
    first = label[~np.isin(label, (0.0, 1.0))][0]
    return DataError(
        f"{at}, column {column!r}: {first:g} is neither 0 nor 1."
        f" For graded labels set `data.label_range: [low, high]`, the ends of their scale; this "
        f"file's labels run from {label.min():g} to {label.max():g}."
    )
