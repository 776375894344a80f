"""What an evaluator's metric is made of, by query, text, draw or task, read from a row's folder.

Covers reading alone, as `pair_scores.py` does for pairs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from embft.leaderboard.rows import Row
from embft.results.units import UnitValues, load_units


def read_units(row: Row, split: str, metric: str) -> UnitValues | None:
    """The row's values by unit of a metric as it is recorded, prefix included.

    None where there are none: the metric is one of pairs (`pair_scores.read_scores` has its
    cosines), its evaluator keeps none, or an older version scored the trial. Raises RecordError
    where the file is not as it was written.
    """
    if row.completed is None:
        return None
    path = row.folder.units_file
    row.folder.check_files(row.completed, path.name)
    try:
        return _units(path, path.stat().st_mtime_ns).get(split, {}).get(metric)
    except (OSError, pa.ArrowInvalid, KeyError):
        return None


@lru_cache(maxsize=64)
def _units(path: Path, _: int) -> dict[str, dict[str, UnitValues]]:
    return load_units(path)
