"""One raw value of a row -> a text, a group, a label, a class: what it means, in whatever type.

Values come as CSV, JSON, pandas and Arrow write them. What means nothing of the kind is refused,
with its place.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Callable

import numpy as np

from embft.data.names import cut
from embft.errors import DataError

Range = tuple[float, float]
Column = str | int

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+(,[0-9]+)+(\.[0-9]+)?")
_BOOLS = {"true": True, "false": False}
_NESTED = (dict, list, tuple, set)
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def text_of(at: object, column: Column, value: object) -> str:
    """The value as a text. `at` is where it stands. Raises DataError for what is none.

    Whole numbers are texts too, as they are in a CSV file. So are bytes that are UTF-8.
    """
    if isinstance(value, bytes):
        value = _decoded(at, column, value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"{at}, column {column!r}: {cut(value)} is no text; {_why_no_text(value)}")
    if not value.strip():
        raise DataError(
            f"{at}, column {column!r}: the text is empty ({cut(value)}); a text must have at "
            f"least one visible character. Fill it in or remove the line."
        )
    return _storable(at, column, value)


def _why_no_text(value: object) -> str:
    if is_missing(value):
        return "the text is missing. Fill it in or remove the line."
    if isinstance(value, _NESTED):
        return (
            "a row has one text in each column. Write a row for each text, or name its own field."
        )
    if isinstance(value, _DATES):
        return "it is a time. Choose another column, or write it as the text that is meant."
    return "a text must be a non-empty string. Choose another column, or write it in quotes."


def is_missing(value: object) -> bool:
    """Whether this is how pandas, Arrow and JSON write that there is no value."""
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _decoded(at: object, column: Column, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} holds bytes that are not UTF-8, the first at "
            f"byte {error.start + 1}. Write the column as text."
        ) from None


def _storable(at: object, column: Column, value: str) -> str:
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


def group_of(at: object, column: Column, value: object) -> str:
    """The value as the name of a group; a missing one is the group without a name."""
    if is_missing(value):
        return ""
    if isinstance(value, bytes):
        value = _decoded(at, column, value)
    if isinstance(value, _NESTED):
        raise DataError(
            f"{at}, group column {column!r}: {cut(value)} is no single value; allowed: text, "
            f"numbers, true and false. Choose another column."
        )
    return _storable(at, column, str(value))


def class_of(at: object, column: Column, value: object) -> str:
    """The value as the name of a class. Whole numbers are named without a point, in any type."""
    if isinstance(value, bytes):
        value = _decoded(at, column, value)
    if isinstance(value, float | decimal.Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    is_none = isinstance(value, (*_NESTED, float, decimal.Decimal)) or is_missing(value)
    if is_none or not str(value).strip():
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} is no class label; {_why_no_label(value)}"
            f"allowed: texts and whole numbers. Fix or remove the line."
        )
    return _storable(at, column, str(value))


def id_of(at: object, column: Column, value: object) -> str:
    """The value as an id: a text, in which a whole number of any type is named without a point.

    Raises DataError for what is none.
    """
    if isinstance(value, bytes):
        value = _decoded(at, column, value)
    if isinstance(value, float | decimal.Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    is_none = isinstance(value, (*_NESTED, bool, float, decimal.Decimal)) or is_missing(value)
    text = "" if is_none else str(value).strip()
    if not text:
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} is no id; allowed: texts and whole numbers. "
            "Fix or remove the line."
        )
    return _storable(at, column, text)


def number_of(value: object) -> float | bool | None:
    """The number that a label is; a bool where it is true or false; None where it is none."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in _BOOLS:
            return _BOOLS[word.lower()]
        value = float(word) if len(word) < 400 and _NUMBER.fullmatch(word) else None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    numeric = isinstance(value, int | float | decimal.Decimal | np.integer | np.floating)
    try:
        number = float(value) if numeric else math.nan  # type: ignore[arg-type]
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def label_parser(
    given: object, label_range: Range | None
) -> Callable[[object, Column, object], float]:
    """What turns a raw value into a label: 0 or 1, or a number inside the range.

    given: what messages call the files. Raises DataError where the range is none.
    """
    if label_range is not None:
        low, high = label_range
        if not (math.isfinite(low) and math.isfinite(high - low) and low < high):
            raise DataError(
                f"{given}: `data.label_range` is [{low}, {high}]; it must be two finite numbers, "
                f"the lower first."
            )
    allowed = "0 or 1, or numbers with `data.label_range: [low, high]`"
    if label_range is not None:
        allowed = f"finite numbers from {label_range[0]:g} to {label_range[1]:g}"

    def label_of(at: object, column: Column, value: object) -> float:
        number = number_of(value)
        if number is None or (isinstance(number, bool) and label_range not in (None, (0.0, 1.0))):
            raise DataError(
                f"{at}, column {column!r}: {cut(value)} is no label; {_why_no_label(value)}"
                f"allowed: {allowed}. Fix or remove the line."
            )
        if label_range is not None and not label_range[0] <= number <= label_range[1]:
            raise DataError(
                f"{at}, column {column!r}: {cut(value)} lies outside `data.label_range`; allowed: "
                f"{allowed}. Widen the range or fix the line."
            )
        return float(number)

    return label_of


def _why_no_label(value: object) -> str:
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return "the label is missing; "
    if isinstance(value, str) and _COMMA.fullmatch(value.strip()):
        return "numbers have a point, and no comma between thousands; "
    return ""
