"""From the users' files to pairs and splits.

Covers the checks of every value, the scaling of labels, and which file serves which split. The
formats are in `read.py`, the cutting of dev from train in `cut.py`. What is formally right but
bad data is `audit.py`'s matter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embft.data.cut import cut_dev
from embft.data.pairs import Pairs, Splits
from embft.data.read import cut, read_rows
from embft.errors import DataError

__all__ = ["Columns", "build_splits", "cut_dev", "load_pairs"]

Range = tuple[float, float]
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True)
class Columns:
    """The columns' names in the users' file.

    Integers are positions from 0, in a csv or tsv file that has no header; all three must then be
    integers, and group columns are given as digits ("0"). With tabs between the fields quotes have
    no meaning there: the STS benchmark is `Columns(5, 6, 4)`.
    """

    text_1: str | int = "text_1"
    text_2: str | int = "text_2"
    label: str | int = "label"


def load_pairs(
    path: Path,
    columns: Columns,
    groups: Sequence[str] = (),
    label_range: Range | None = None,
) -> Pairs:
    """Every pair of the file, in its order.

    Formats by suffix: .jsonl, .csv, .tsv (each also with .gz) and .parquet. Texts are kept as they
    are. label_range: (low, high), both finite; labels must lie inside and are scaled to [0, 1];
    without it each must be 0 or 1 (true and false count as such). Groups become text, missing
    values "". Raises DataError with file, line and column.
    """
    names = _names(path, columns, groups)
    text_1: list[str] = []
    text_2: list[str] = []
    labels: list[float] = []
    group_values: list[list[str]] = [[] for _ in groups]
    label_of = _label_parser(path, label_range)
    lines: list[int] = []
    for line, (first, second, label, *others) in read_rows(path, names, required=3):
        at = _place(path, line)
        text_1.append(_text(at, names[0], first))
        text_2.append(_text(at, names[1], second))
        labels.append(label_of(at, names[2], label))
        lines.append(line)
        for name, values, value in zip(groups, group_values, others, strict=True):
            values.append(_group(at, name, value))
    if not lines:
        raise DataError(f"{path}: the file holds no pairs; give a file with at least one.")
    pairs = Pairs(text_1, text_2, np.array(labels), dict(zip(groups, group_values, strict=True)))
    if label_range is None:
        _require_binary(path, names[2], pairs, lines)
        return pairs
    low, high = label_range
    # A label at the upper end must not land an ulp above 1.
    scaled = np.clip((pairs.label - low) / (high - low), 0.0, 1.0)
    return Pairs(pairs.text_1, pairs.text_2, scaled, pairs.groups)


def build_splits(  # noqa: PLR0913, PLR0917 - a parameter for each field of the data section
    train: Path,
    dev: Path | None = None,
    test: Path | None = None,
    columns: Columns | None = None,
    groups: Sequence[str] = (),
    label_range: Range | None = None,
    dev_fraction: float = 0.1,
) -> Splits:
    """The three splits. Without `dev` a part of train is set aside; without `test` dev stands in.

    dev_fraction: the share of train that becomes dev where no file is given. Raises DataError,
    also when dev or test is train's own file.
    """
    for name, path in (("dev", dev), ("test", test)):
        if path is not None and _same_file(train, path):
            raise DataError(
                f"{path}: `data.{name}` is the same file as `data.train`; scores on training "
                f"pairs tell nothing. Leave `data.{name}` out, and a part of train is set aside."
            )

    def load(path: Path) -> Pairs:
        return load_pairs(path, columns or Columns(), groups, label_range)

    train_pairs = load(train)
    train_left, dev_pairs = (
        (train_pairs, load(dev)) if dev else cut_dev(train_pairs, dev_fraction, str(train))
    )
    repeats = test is None or (dev is not None and _same_file(dev, test))
    return Splits(
        train_left,
        dev_pairs,
        dev_pairs if test is None or repeats else load(test),
        dev_is_cut=dev is None,
        test_is_dev=repeats,
    )


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False  # the reader says what is wrong with it


def _names(path: Path, columns: Columns, groups: Sequence[str]) -> list[str | int]:
    """The wanted columns: text 1, text 2, label, groups."""
    main = [columns.text_1, columns.text_2, columns.label]
    by_position = [isinstance(column, int) for column in main]
    if len(set(main)) < 3:
        raise DataError(
            f"{path}: `data.columns` names a column twice: text_1 {main[0]!r}, text_2 {main[1]!r}, "
            f"label {main[2]!r}; they must be three columns."
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


def _place(path: Path, line: int) -> str:
    return f"{path}, {'row' if path.suffix.lower() == '.parquet' else 'line'} {line}"


def _text(at: str, column: str | int, value: object) -> str:
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
            f"{error.start + 1}, which is no character; only Unicode text is allowed. Mend the "
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
                f"{at}, column {column!r}: {cut(value)} is no label; allowed: {allowed}. Mend or "
                f"remove the line."
            )
        if label_range is not None and not label_range[0] <= number <= label_range[1]:
            raise DataError(
                f"{at}, column {column!r}: {cut(value)} lies outside `data.label_range`; allowed: "
                f"{allowed}. Widen the range or mend the line."
            )
        return float(number)

    return label_of


def _require_binary(path: Path, column: str | int, pairs: Pairs, lines: Sequence[int]) -> None:
    if pairs.is_binary:
        return
    row = int(np.flatnonzero(~np.isin(pairs.label, (0.0, 1.0)))[0])
    low, high = float(pairs.label.min()), float(pairs.label.max())
    raise DataError(
        f"{_place(path, lines[row])}, column {column!r}: {pairs.label[row]:g} is neither 0 nor 1. "
        f"For graded labels set `data.label_range: [low, high]`, the ends of their scale; this "
        f"file's labels run from {low:g} to {high:g}."
    )
