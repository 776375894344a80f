"""From the users' files to rows of raw values, with the line that each came from.

Covers JSON lines, CSV, TSV (each also gzipped) and parquet, and what can be wrong with them as
files. Does not judge the values: `load.py` does.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import json
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from embft.errors import DataError

TEXT_SUFFIXES = (".jsonl", ".csv", ".tsv")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES))
FIELD_LIMIT = 64 * 2**20
"""Longest field of a CSV file, in characters; beyond it a missing quote is more likely."""

LINE_LIMIT = 256 * 2**20
"""Longest line of a text file, in bytes; without a bound a small zipped file fills the memory."""

Row = tuple[int, list[object]]
"""Where it stands (line of the file, or row of a parquet file, from 1), and its values."""


def suffix_of(path: Path) -> str:
    """The suffix that names the format; raises DataError where it names none."""
    suffix = "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:])
    if suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{path}: the suffix says the format, which is {suffix or 'missing'!r} here; "
            f"allowed: {', '.join(SUFFIXES)}. Rename or convert the file."
        )
    return suffix.lower()


def read_rows(path: Path, wanted: Sequence[str | int], required: int) -> Iterator[Row]:
    """The wanted columns of each row.

    The first `required` of them must stand in every row; the others, in JSON lines, in one row at
    least, and are None elsewhere. Positions (from 0) instead of names mean a CSV or TSV file that
    has no header. Raises DataError.
    """
    suffix = suffix_of(path)
    positions = [column for column in wanted if isinstance(column, int)]
    names = [column for column in wanted if isinstance(column, str)]
    if positions and not suffix.startswith((".csv", ".tsv")):
        raise DataError(
            f"{path}: the columns are given as positions ({positions}), which is for csv and tsv "
            f"files without a header; name the columns instead."
        )
    if positions and names:
        raise DataError(
            f"{path}: {names[0]!r} is a name and {positions[0]} a position; columns are either all "
            f"names, or all positions in a file without a header."
        )
    if positions:
        return _headless(path, positions)
    if suffix == ".parquet":
        return _parquet(path, names)
    return _jsonl(path, names, required) if "json" in suffix else _delimited(path, names)


def missing(
    path: Path, name: str, present: Sequence[str], wanted: Sequence[str], where: str = ""
) -> DataError:
    """The error for a column that is not there; what is meant is a column not wanted otherwise."""
    odd = [mark for mark in ";\t|," if len(present) == 1 and mark in present[0]]
    hint = f" The header looks separated by {odd[0]!r}, which is not this format's." if odd else ""
    if not hint and suffix_of(path).startswith((".csv", ".tsv")):
        hint = " A csv or tsv file without a header needs positions, such as `text_1: 0`."
    if name == "label":
        hint += (
            " For pairs without labels say so: `data.columns: {label: null}`; with hard negatives "
            "name their column as `text_3`."
        )
    close = difflib.get_close_matches(name, [other for other in present if other not in wanted], 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return DataError(
        f"{path}{where}: no column {name!r}; {meant}the file has: {_listed(present)}. Set "
        f"`data.columns` (or `data.groups`) to the file's own names." + hint
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)) or "none"
    return shown if len(shown) <= 300 else f"{shown[:299]}…"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The decoded lines, with their ends, as the line feeds cut them."""
    _require_plain(path)
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_LIMIT + 1):
                number += 1
                if len(raw) > LINE_LIMIT:
                    raise DataError(
                        f"{path}, line {number}: longer than {LINE_LIMIT:,} bytes, which no pair "
                        "of texts is. Are the line ends missing?"
                    )
                yield number, _decode(path, number, raw)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}. Check the path and the file.") from None


