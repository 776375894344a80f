"""From the users' files to pairs.

Covers the checks of every value and the scaling of labels. The formats are in `read.py`, which file
serves which split is in `splits.py`. What is formally right but bad data is the audit's matter.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embft.data.column import GrowingColumns
from embft.data.pairs import Pairs
from embft.data.read import cut, read_rows
from embft.errors import DataError

Range = tuple[float, float]
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True)
class Columns:
    """The columns' names in the users' file.

    Without a label the rows are positives, and with a `text_3` (the hard negative) they are
    triplets, which have no label. Integers are positions from 0, in a csv or tsv file that has no
    header; all must then be integers, and group columns are given as digits ("0"). With tabs
    between the fields quotes have no meaning there: the STS benchmark is `Columns(5, 6, 4)`.
    """

    text_1: str | int = "text_1"
    text_2: str | int = "text_2"
    label: str | int | None = "label"
    text_3: str | int | None = None

    def __post_init__(self) -> None:
        if self.text_3 is not None and self.label is not None:
            raise ValueError("triplets have no label")

    @property
    def texts(self) -> dict[str, str | int]:
        """The columns of texts under our names: two, or three of triplets."""
        third = {} if self.text_3 is None else {"text_3": self.text_3}
        return {"text_1": self.text_1, "text_2": self.text_2, **third}


@dataclass(frozen=True)
class PairFile:
    """A file of pairs and how it is to be read; see `load_pairs`."""

    path: Path
    columns: Columns = Columns()
    groups: Sequence[str] = ()
    label_range: Range | None = None

    def load(self) -> Pairs:
        """Every pair of the file. Raises DataError."""
        return load_pairs(self.path, self.columns, self.groups, self.label_range)


def load_pairs(
    path: Path,
    columns: Columns,
    groups: Sequence[str] = (),
    label_range: Range | None = None,
) -> Pairs:
    """Every pair or triplet of the file, in its order.

    Formats by suffix: .jsonl, .csv, .tsv (each also with .gz) and .parquet. Texts are kept as they
    are. label_range: (low, high), both finite; labels must lie inside and are scaled to [0, 1];
    without it each must be 0 or 1 (true and false count as such); it says nothing of files without
    labels. Groups become text, missing values "". Raises DataError with file, line and column.
    """
    names = _names(path, columns, groups)
    count = len(columns.texts)
    kept, labels, graded_line = GrowingColumns(count + len(groups)), array("d"), 0
    label_of = _label_parser(path, label_range)
    line = 0
    for line, values in read_rows(path, names, required=len(names) - len(groups)):
        at = place_of(path, line)
        row = [text_of(at, name, value) for name, value in zip(names[:count], values, strict=False)]
        if columns.label is not None:
            label = label_of(at, columns.label, values[count])
            labels.append(label)
            if not graded_line and label not in (0.0, 1.0):
                graded_line = line
        others = values[len(names) - len(groups) :]
        row += [_group(at, name, value) for name, value in zip(groups, others, strict=True)]
        kept.append(row)
    if not line:
        raise DataError(f"{path}: the file holds no pairs; give a file with at least one.")
    first, second, *rest = kept.finished()
    third = rest.pop(0) if count == 3 else None
    by_group = dict(zip(groups, rest, strict=True))
    if columns.label is None:
        return Pairs.unlabelled(first, second, third, by_group)
    pairs = Pairs(first, second, np.array(labels), by_group)
    if label_range is None:
        if graded_line:
            raise _graded(place_of(path, graded_line), columns.label, pairs.label)
        return pairs
    low, high = label_range
    # A label at the upper end must not land an ulp above 1.
    scaled = np.clip((pairs.label - low) / (high - low), 0.0, 1.0)
    return Pairs(pairs.text_1, pairs.text_2, scaled, pairs.groups)


def _names(path: Path, columns: Columns, groups: Sequence[str]) -> list[str | int]:
    """The wanted columns: texts, label if there is one, groups."""
    label = {} if columns.label is None else {"label": columns.label}
    named = {**columns.texts, **label}
    main = list(named.values())
    by_position = [isinstance(column, int) for column in main]
    if len(set(main)) < len(main):
        given = ", ".join(f"{name} {column!r}" for name, column in named.items())
        raise DataError(
            f"{path}: `data.columns` names a column twice: {given}; they must be {len(main)} "
            f"different columns."
        )
    if not any(by_position):
        return [*main, *groups]
    wrong = [column for column in main if not isinstance(column, int) or column < 0]
    wrong += [name for name in groups if not (name.isascii() and name.isdigit())]
    if wrong:
        raise DataError(
            f"{path}: `data.columns` gives positions (a file without a header), so {wrong[0]!r} "
            f"must be a position too, counted from 0; groups are written as digits, such as '0'."
        )
    return [*main, *(int(name) for name in groups)]


def place_of(path: Path, line: int) -> str:
    """A line or row of a file, as messages name it."""
    return f"{path}, {'row' if path.suffix.lower() == '.parquet' else 'line'} {line}"


def text_of(at: str, column: str | int, value: object) -> str:
    """The value as a text, if it is one. `at` is where it stands. Raises DataError."""
    if not isinstance(value, str):
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} is no text; a text must be a non-empty "
            f"string. Write it in quotes, or remove the line."
        )
    if not value.strip():
        raise DataError(
            f"{at}, column {column!r}: the text is empty ({cut(value)}); a text must have at "
            f"least one visible character. Fill it in or remove the line."
        )
    return _storable(at, column, value)


def _storable(at: str, column: str | int, value: str) -> str:
    """The text itself, if it can be written as UTF-8 and holds no NUL."""
    if value.isascii() and "\0" not in value:
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} holds half a surrogate pair at character "
            f"{error.start + 1}, which is no character; only Unicode text is allowed. Fix the "
            f"escape (\\udXXX)."
        ) from None
    if "\0" in value:
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} holds a NUL character; only text is allowed. "
            f"Remove it."
        )
    return value


def _group(at: str, column: str, value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, dict | list | bytes):
        raise DataError(
            f"{at}, group column {column!r}: {cut(value)} is no single value; allowed: text, "
            f"numbers, true and false. Choose another column."
        )
    return _storable(at, column, str(value))


def _number(value: object) -> float | bool | None:
    """The number a label is, or None."""
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in _BOOLS:
            return _BOOLS[word.lower()]
        value = float(word) if len(word) < 400 and _NUMBER.fullmatch(word) else None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    try:
        number = float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _label_parser(
    path: Path, label_range: Range | None
) -> Callable[[str, str | int, object], float]:
    if label_range is not None:
        low, high = label_range
        if not (math.isfinite(low) and math.isfinite(high - low) and low < high):
            raise DataError(
                f"{path}: `data.label_range` is [{low}, {high}]; it must be two finite numbers, "
                f"the lower first."
            )

    def label_of(at: str, column: str | int, value: object) -> float:
        number = _number(value)
        allowed = "0 or 1, or numbers with `data.label_range: [low, high]`"
        if label_range is not None:
            allowed = f"finite numbers from {label_range[0]:g} to {label_range[1]:g}"
        if number is None or (isinstance(number, bool) and label_range not in (None, (0.0, 1.0))):
            raise DataError(
                f"{at}, column {column!r}: {cut(value)} is no label; allowed: {allowed}. Fix or "
                f"remove the line."
            )
        if label_range is not None and not label_range[0] <= number <= label_range[1]:
            raise DataError(
                f"{at}, column {column!r}: {cut(value)} lies outside `data.label_range`; allowed: "
                f"{allowed}. Widen the range or fix the line."
            )
        return float(number)

    return label_of


def _graded(at: str, column: str | int, label: npt.NDArray[np.float64]) -> DataError:
    """The error for labels of which the one at this place is the first that is not binary."""
    first = label[~np.isin(label, (0.0, 1.0))][0]
    return DataError(
        f"{at}, column {column!r}: {first:g} is neither 0 nor 1."
        f" For graded labels set `data.label_range: [low, high]`, the ends of their scale; this "
        f"file's labels run from {label.min():g} to {label.max():g}."
    )
