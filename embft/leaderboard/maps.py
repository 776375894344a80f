"""Where a trial's test pairs lie on a map, and how pure its clusters are: read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from embft.data.column import numbers
from embft.leaderboard.before_after import halves
from embft.leaderboard.pair_scores import Model
from embft.leaderboard.rows import Row

_MOST_POINTS = 400


@dataclass(frozen=True)
class PairMap:
    """row (k,): positions in test; point (k, 2): UMAP's coordinates; cluster (k,), -1 for noise.

    purity: the share of the clusters' pairs that have their cluster's more frequent label, None
    where all is noise. noise: the share of pairs in no cluster.
    """

    row: npt.NDArray[np.int64]
    point: npt.NDArray[np.float64]
    cluster: npt.NDArray[np.int64]
    purity: float | None
    clusters: int
    noise: float


def read_map(row: Row) -> PairMap | None:
    """The trial's map, or None where none was made."""
    path = row.folder.map_file
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def map_points(model: Model, found: PairMap, most: int = _MOST_POINTS) -> list[dict[str, Any]]:
    """A point for each pair, or for `most` of them: keys `label`, `x`, `y` in [0, 1], `noise`.

    Both coordinates are scaled by the wider of the two, so that distances keep their proportions.
    """
    low, span = found.point.min(axis=0), float(np.ptp(found.point, axis=0).max()) or 1.0
    middle = (1 - np.ptp(found.point, axis=0) / span) / 2
    places = (found.point - low) / span + middle
    names = np.full(len(model.test.label), "", dtype=object)
    for name, chosen in halves(model.test):
        names[chosen] = name
    kept = np.arange(len(found.row))
    if len(kept) > most:
        kept = np.sort(np.random.default_rng(0).choice(len(kept), most, replace=False))
    return [
        {
            "model": model.name,
            "label": str(names[found.row[i]]),
            "x": float(places[i, 0]),
            "y": float(places[i, 1]),
            "noise": bool(found.cluster[i] < 0),
        }
        for i in kept
    ]


def least_purity(model: Model) -> float:
    """The purity of any clusters whatever: the share of the more frequent label."""
    _, chosen = halves(model.test)[1]
    share = float(chosen.mean())
    return max(share, 1 - share)


@lru_cache(maxsize=16)
def _read(path: Path, stamp: int) -> PairMap:
    del stamp  # A part of the key: a file that was written anew is read anew.
    table = pq.ParquetFile(path).read(use_threads=False)
    summary = json.loads((table.schema.metadata or {})[b"summary"])
    columns = {name: numbers(table[name]) for name in ("row", "x", "y", "cluster")}
    return PairMap(
        row=columns["row"].astype(np.int64),
        point=np.stack([columns["x"], columns["y"]], axis=1).astype(np.float64),
        cluster=columns["cluster"].astype(np.int64),
        purity=summary["purity"],
        clusters=summary["clusters"],
        noise=summary["noise"],
    )
