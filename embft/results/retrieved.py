"""`retrieved.parquet`: the documents that a model found for each query, the best first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embft.data.column import arrow
from embft.storage.files import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

DEPTH = 10
"""So many documents of each query are kept."""


@dataclass(frozen=True)
class Retrieved:
    """One split's queries, with the ids of the documents found, their scores, and their grades."""

    query: Sequence[str]
    documents: Sequence[Sequence[str]]
    scores: Sequence[Sequence[float]]
    grades: Sequence[Sequence[int]]


def write_retrieved(path: Path, found: Mapping[str, Retrieved]) -> None:
    """Write a row for each query of each split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [
        pa.table(
            {
                "split": arrow([split] * len(each.query)),
                "query": arrow(each.query),
                "documents": _lists(each.documents, list),
                "scores": _lists(each.scores, partial(np.array, dtype=np.float32)),
                "grades": _lists(each.grades, partial(np.array, dtype=np.int64)),
            }
        )
        for split, each in found.items()
    ]
    content = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), content)
    write_atomic(path, content.getvalue().to_pybytes())


def _lists(rows: Sequence[Sequence[Any]], column: Callable[[list[Any]], Any]) -> pa.ListArray:
    """A column of lists. column: makes of all their values, one after another, a column."""
    import pyarrow as pa

    ends = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    return pa.ListArray.from_arrays(arrow(ends), arrow(column([*chain(*rows)])))


def read_retrieved(path: Path, split: str) -> Retrieved:
    """One split's rows. Raises OSError, ArrowInvalid or KeyError where the file is not what
    `write_retrieved` wrote, or has no such split.
    """
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read(use_threads=False)
    rows = [row for row in table.to_pylist() if row["split"] == split]
    if not rows:
        raise KeyError(split)
    names = ("query", "documents", "scores", "grades")
    return Retrieved(*([row[name] for row in rows] for name in names))