def _require_plain(path: Path) -> None:
    """Refuse what may never end or never begin to be read: pipes, devices, sockets."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # opening it says what is wrong
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path}: cannot be read: no plain file. Give the path of a file.")


def _decode(path: Path, number: int, raw: bytes) -> str:
    """One line as text: UTF-8, a byte order mark allowed, no NUL."""
    if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}, line 1: the file is UTF-16; save it as UTF-8.")
    if b"\0" in raw:
        raise DataError(
            f"{path}, line {number}, byte {raw.index(0) + 1}: a NUL byte; the file must be UTF-8 "
            f"text. Is it UTF-16 or damaged? Save it as UTF-8."
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}, byte {error.start + 1}: 0x{raw[error.start]:02x} is not "
            f"UTF-8; only UTF-8 is allowed. Convert the file, for instance from Latin-1: "
            f"`iconv -f latin1 -t utf-8`."
        ) from None
    return text.removeprefix("\ufeff") if number == 1 else text


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} occurs twice")
    return record


# Made once: `json.loads` makes one for each line, which takes longer than reading the line.
_JSON = json.JSONDecoder(object_pairs_hook=_object)


def _record(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        # What `json.loads` says of a byte order mark is worth keeping.
        record = json.loads(line) if line.startswith("\ufeff") else _JSON.decode(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}, line {number}: not a JSON object: {error}; the line is {cut(line.strip())}. "
            f"Each line must be one complete object, such as "
            f'{{"text_1": "…", "text_2": "…", "label": 1}}.'
        ) from None
    if not isinstance(record, dict):
        raise DataError(
            f"{path}, line {number}: {cut(record)} is JSON but no object; each line must be one "
            f'object, such as {{"text_1": "…", "text_2": "…", "label": 1}}.'
        )
    return record


def _jsonl(path: Path, names: Sequence[str], required: int) -> Iterator[Row]:
    seen: set[str] = set()
    for number, line in _lines(path):
        if not line.strip():
            continue
        record = _record(path, number, line)
        for name in names[:required]:
            if name not in record:
                raise missing(path, name, list(record), names, f", line {number}")
        seen |= record.keys()
        yield number, [record.get(name) for name in names]
    for name in names[required:]:
        if seen and name not in seen:
            raise missing(path, name, list(seen), names)


def _csv_rows(path: Path, lines: Iterator[str], **form: str | int) -> Iterator[tuple[int, list]]:  # type: ignore[type-arg]  # the module gives lists of str
    """The rows that are not blank, with the line that each begins on."""
    reader = csv.reader(lines, strict=True, **form)  # type: ignore[arg-type]  # one mapping for all
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        while True:
            start = reader.line_num + 1
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
            if row:
                yield start, row
    finally:
        csv.field_size_limit(limit)


def _delimited(path: Path, names: Sequence[str]) -> Iterator[Row]:
    delimiter = "\t" if ".tsv" in suffix_of(path) else ","
    rows = _csv_rows(path, (line for _, line in _lines(path)), delimiter=delimiter)
    _, header = next(rows, (1, []))
    if not header:
        return
    for name in names:
        if header.count(name) != 1:
            if name in header:
                raise DataError(f"{path}: the header has {name!r} twice; rename one of them.")
            raise missing(path, name, header, names)
    places = [header.index(name) for name in names]
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; the "
                f"row begins {cut(row[0])}. A text that holds {delimiter!r} must stand in double "
                f"quotes."
            )
        yield line, [row[place] for place in places]


def _headless(path: Path, places: Sequence[int]) -> Iterator[Row]:
    """Rows of a file without a header; fields beyond the wanted ones do not matter.

    With tabs between the fields (by suffix, or because the first line has enough of them) a quote
    is a character like any other, as in the STS benchmark.
    """
    lines = (line for _, line in _lines(path))
    first = next(lines, "")
    tabs = ".tsv" in suffix_of(path) or first.count("\t") >= max(places)
    form: dict[str, str | int] = {"delimiter": ","}
    if tabs:
        form = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}

    def again() -> Iterator[str]:
        yield first
        yield from lines

    for line, row in _csv_rows(path, again(), **form):
        if len(row) <= max(places):
            raise DataError(
                f"{path}, line {line}: {len(row)} fields, but column {max(places)} is wanted "
                f"(positions count from 0); the row begins {cut(row[0])}. Fields are separated by "
                f"{form['delimiter']!r}; fix the line or `data.columns`."
            )
        yield line, [row[place] for place in places]


def _parquet(path: Path, names: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _require_plain(path)
    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            for name in names:
                if name not in present:
                    raise missing(path, name, present, names)
            number = 0
            for batch in file.iter_batches(columns=list(dict.fromkeys(names))):
                columns = [batch.column(name).to_pylist() for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, list(values)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}. Is it whole?") from None


def cut(value: object) -> str:
    """How a message shows a value: its repr, at most 60 characters."""
    shown = repr(value[:80] if isinstance(value, str) else value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
