"""A file's bytes and its decoded lines, whatever it is packed with, known by content, not by name.

Covers gzip, bzip2, xz and zstd, UTF-8 and UTF-16, and what is no text at all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from embft.data.files import PACKED_SUFFIXES
from embft.errors import DataError

LINE_LIMIT = 256 * 2**20
"""Longest line of a text file, in bytes; without a bound a small packed file fills the memory."""

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"
_PARQUET, _ARROW = b"PAR1", b"ARROW1"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_STRANGE = {
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel",
    b"\x80\x04": "a pickle, which could run code",
    b"\x80\x05": "a pickle, which could run code",
    b"SQLite": "a database",
    b"\x89HDF": "an HDF5 file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"%PDF": "a PDF",
}
_WORKBOOKS = {".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"}
_HEAD = 8

Line = tuple[int, str]
"""A line's number, from 1, and its text with its end."""


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file's bytes, unpacked. Raises DataError for whatever hinders reading them."""
    _require_plain(path)
    try:
        with path.open("rb") as raw:
            packing = _packing(path, raw)
        with _unpacked(path, packing) as file:
            yield file
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
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


def is_packed(path: Path) -> bool:
    """Whether the file is packed as a whole. Raises OSError."""
    with path.open("rb") as raw:
        return bool(_packing(path, raw))


def _packing(path: Path, raw: io.BufferedReader) -> bytes:
    head = raw.read(_HEAD)
    found = next((magic for magic in (_GZIP, _BZIP2, _XZ, _ZSTD) if head.startswith(magic)), b"")
    if not found and path.suffix.lower() in PACKED_SUFFIXES:
        raise DataError(
            f"{path}: cannot be read: its bytes are not those of a {path.suffix} file. Is it "
            f"damaged? If it is plain text, take the suffix {path.suffix} away."
        )
    return found


def _unpacked(path: Path, packing: bytes) -> io.BufferedReader:
    if packing == _ZSTD:
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    if packing == _GZIP:
        return cast(io.BufferedReader, gzip.open(path, "rb"))
    if packing == _BZIP2:
        return cast(io.BufferedReader, bz2.open(path, "rb"))
    return cast(io.BufferedReader, lzma.open(path, "rb") if packing == _XZ else path.open("rb"))


def content_kind(path: Path) -> str:
    """What a file is by its first bytes: `parquet`, `arrow`, or `text`. Raises DataError for what
    is none of them.
    """
    if path.suffix.lower() in _WORKBOOKS:
        raise DataError(
            f"{path}: a workbook is not read: save its sheet as CSV (UTF-8), or in Python "
            f"`pandas.read_excel({path.name!r}).to_parquet({path.stem + '.parquet'!r})`."
        )
    with opened(path) as file:
        head = file.read(_HEAD)
    strange = next((what for magic, what in _STRANGE.items() if head.startswith(magic)), None)
    if strange:
        raise DataError(
            f"{path}: cannot be read: it is {strange}. Save its rows as CSV, JSON lines or parquet."
        )
    if head.startswith(_PARQUET):
        return "parquet"
    # A stream of Arrow's begins with a continuation marker and the size of its schema.
    is_arrow = head.startswith(_ARROW) or (head[:4] == b"\xff\xff\xff\xff" and len(head) == _HEAD)
    return "arrow" if is_arrow else "text"


def lines(path: Path) -> Iterator[Line]:
    """The decoded lines with their ends, as the line feeds cut them. Raises DataError."""
    with opened(path) as file:
        if file.peek(2)[:2] in _UTF16:
            yield from _wide_lines(path, file.read(LINE_LIMIT + 1))
            return
        number = 0
        while raw := file.readline(LINE_LIMIT + 1):
            number += 1
            if len(raw) > LINE_LIMIT:
                raise DataError(
                    f"{path}, line {number}: longer than {LINE_LIMIT:,} bytes, which no pair "
                    "of texts is. Are the line ends missing?"
                )
            yield number, _decoded(path, number, raw)


def _wide_lines(path: Path, raw: bytes) -> Iterator[Line]:
    """The lines of UTF-16 text, which begins with a byte order mark."""
    if len(raw) > LINE_LIMIT:
        raise DataError(f"{path}: UTF-16, and longer than {LINE_LIMIT:,} bytes; save it as UTF-8.")
    try:
        text = raw.decode("utf-16")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, byte {error.start + 1}: not UTF-16, though the file begins as such; save it "
            "as UTF-8."
        ) from None
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        _refuse_nul(path, number, line)
        yield number, line


def _refuse_nul(path: Path, number: int, line: str | bytes) -> None:
    place = line.find("\0") if isinstance(line, str) else line.find(b"\0")
    if place >= 0:
        raise DataError(
            f"{path}, line {number}, byte {place + 1}: a NUL byte; the file must be UTF-8 text. Is "
            f"it UTF-16 without a byte order mark, or damaged? Save it as UTF-8."
        )


def _decoded(path: Path, number: int, raw: bytes) -> str:
    """One line as text: UTF-8, a byte order mark allowed, no NUL."""
    _refuse_nul(path, number, raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}, byte {error.start + 1}: 0x{raw[error.start]:02x} is not "
            f"UTF-8; only UTF-8 is allowed. Convert the file, for instance from Latin-1: "
            f"`iconv -f latin1 -t utf-8`."
        ) from None
    return text.removeprefix("\ufeff") if number == 1 else text


def holds(path: Path, *wanted: bytes) -> list[bool]:
    """Whether each of these short sequences of bytes stands in the file."""
    found = [False] * len(wanted)
    with opened(path) as file:
        before = b""
        while part := file.read(2**20):
            seen = before + part
            found = [known or one in seen for known, one in zip(found, wanted, strict=True)]
            if all(found):
                break
            before = part[-max(map(len, wanted)) :]
    return found
