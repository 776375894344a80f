"""What columns the user's files have, and what stands in each: for whoever has not named them yet.

Reads every row once and keeps little of it. Which column is which is for `recognise.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embft.data.arrow_rows import arrow_columns
from embft.data.bytes import content_kind
from embft.data.delimited import delimited_columns
from embft.data.files import DataFiles, Given, suffix_of
from embft.data.json_rows import json_columns
from embft.data.read import JSON_SUFFIXES, read_rows
from embft.data.values import is_missing, number_of
from embft.errors import DataError

_MOST_WORDS = 2000  # different values that are counted; a column with more has no classes
_SAMPLE = 400  # texts that are kept of each column


@dataclass
class Column:
    """A column as its rows show it. numbers: how many values are numbers. words: how often each
    value comes, None where there are too many. sample: the first texts. length: characters of all.
    """

    name: str | int
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    whole: bool = True
    low: float = 0.0
    high: float = 0.0
    nested: int = 0
    length: int = 0
    words: Counter[str] | None = field(default_factory=Counter)
    sample: list[str] = field(default_factory=list)

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.rows - self.missing

    @property
    def is_numeric(self) -> bool:
        """Whether all of its values are numbers, true or false."""
        return 0 < self.filled == self.numbers

    @property
    def is_text(self) -> bool:
        """Whether each row has a text."""
        return self.rows > 0 and self.missing == self.nested == 0 and not self.is_numeric

    @property
    def mean_length(self) -> float:
        """Characters of a value."""
        return self.length / max(1, self.filled)

    @property
    def distinct(self) -> int:
        """Different values, as far as they are counted."""
        return _MOST_WORDS + 1 if self.words is None else len(self.words)

    def add(self, value: object) -> None:
        """Count the value of one more row."""
        self.rows += 1
        if is_missing(value) or value == "":
            self.missing += 1
        elif isinstance(value, list | dict | tuple):
            self.nested += 1
        else:
            self._add_number(number_of(value))
            self._add_text(str(value))

    def _add_number(self, number: float | bool | None) -> None:
        if number is None:
            return
        value = float(number)
        first = self.numbers == 0
        self.low = value if first else min(self.low, value)
        self.high = value if first else max(self.high, value)
        self.whole &= value.is_integer()
        self.numbers += 1

    def _add_text(self, text: str) -> None:
        self.length += len(text)
        if len(self.sample) < _SAMPLE:
            self.sample.append(text)
        if self.words is not None:
            self.words[text] += 1
            if len(self.words) > _MOST_WORDS:
                self.words = None


@dataclass(frozen=True)
class Table:
    """The files of one set, and their columns."""

    path: str
    rows: int
    columns: tuple[Column, ...]

    @property
    def has_header(self) -> bool:
        """Whether the columns have names."""
        return not any(isinstance(column.name, int) for column in self.columns)

    def __getitem__(self, name: str | int) -> Column:
        return next(column for column in self.columns if column.name == name)


def read_table(given: Given, known: Sequence[str] = ()) -> Table:
    """The columns of these files, every row counted. known: names that columns have.

    Raises DataError.
    """
    files = DataFiles(given)
    names = _names(files, known)
    columns = tuple(map(Column, names))
    rows = 0
    for _, values in read_rows(files, names, required=0):
        rows += 1
        for column, value in zip(columns, values, strict=True):
            column.add(value)
    if not rows:
        raise DataError(f"{files}: the file holds no rows; give a file with at least one.")
    return Table(str(given), rows, columns)


def _names(files: DataFiles, known: Sequence[str]) -> Sequence[str | int]:
    """The columns of the first file, and those that its folders' names add."""
    first = next(iter(files.files))
    own = column_names(first.path, known)
    return [*own, *(name for name in first.columns if name not in own)]


def column_names(path: Path, known: Sequence[str] = ()) -> list[str | int]:
    """The names of a file's columns, or their positions where it has no header."""
    kind = content_kind(path)
    if kind != "text":
        return [*arrow_columns(path, kind)]
    if suffix_of(path) in JSON_SUFFIXES:
        return [*json_columns(path)]
    return [*delimited_columns(path, known)]
