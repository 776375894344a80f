"""`scores.parquet`: the cosine of each pair that a trial was scored on.

Knows no torch: the report reads what a worker has written. Files of older versions hold the
cosines in single precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embft.data.column import arrow, numbers
from embft.data.pairs import Splits
from embft.storage.files import write_atomic

FloatArray = npt.NDArray[np.float64]


def write_scores(
    path: Path, splits: Splits, cosines: Mapping[str, npt.NDArray[np.floating]]
) -> None:
    """Write a row for each pair: split, its position there, label in [0, 1], cosine.

    Cosines keep all their digits, so that whoever has the file gets the record's metrics.
    cosines: split -> shape (n,), in the order of the split's pairs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [
        pa.table(
            {
                "split": arrow([split] * len(values)),
                "row": arrow(np.arange(len(values), dtype=np.int32)),
                "label": arrow(np.asarray(splits[split].label, np.float64)),
                "score": arrow(np.asarray(values, np.float64)),
            }
        )
        for split, values in cosines.items()
    ]
    content = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), content)
    write_atomic(path, content.getvalue().to_pybytes())


def load_scores(path: Path) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Split -> labels and cosines, shape (n,) each, in the order of the split's pairs.

    Raises OSError, ArrowInvalid or KeyError where the file is not what `write_scores` wrote.
    """
    import pyarrow.parquet as pq

    # In one thread: a file of some thousand pairs is read in less time than threads take to begin.
    table = pq.ParquetFile(path).read(use_threads=False)
    split = np.array(table["split"].to_pylist())
    columns = [numbers(table[name]) for name in ("row", "label", "score")]
    found = {}
    for name in dict.fromkeys(split):
        row, label, score = (column[split == name] for column in columns)
        order = np.argsort(row, kind="stable")
        found[str(name)] = label[order].astype(np.float64), score[order].astype(np.float64)
    return found
