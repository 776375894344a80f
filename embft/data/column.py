"""Columns of texts that lie in a file, a part of them in memory at a time.

Covers reading and writing such files, and what many texts are collected in. Knows no pairs.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PART = 65_536
"""Rows that are in memory at once; so many are a row group of the files written here."""

Rows = Sequence[int] | npt.NDArray[np.int64]
Values = Sequence[str] | npt.NDArray[np.float64]


class TextColumn(Sequence[str]):
    """A column of a parquet file. The row group looked at last is held in Arrow's memory.

    Fast where rows are looked at in their order, or many at once (`take`).
    """

    def __init__(self, file: pq.ParquetFile, name: str) -> None:
        self.file, self.name = file, name
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        self._ends = np.cumsum([0, *(group.num_rows for group in groups)]).tolist()
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        rows = range(len(self))[index]
        if isinstance(rows, range):
            return self.take(rows)
        group = bisect_right(self._ends, rows) - 1
        text: str = self._group(group)[rows - self._ends[group]].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), PART):
            yield from self[start : start + PART]

    def take(self, rows: Rows) -> list[str]:
        """The texts in these rows, in this order. Each row group is read once."""
        wanted = np.asarray(rows, np.int64)
        groups = np.searchsorted(self._ends, wanted, side="right") - 1
        found = np.empty(len(wanted), object)
        for group in np.unique(groups).tolist():
            here = groups == group
            texts = self._group(group).take(arrow(wanted[here] - self._ends[group]))
            found[here] = texts.to_pylist()
        texts_in_order: list[str] = found.tolist()
        return texts_in_order

    def _group(self, group: int) -> Any:
        number, values = self._last
        if number != group:
            self._last = (-1, None)  # so that two are never held
            values = self.file.read_row_group(group, columns=[self.name])[self.name]
            self._last = (group, values)
        return values


# From Python's values and numpy's arrays to its own pyarrow imports pandas, which takes up to a
# second, in a worker 0.15 s; between buffers it needs none.


def arrow(values: Sequence[str] | npt.NDArray[Any]) -> pa.Array:
    """A column of texts, or of numbers of numpy's own type, none missing, as pyarrow has it.

    Raises TypeError for an array of anything else, of which pyarrow lays out the bytes otherwise.
    """
    import pyarrow as pa

    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "iuf":
            raise TypeError(f"an array of {values.dtype}, not of numbers")
        kind = pa.from_numpy_dtype(values.dtype)
        return pa.Array.from_buffers(kind, len(values), [None, _buffer(values)])
    texts = [text.encode() for text in values]
    ends = np.cumsum([0, *map(len, texts)])
    buffers = [None, _buffer(ends.astype(np.int64)), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers).cast(pa.string())


def repeated(text: str, count: int) -> pa.Array:
    """A column that has this text in each of so many rows."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(arrow(np.zeros(count, np.int32)), arrow([text]))


def _buffer(values: npt.NDArray[Any]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.ascontiguousarray(values))


def numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers, of which none is missing, as (n,), of its own type."""
    found: npt.NDArray[Any] = np.from_dlpack(column.combine_chunks())
    return found


def take(column: Sequence[str], rows: Rows) -> list[str]:
    """The texts in these rows of any column, in this order."""
    return column.take(rows) if isinstance(column, TextColumn) else [column[i] for i in rows]


def parts(*columns: Values) -> Iterator[list[Any]]:
    """Columns of the same length, `PART` rows at a time; of empty columns one empty part."""
    for start in range(0, max(len(columns[0]), 1), PART):
        yield [column[start : start + PART] for column in columns]


def write_columns(
    path: Path, columns: Mapping[str, Values], metadata: Mapping[str, str] | None = None
) -> None:
    """Write columns of the same length as parquet. metadata: texts to be kept in its schema."""
    with path.open("wb") as file:
        writer = _Writer(file, metadata)
        for part in parts(*columns.values()):
            writer.write(dict(zip(columns, part, strict=True)))
        writer.close()


class GrowingColumns:
    """Columns of texts that rows are added to: lists while they are few, else a temporary file."""

    def __init__(self, count: int) -> None:
        self._lists: list[list[str]] = [[] for _ in range(count)]
        self._file: IO[bytes] | None = None

    def append(self, row: Sequence[str]) -> None:
        """Add a row, a text for each column."""
        for column, text in zip(self._lists, row, strict=True):
            column.append(text)
        if len(self._lists[0]) == PART:
            self._flush()

    def extend(self, columns: Sequence[Sequence[str]]) -> None:
        """Add at most `PART` rows."""
        for column, texts in zip(self._lists, columns, strict=True):
            column.extend(texts)
        if len(self._lists[0]) >= PART:
            self._flush()

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its columns
            self._writer = _Writer(self._file)
        self._writer.write({str(i): texts for i, texts in enumerate(self._lists)})
        for texts in self._lists:
            texts.clear()

    def finished(self) -> list[Sequence[str]]:
        """The columns. Nothing can be added any more."""
        if self._file is None:
            return list(self._lists)
        import pyarrow.parquet as pq

        if self._lists[0]:
            self._flush()
        self._writer.close()
        file = pq.ParquetFile(self._file)
        return [TextColumn(file, str(i)) for i in range(len(self._lists))]


class _Writer:
    """A parquet file whose columns are known once the first rows are written."""

    def __init__(self, file: IO[bytes], metadata: Mapping[str, str] | None = None) -> None:
        self._file, self._metadata = file, metadata
        self._writer: pq.ParquetWriter | None = None

    def write(self, columns: Mapping[str, Values]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {name: arrow(values) for name, values in columns.items()},
            metadata=self._metadata and dict(self._metadata),
        )
        self._writer = self._writer or pq.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
