"""JSON files -> the wanted values of each record, in whichever of its forms the rows were written.

Covers an object on each line, a list of objects, objects laid out over several lines, and columns
(an object with a list or a mapping for each, as pandas writes them).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from embft.data.bytes import LINE_LIMIT, Line, lines
from embft.data.names import Place, as_compared, cut, missing
from embft.errors import DataError

_PART = 65_536  # characters that are read at once where no line is a record
_LOOKED_AT = 200  # records whose names are taken for those of all
_SPACE = " \t\r\n"
_SHAPE = 'such as {"text_1": "…", "text_2": "…", "label": 1}'

Row = tuple[Place, list[object]]
Record = tuple[Place, dict[str, object]]


def json_rows(path: Path, names: Sequence[str], required: int) -> Iterator[Row]:
    """The values under these names in each record.

    The first `required` of them must stand in every record; the others in one at least, and are
    None elsewhere. Raises DataError.
    """
    records = _records(path)
    first = next(records, None)
    if first is None:
        return
    if _holds_columns(first[1], names[:required]):
        second = next(records, None)
        if second is None:
            yield from _columns(path, first[1], names, required)
            return
        records = _chained(second, records)
    seen: set[str] = set()
    for place, record in _chained(first, records):
        seen |= record.keys()
        yield place, [_value(place, record, names, at, required) for at in range(len(names))]
    about = set(map(as_compared, seen))
    for name in names[required:]:
        if as_compared(name) not in about:
            raise missing(path, name, list(seen), names)


def json_columns(path: Path) -> list[str]:
    """The names in the first records, in the order in which they come. Raises DataError."""
    found: dict[str, None] = {}
    for _, record in islice(_records(path), _LOOKED_AT):
        found |= dict.fromkeys(record)
    return list(found)


def _chained(first: Record, others: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from others


def _value(
    place: Place, record: Mapping[str, object], names: Sequence[str], at: int, required: int
) -> object:
    name = names[at]
    if name in record:
        return record[name]
    about = [key for key in record if as_compared(key) == as_compared(name)]
    if len(about) > 1:
        raise DataError(f"{place}: has {name!r} twice ({', '.join(map(repr, about))}); rename one.")
    if about:
        return record[about[0]]
    if at < required:
        raise _missing(place, name, record, names)
    return None


def _missing(
    place: Place, name: str, record: Mapping[str, object], names: Sequence[str]
) -> DataError:
    inner = next((key for key, value in record.items() if _is_list_of_rows(value)), None)
    error = missing(place.path, name, list(record), names, f", {place.unit} {place.number}")
    if inner is None:
        return error
    return DataError(
        f"{error} The rows seem to stand under {inner!r}: write them as JSON lines, in pandas by "
        "`to_json(FILE, orient='records', lines=True)`."
    )


def _is_list_of_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _records(path: Path) -> Iterator[Record]:
    """The objects of the file, with where each stands."""
    found = lines(path)
    first = next((line for line in found if line[1].strip()), None)
    if first is None:
        return
    if not _is_whole_object(first[1]):
        yield from _laid_out(path, first, found)
        return
    yield Place(path, "line", first[0]), _object_of(path, first)
    for line in found:
        if line[1].strip():
            yield Place(path, "line", line[0]), _object_of(path, line)


def _is_whole_object(line: str) -> bool:
    """Whether the line is an object by itself, or at least no part of a larger one."""
    text = line.strip()
    if not text.startswith("{"):
        return not text.startswith("[")
    try:
        _JSON.decode(text)
    except (ValueError, RecursionError):
        return text.endswith("}")  # not whole, but nothing goes on behind it
    return True


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} occurs twice")
    return record


# Made once: `json.loads` makes one for each line, which takes longer than reading the line.
_JSON = json.JSONDecoder(object_pairs_hook=_object)


def _object_of(path: Path, line: Line) -> dict[str, object]:
    number, text = line
    try:
        # What `json.loads` says of a byte order mark is worth keeping.
        record = json.loads(text) if text.startswith("\ufeff") else _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}, line {number}: not a JSON object: {error}; the line is {cut(text.strip())}. "
            f"Each line must be one complete object, {_SHAPE}."
        ) from None
    return _checked(f"{path}, line {number}", record)


def _checked(place: object, record: Any) -> dict[str, object]:
    if not isinstance(record, dict):
        raise DataError(
            f"{place}: {cut(record)} is JSON but no object; each row must be one object, {_SHAPE}."
        )
    return record


def _laid_out(path: Path, first: Line, others: Iterator[Line]) -> Iterator[Record]:
    """The objects of a list, or one after another, however they are broken into lines."""
    text = _Text(first, others)
    text.skip(_SPACE)
    in_list = text.take("[")
    number = 0
    while text.skip(_SPACE) and not (in_list and text.take("]")):
        number += 1
        if in_list and number > 1 and not text.take(","):
            raise _broken(path, text, number, "a comma is missing")
        text.skip(_SPACE)
        line = text.line
        record = text.value(path, number)
        yield (
            Place(path, "record", number),
            _checked(f"{path}, record {number} (line {line})", record),
        )
        if not in_list and text.skip(_SPACE) and text.take(","):
            raise _broken(path, text, number, "a comma stands between objects, but no [ before")
    if in_list and text.last != "]":
        raise _broken(path, text, number, "the closing ] is missing")
    if in_list and text.skip(_SPACE):
        raise _broken(path, text, number, "something follows the closing ]")


def _broken(path: Path, text: _Text, number: int, reason: str) -> DataError:
    return DataError(
        f"{path}, record {number} (line {text.line}): not a JSON object: {reason}. The file must "
        f"be a list of complete objects, or one object on each line, {_SHAPE}."
    )


class _Text:
    """Text that is read on as far as it is needed, with the line that one has come to."""

    def __init__(self, first: Line, others: Iterator[Line]) -> None:
        self.line, self._text = first
        self._others, self._place, self.last = others, 0, ""

    def skip(self, characters: str) -> bool:
        """Go past these characters. Returns whether anything is left."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in characters:
                self.line += self._text[self._place] == "\n"
                self._place += 1
            if self._place < len(self._text) or not self._read(1):
                return self._place < len(self._text)

    def take(self, character: str) -> bool:
        """Go past this character, if it is the next one."""
        found = self._text.startswith(character, self._place)
        self._place += found
        self.last = character if found else self.last
        return found

    def value(self, path: Path, number: int) -> object:
        """The value that begins here. Raises DataError."""
        while True:
            try:
                found, end = _JSON.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                # It may only be that the value goes on: twice as much is read each time.
                left = len(self._text) - self._place
                is_recursion = isinstance(error, RecursionError)
                if is_recursion or left > LINE_LIMIT or not self._read(max(left, _PART)):
                    raise _broken(path, self, number, str(error)) from None
                continue
            self.line += self._text.count("\n", self._place, end)
            self._place = end
            return found

    def _read(self, count: int) -> bool:
        """Read about so many characters more. Returns whether there were any."""
        parts, size = [self._text[self._place :]], 0
        for _, line in self._others:
            parts.append(line)
            size += len(line)
            if size >= count:
                break
        self._text, self._place = "".join(parts), 0
        return size > 0


