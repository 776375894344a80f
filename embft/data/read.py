"""From the users' files to rows of raw values, each with its place.

Covers which reader a file needs, and the columns that folders' names add. Does not judge the
values: `values.py` and `load.py` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from embft.data.arrow_rows import arrow_rows
from embft.data.bytes import content_kind
from embft.data.delimited import delimited_rows
from embft.data.files import ALLOWED, BINARY_SUFFIXES, DataFiles, suffix_of
from embft.data.json_rows import json_rows
from embft.data.names import Place
from embft.errors import DataError

Row = tuple[Place, list[object]]
"""Where it stands, and its values."""

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_DELIMITED = (".csv", ".tsv", ".tab")


def read_rows(files: DataFiles, wanted: Sequence[str | int], required: int) -> Iterator[Row]:
    """The wanted columns of each row of all files, one file after another.

    The first `required` of them must stand in every row; the others, in JSON, in one row at least
    of each file, and are None elsewhere. Positions (from 0) instead of names mean CSV or TSV files
    that have no header. Raises DataError.
    """
    for file in files.files:
        partly = [place for place, name in enumerate(wanted) if name in file.columns]
        if not partly:
            yield from _rows(file.path, wanted, required)
            continue
        inside = [name for name in wanted if name not in file.columns]
        fewer = required - sum(place < required for place in partly)
        for place, values in _rows(file.path, inside, fewer):
            given = iter(values)
            yield (
                place,
                [
                    file.columns[str(name)] if name in file.columns else next(given)
                    for name in wanted
                ],
            )


def _rows(path: Path, wanted: Sequence[str | int], required: int) -> Iterator[Row]:
    kind, suffix = content_kind(path), suffix_of(path)
    if kind == "text" and suffix in BINARY_SUFFIXES:
        kind = "arrow" if suffix in {".arrow", ".feather", ".ipc"} else "parquet"  # damaged
    elif kind == "text" and suffix not in {*JSON_SUFFIXES, *_DELIMITED}:
        raise DataError(
            f"{path}: the suffix says the format, which is {suffix or 'missing'!r} here; "
            f"allowed: {ALLOWED}. Rename or convert the file."
        )
    names = _checked(path, wanted, named=kind != "text" or suffix in JSON_SUFFIXES)
    if kind != "text":
        return _placed(path, "row", arrow_rows(path, names, kind))
    if suffix in JSON_SUFFIXES:
        return json_rows(path, names, required)
    return _placed(path, "line", delimited_rows(path, wanted))


def _placed(path: Path, unit: str, rows: Iterable[tuple[int, Sequence[object]]]) -> Iterator[Row]:
    for number, values in rows:
        yield Place(path, unit, number), list(values)


def _checked(path: Path, wanted: Sequence[str | int], *, named: bool) -> list[str]:
    """The wanted names. Raises DataError for positions where columns have names, and for both."""
    positions = [column for column in wanted if isinstance(column, int)]
    names = [column for column in wanted if isinstance(column, str)]
    if positions and named:
        raise DataError(
            f"{path}: the columns are given as positions ({positions}), which is for csv and tsv "
            f"files without a header; name the columns instead."
        )
    if positions and names:
        raise DataError(
            f"{path}: {names[0]!r} is a name and {positions[0]} a position; columns are either all "
            f"names, or all positions in a file without a header."
        )
    return names
