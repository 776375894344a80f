"""Parquet and Arrow files -> the wanted values of each row, as plain Python means them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING, Any

import numpy as np

from embft.data.bytes import is_packed, opened
from embft.data.names import find_columns
from embft.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 65_536


def arrow_rows(path: Path, names: Sequence[str], kind: str) -> Iterator[tuple[int, list[object]]]:
    """The values of these columns in each row, with its number from 1. Raises DataError.

    kind: `parquet`, or `arrow` for a file or a stream of Arrow's, which Feather is too.
    """
    import pyarrow as pa

    try:
        with ExitStack() as stack:
            file = stack.enter_context(_plain_bytes(path))
            number = 0
            for columns in (_parquet if kind == "parquet" else _arrow)(path, file, names):
                for values in zip(*(_plain(column) for column in columns), strict=True):
                    number += 1
                    yield number, list(values)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise DataError(f"{path}: cannot be read as {kind}: {error}. Is it whole?") from None


def arrow_columns(path: Path, kind: str) -> list[str]:
    """The names of the columns. Raises DataError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with _plain_bytes(path) as file:
            if kind == "parquet":
                return list(pq.read_schema(file).names)
            return list(_opened(file)[0].names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as {kind}: {error}. Is it whole?") from None


def _plain_bytes(path: Path) -> Any:
    """The file, unpacked into a temporary one where it is packed as a whole."""
    if not is_packed(path):
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with opened(path) as packed:
        copyfileobj(packed, unpacked)
    unpacked.seek(0)
    return unpacked


def _parquet(path: Path, file: Any, names: Sequence[str]) -> Iterator[list[pa.Array]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as found:
        present = found.schema_arrow.names
        wanted = [present[place] for place in find_columns(path, names, present)]
        for batch in found.iter_batches(_AT_ONCE, columns=list(dict.fromkeys(wanted))):
            yield [batch.column(name) for name in wanted]


def _arrow(path: Path, file: Any, names: Sequence[str]) -> Iterator[list[pa.Array]]:
    schema, batches = _opened(file)
    places = find_columns(path, names, schema.names)
    for batch in batches:
        yield [batch.column(place) for place in places]


def _opened(file: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and the batches of Arrow's file, or of its stream."""
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(file)
        return reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
    except pa.ArrowInvalid:
        file.seek(0)
        stream = pa.ipc.open_stream(file)
        return stream.schema, iter(stream)


def _plain(column: pa.Array) -> list[Any]:
    """The values; a short float is the number that it was written as: 4.2, not 4.19999980926."""
    import pyarrow as pa

    values: list[Any] = column.to_pylist()
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_float16(kind):
        return [None if value is None else float(str(np.float16(value))) for value in values]
    if pa.types.is_float32(kind):
        return [None if value is None else float(str(np.float32(value))) for value in values]
    return values
