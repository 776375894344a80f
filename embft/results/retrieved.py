"""`retrieved.parquet`: the documents that a model found for each query, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embft.storage.files import write_atomic

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
                "split": [split] * len(each.query),
                "query": list(each.query),
                "documents": pa.array(each.documents, pa.list_(pa.string())),
                "scores": pa.array(each.scores, pa.list_(pa.float32())),
                "grades": pa.array(each.grades, pa.list_(pa.int64())),
            }
        )
        for split, each in found.items()
    ]
    content = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), content)
    write_atomic(path, content.getvalue().to_pybytes())


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