def _holds_columns(record: Mapping[str, object], names: Sequence[str]) -> bool:
    found = {as_compared(key): value for key, value in record.items()}
    values = [found.get(as_compared(name)) for name in names]
    return all(isinstance(value, dict) for value in values) or all(
        isinstance(value, list) for value in values
    )


def _columns(
    path: Path, record: Mapping[str, object], names: Sequence[str], required: int
) -> Iterator[Row]:
    """The rows of one object that holds a column under each name."""
    place = Place(path, "record", 1)
    columns = []
    for at, name in enumerate(names):
        column = _value(place, record, names, at, required)
        if column is None:
            raise missing(path, name, list(record), names)
        columns.append(column)
    if any(type(column) is not type(columns[0]) for column in columns):
        raise DataError(f"{path}: its columns are lists and mappings mixed; write one row a line.")
    if isinstance(columns[0], dict):
        order = list(columns[0])
        columns = [_in_order(path, column, order) for column in columns]  # type: ignore[arg-type]
    lengths = {len(column) for column in columns}  # type: ignore[arg-type]
    if len(lengths) > 1:
        raise DataError(
            f"{path}: its columns have {sorted(lengths)} values: its rows cannot be known."
        )
    for number, values in enumerate(zip(*columns, strict=True), 1):
        yield Place(path, "row", number), list(values)


def _in_order(path: Path, column: Mapping[str, object], order: Sequence[str]) -> list[object]:
    if column.keys() != set(order):
        raise DataError(f"{path}: its columns name different rows; write one row a line.")
    return [column[index] for index in order]
