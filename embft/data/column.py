"""A column of texts that stays in its file until it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

_CHUNK = 4096  # texts made at once


class TextColumn(Sequence[str]):
    """A column of a parquet file. Once a single text is asked for, it is held in Arrow's memory.

    A million pairs as Python's strings take 300 MB, in Arrow's memory a third, in the file none.
    """

    def __init__(self, path: Path, name: str, rows: int) -> None:
        self.path, self.name, self.rows = path, name, rows

    def __len__(self) -> int:
        return self.rows

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.rows))]
        text: str = self._values[index].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        values = vars(self).get("_values") or self._read()
        for start in range(0, self.rows, _CHUNK):
            yield from values.slice(start, _CHUNK).to_pylist()

    def __arrow_array__(self, type: Any = None) -> Any:  # noqa: A002 - Arrow's name
        """What `pyarrow.array` asks for: read anew, and not held here."""
        found = self._read()
        # Cast first: an array of `string` holds 2 GB of text at most.
        return (found if type is None else found.cast(type)).combine_chunks()

    @cached_property
    def _values(self) -> Any:
        return self._read()

    def _read(self) -> Any:
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=[self.name])[self.name]
