"""Files of judgements: BEIR's, TREC's, and any with named columns.

A text file may have a header or none. Without one its columns are query, document and grade, or as
in TREC's qrels query, iteration, document and grade, with tabs, spaces or commas between them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from embft.data.bytes import content_kind, lines
from embft.data.files import BINARY_SUFFIXES, DataFiles, suffix_of
from embft.data.names import MissingColumnError, Place, as_compared, cut
from embft.data.read import read_rows
from embft.data.values import id_of, number_of
from embft.errors import DataError

_JSON = (".json", ".jsonl", ".ndjson")
_FORMS = (
    "query, document, grade, or as in TREC's qrels query, iteration, document, grade; or a header "
    "with the names of the columns"
)


class Judgement(NamedTuple):
    """One line of judgements. grade: above 0 where the document is relevant."""

    place: Place
    query: str
    document: str
    grade: int


@dataclass(frozen=True)
class JudgementNames:
    """The names of the columns, in files that have some; `where` is the field that sets them."""

    query: str | int = "query-id"
    document: str | int = "corpus-id"
    grade: str | int = "score"
    where: str = "columns.qrels"

    @property
    def all(self) -> tuple[str | int, str | int, str | int]:
        """Query, document and grade."""
        return (self.query, self.document, self.grade)


def read_judgements(files: DataFiles, names: JudgementNames) -> Iterator[Judgement]:
    """Every judgement of the files, in their order. Raises DataError."""
    for file in files.files:
        for place, (query, document, grade) in _rows(file.path, names):
            yield Judgement(
                place,
                id_of(place, names.query, query),
                id_of(place, names.document, document),
                _grade(place, names.grade, grade),
            )


def _grade(place: Place, column: str | int, value: object) -> int:
    number = number_of(value)
    if number is None or number != int(number):
        raise DataError(
            f"{place}, column {column!r}: {cut(value)} is no grade; allowed: whole numbers, above "
            "0 where the document is relevant. Fix or remove the line."
        )
    return int(number)


def _rows(path: Path, names: JudgementNames) -> Iterator[tuple[Place, Sequence[object]]]:
    suffix = suffix_of(path)
    if content_kind(path) == "text" and suffix not in {*_JSON, *BINARY_SUFFIXES}:
        yield from _text_rows(path, names)
        return
    try:
        yield from read_rows(DataFiles(path), names.all, required=3)
    except MissingColumnError as error:
        raise DataError(f"{error.fact} Set `{names.where}` to the file's own names.") from None


def _text_rows(path: Path, names: JudgementNames) -> Iterator[tuple[Place, Sequence[object]]]:
    order: list[int] | None = None
    width = 0
    for number, line in lines(path):
        if not line.strip():
            continue
        place = Place(path, "line", number)
        cells = _cells(line)
        if order is None:
            width = len(cells)
            order, is_header = _order(place, cells, names)
            if is_header:
                continue
        if len(cells) != width:
            raise DataError(
                f"{place}: {len(cells)} columns where the first line has {width}: {cut(line)}. "
                "Fix or remove the line."
            )
        yield place, [cells[i] for i in order]


def _cells(line: str) -> list[str]:
    """The line's cells: at tabs, else at commas, else at spaces."""
    text = line.rstrip("\r\n")
    if "\t" in text:
        return [cell.strip().strip('"') for cell in text.split("\t")]
    if "," in text:
        return [cell.strip() for cell in next(csv.reader([text]))]
    return text.split()


def _order(place: Place, cells: list[str], names: JudgementNames) -> tuple[list[int], bool]:
    """Where in a line query, document and grade stand, by the file's first line, and whether that
    is a header.
    """
    given = [name for name in names.all if isinstance(name, int)]
    if len(given) == 3:
        if max(given) >= len(cells):
            raise DataError(f"{place}: {len(cells)} columns, and `{names.where}` names {given}.")
        return given, False
    if number_of(cells[-1]) is not None:
        if len(cells) not in {3, 4}:
            raise DataError(
                f"{place}: {len(cells)} columns without a header, {cut(' '.join(cells))}; allowed "
                f"are {_FORMS}."
            )
        return [0, len(cells) - 2, len(cells) - 1], False
    header = list(map(as_compared, cells))
    missing = [name for name in names.all if as_compared(str(name)) not in header]
    if missing:
        raise DataError(
            f"{place}: no column {missing[0]!r}; the file has: {', '.join(cells)}. Set "
            f"`{names.where}` to the file's own names, or leave the header out: the columns are "
            f"then {_FORMS}."
        )
    return [header.index(as_compared(str(name))) for name in names.all], True
