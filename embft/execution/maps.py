"""Maps of a finished trial's test pairs: UMAP's coordinates and HDBSCAN's clusters, as a file.

Made on demand for the trials that a report looks at pair by pair, since a map takes longer than all
other scores of a trial together. The evaluator `clusters` measures purity for every trial instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from embft.data.column import arrow
from embft.errors import EmbftError
from embft.execution.after import each_in_a_process
from embft.planning.capacity import Demand, trials_at_once
from embft.results.dataset import read_split
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.storage.files import write_atomic
from embft.system.machine import available_cores, available_memory

# What a map takes seconds to import: once, by the server that the processes are forked from. Beside
# a sweep that is its warm process, which has all of it but UMAP and HDBSCAN.
_PRELOADED = ["embft.execution.evaluate", "umap", "hdbscan"]
_ENDED = "a process that made maps was ended, perhaps for want of memory"


def write_maps(folders: Sequence[TrialDir]) -> dict[str, str]:
    """Write the map of each trial that has none yet. Returns why a trial still has none.

    UMAP takes one core, so there is a process for each core, as far as memory goes.
    """
    missing = [folder for folder in folders if not folder.map_file.exists()]
    if not missing:
        return {}
    said = each_in_a_process(_reason, missing, _at_once(missing), _PRELOADED, _ENDED)
    return {folder.name: reason for folder, reason in said if reason}


def _at_once(folders: Sequence[TrialDir]) -> int:
    """How many maps to make at a time: a model needs no more memory than its trial did."""
    results = [folder.result() for folder in folders]
    peaks = [r.peak_memory_mb for r in results if isinstance(r, Completed) and r.peak_memory_mb]
    if not peaks:
        return 1
    demand = Demand(trials=len(folders), worker=int(max(peaks) * 1e6))
    return trials_at_once(demand, available_cores(), available_memory())


def _reason(folder: TrialDir) -> str:
    """Write a trial's map. Returns why it has none; empty where it has."""
    try:
        write_map(folder)
    except (EmbftError, OSError) as error:
        return str(error)
    return ""


def write_map(folder: TrialDir) -> None:
    """Embed the trial's test pairs with its saved model, and write where they lie.

    Columns: `row` in test, `x`, `y`, `cluster` (-1 for noise). The file's metadata has `purity`
    (absent where all is noise), `clusters` and `noise`. Raises EmbftError for pairs that cannot be
    laid out and for a model that cannot be loaded.
    """
    from embft.evaluation.clusters import UNCLUSTERED, cluster_pairs, purity, sample_rows, two_sided
    from embft.evaluation.embed import embed_pairs
    from embft.models.trained import load_trained

    pairs = read_split(folder.sweep.dataset(folder.read_input().data), "test")
    model = load_trained(str(folder.path))
    rows = sample_rows(len(pairs))
    found = cluster_pairs(embed_pairs(model, pairs.take(rows)))
    if isinstance(found, str):
        raise EmbftError(f"no map of its pairs: {found}")
    points, cluster = found
    share = purity(cluster, two_sided(pairs.label)[rows])
    summary = {
        "purity": share,
        "clusters": int(cluster.max() + 1),
        "noise": float((cluster == UNCLUSTERED).mean()),
    }
    write_atomic(folder.map_file, _parquet(rows, points, cluster, json.dumps(summary)))


def _parquet(rows: np.ndarray, points: np.ndarray, cluster: np.ndarray, summary: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "row": arrow(rows.astype(np.int32)),
            "x": arrow(points[:, 0].astype(np.float32)),
            "y": arrow(points[:, 1].astype(np.float32)),
            "cluster": arrow(cluster.astype(np.int32)),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"summary": summary}), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
