"""CSV and TSV files -> rows of texts, with the line that each begins on.

What separates fields and whether quotes are syntax is decided by the whole file, with a header or
without one: where tabs separate, many files are written without quoting, and a quote in a text is a
character like any other.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from embft.data.bytes import Line, holds, lines
from embft.data.files import suffix_of
from embft.data.names import as_compared, cut, find_columns
from embft.errors import DataError

FIELD_LIMIT = 64 * 2**20
"""Longest field of a CSV file, in characters; beyond it a missing quote is more likely."""

_MARKS = ("\t", ",", ";", "|")
_FIRST_LIMIT = 2**20
_FIRST_MARK = {".tsv": "\t", ".tab": "\t"}
# A line by which Excel tells the separator.
_SAYS_MARK = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_BREAKS = "\r\n"
# Of a file whose columns nobody has named: rows that are looked at, and how long a name may be.
_LOOKED_AT = 200
_LONGEST_NAME, _WORDS_OF_A_NAME = 40, 3

Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Form:
    """How a file is written. quotes: what they mean; `none`: characters like any other."""

    mark: str
    quotes: Literal["doubled", "backslash", "none"]


def delimited_rows(path: Path, wanted: Sequence[str | int]) -> Iterator[tuple[int, list[str]]]:
    """The wanted columns of each row, by name, or by position in a file that has no header.

    Raises DataError.
    """
    first = _first_record(path)
    if not first:
        return
    mark = _mark(path, first, wanted)
    form = Form(mark, _quotes(path, mark))
    rows = _records(path, form)
    positions = [column for column in wanted if isinstance(column, int)]
    if positions:
        yield from _by_position(path, rows, form, positions)
    else:
        yield from _by_name(path, rows, form, [str(column) for column in wanted])


def delimited_columns(path: Path, known: Sequence[str] = ()) -> list[str] | list[int]:
    """The names in the header, or the positions of the columns that every row has, where the first
    line is a row like the others. known: names that a header has. Raises DataError.
    """
    first = _first_record(path)
    if not first:
        return []
    said = _SAYS_MARK.fullmatch(next(lines(path))[1])
    own = said[1] if said else _FIRST_MARK.get(suffix_of(path), ",")
    marks = (own,) if said else (own, *(mark for mark in _MARKS if mark != own))
    head, *others = max((_looked_at(path, mark) for mark in marks), key=_narrowest)
    named = {as_compared(name) for name in known if not name.isdigit()}
    if not (named & set(map(as_compared, head)) or is_header(head, others)):
        return list(range(_narrowest([head, *others])))
    while head and not head[-1].strip():
        head.pop()  # each line may end with a separator
    return head


def _looked_at(path: Path, mark: str) -> list[list[str]]:
    """The first rows, if this separates their fields; a row without any where it cannot."""
    try:
        found = [
            row for _, row in islice(_records(path, Form(mark, _quotes(path, mark))), _LOOKED_AT)
        ]
    except DataError:
        return [[]]
    return found or [[]]


def _narrowest(rows: Sequence[Sequence[str]]) -> int:
    return min(map(len, rows))


def is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether a file's first row names its columns.

    It does not where a number stands in it, where a field of it comes again in its column, or where
    its fields are as long as texts; unless a column has numbers below it alone.
    """
    names = [name.strip() for name in first]
    if not any(names) or any(_is_number(name) for name in names):
        return False
    columns = list(
        zip(*(row[: len(first)] for row in others if len(row) >= len(first)), strict=True)
    )
    if any(values and all(map(_is_number, values)) for values in columns):
        return True
    if any(name in values for name, values in zip(names, columns, strict=False)):
        return False
    return all(
        len(name) <= _LONGEST_NAME and len(name.split()) <= _WORDS_OF_A_NAME for name in names
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_name(path: Path, rows: Iterator[Row], form: Form, wanted: list[str]) -> Iterator[Row]:
    _, header = next(rows, (1, []))
    while header and not header[-1].strip():
        header.pop()  # each line may end with a separator
    places = find_columns(path, wanted, header)
    for line, row in rows:
        if len(row) < len(header) or any(map(str.strip, row[len(header) :])):
            raise DataError(
                f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; the "
                f"row begins {cut(row[0])}. {_advice(form)}"
            )
        yield line, [row[place] for place in places]


def _by_position(path: Path, rows: Iterator[Row], form: Form, wanted: list[int]) -> Iterator[Row]:
    """Where tabs separate, fields beyond the wanted ones do not matter: some files have more of
    them in some rows. Where commas do, another number of fields is a text that is not quoted.
    """
    width = None
    for line, row in rows:
        width = width or len(row)
        ragged = form.mark != "\t" and (len(row) < width or any(map(str.strip, row[width:])))
        short = len(row) <= max(wanted)
        if short or ragged:
            raise DataError(
                f"{path}, line {line}: {len(row)} fields, but "
                + (f"column {max(wanted)} is wanted" if short else f"the first line has {width}")
                + f" (positions count from 0); the row begins {cut(row[0])}. Fields are separated "
                f"by {form.mark!r}; fix the line or `data.columns`. {_advice(form)}"
            )
        yield line, [row[place] for place in wanted]


def _advice(form: Form) -> str:
    if form.quotes == "none":
        return (
            f"Quotes are characters in this file, for some stand inside texts: a text that holds "
            f"{form.mark!r} cannot stand in it; write the file with quoting, or as JSON lines."
        )
    return f"A text that holds {form.mark!r} must stand in double quotes."


def _lines(path: Path) -> Iterator[Line]:
    """The lines without one by which Excel tells the separator."""
    found = lines(path)
    first = next(found, None)
    if first is not None:
        yield from found if _SAYS_MARK.fullmatch(first[1]) else chain([first], found)


def _first_record(path: Path) -> str:
    """The first line that is not blank, and those that a quote may join to it."""
    record = ""
    for _, line in _lines(path):
        record += line if record or line.strip() else ""
        if record and (record.count('"') % 2 == 0 or len(record) > _FIRST_LIMIT):
            break
    return record


def _mark(path: Path, first: str, wanted: Sequence[str | int]) -> str:
    """What separates the fields: what the first line fits, the suffix's own mark before others."""
    said = _SAYS_MARK.fullmatch(next(lines(path))[1])
    own = said[1] if said else _FIRST_MARK.get(suffix_of(path), ",")
    marks = (own,) if said else (own, *(mark for mark in _MARKS if mark != own))
    positions = [column for column in wanted if isinstance(column, int)]
    if positions:
        most = max(positions)
        # Where there are tabs enough, a comma is part of a text.
        if first.partition("\n")[0].count("\t") >= max(most, 1):
            return "\t"
        return next((mark for mark in marks if len(_split(first, mark)) > most), own)
    names = {as_compared(str(column)) for column in wanted}
    fitting = {mark: len(names & set(map(as_compared, _split(first, mark)))) for mark in marks}
    return max(marks, key=lambda mark: (fitting[mark], mark == own))


def _split(line: str, mark: str) -> list[str]:
    with suppress(csv.Error):
        return next(csv.reader(io.StringIO(line, newline=""), delimiter=mark, strict=True), [])
    return []


def _quotes(path: Path, mark: str) -> Literal["doubled", "backslash", "none"]:
    """What quotes mean in the whole file."""
    quoted, escaped = holds(path, b'"', b'\\"')
    if mark == "\t" and (not quoted or not _written_with_quotes(path, mark)):
        return "none"
    if escaped and _count(path, Form(mark, "backslash")) > _count(path, Form(mark, "doubled")):
        return "backslash"
    return "doubled"


def _count(path: Path, form: Form) -> int:
    """How many rows there are if the file is so written; 0 if it cannot be."""
    try:
        widths = Counter(len(row) for _, row in _records(path, form))
    except DataError:
        return 0
    return widths.total() if len(widths) == 1 else 0


def _written_with_quotes(path: Path, mark: str) -> bool:
    """Whether a program can have written this file that quotes texts where it must, or a whole
    column: then its quotes are syntax.

    Such a program puts every text that holds a quote in quotes, doubles the quotes in it, and has
    no reason to break a row where a row of full width ends.
    """
    field = re.compile(rf'"((?:[^"]|"")*)"|[^"{mark}]*')
    columns: list[Counter[str]] = []
    commas = False  # some programs quote texts with commas too
    width = None
    for start, record in _balanced(path):
        fields = _fields(record, field, mark)
        if fields is None:
            return False
        width = width or len(fields)
        whole = [line.count(mark) + 1 == width for line in record.split("\n")]
        if len(whole) > 1 and width > 1 and all(whole):
            return False
        columns += [Counter() for _ in range(len(fields) - len(columns))]
        for place, (text, is_quoted) in enumerate(fields):
            commas = commas or (not is_quoted and "," in text)
            columns[place][_use(text, is_quoted, mark)] += start > 0
    needless = ("needless", "comma") if commas else ("needless",)
    return not any(column["plain"] and any(column[use] for use in needless) for column in columns)


def _balanced(path: Path) -> Iterator[tuple[int, str]]:
    """Lines, joined where a quote is open at their end; beside each its place among them."""
    parts: list[str] = []
    place = quotes = size = 0
    for _, line in _lines(path):
        parts.append(line)
        quotes, size = quotes + line.count('"'), size + len(line)
        if quotes % 2 == 0 or size > FIELD_LIMIT:
            if record := "".join(parts).strip(_BREAKS):
                yield place, record
                place += 1
            parts, quotes, size = [], 0, 0
    if parts:
        yield place, "".join(parts).strip(_BREAKS)


def _fields(record: str, field: re.Pattern[str], mark: str) -> list[tuple[str, bool]] | None:
    """The fields of a record and whether they are quoted; None where quotes stand inside texts."""
    found, place = [], 0
    while True:
        match = field.match(record, place)
        if match is None or (match.end() < len(record) and record[match.end()] != mark):
            return None
        found.append((match[0], match[1] is not None))
        if match.end() == len(record):
            return found
        place = match.end() + 1


def _use(text: str, is_quoted: bool, mark: str) -> str:
    """Why a field is quoted, or that it is plain."""
    if not is_quoted:
        return "plain" if text.strip() else "empty"
    inside = text[1:-1]
    if any(each in inside for each in (mark, '"', "\n", "\r")) or not inside:
        return "needed"
    return "comma" if "," in inside else "needless"


def _records(path: Path, form: Form) -> Iterator[Row]:
    """The rows that are not blank, with the line that each begins on."""
    if form.quotes == "none":
        for number, line in _lines(path):
            if line.strip(" " + _BREAKS):
                yield number, line.rstrip(_BREAKS).split(form.mark)
        return
    yield from _csv_rows(path, form)


def _csv_rows(path: Path, form: Form) -> Iterator[Row]:
    found = _lines(path)
    options = {"doublequote": False, "escapechar": "\\"} if form.quotes == "backslash" else {}
    reader = csv.reader((line for _, line in found), strict=True, delimiter=form.mark, **options)  # type: ignore[arg-type]
    skipped = 1 if _SAYS_MARK.fullmatch(next(lines(path), (0, ""))[1]) else 0
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        while True:
            start = reader.line_num + 1 + skipped
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{path}, row beginning on line {start}: {error}. Fields that hold a "
                    f"separator, a line break or a quote stand in double quotes, quotes in them "
                    f'are doubled (""), and fields are at most {FIELD_LIMIT} characters long. '
                    f"Is a quote missing, or are the line ends bare carriage returns?"
                ) from None
            if len(row) > 1 or (row and row[0].strip()):
                yield start, row
    finally:
        csv.field_size_limit(limit)
