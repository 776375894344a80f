"""Maps of a finished trial's test pairs: UMAP's coordinates and HDBSCAN's clusters, as a file.

Made on demand for the trials that a report looks at pair by pair, since a map takes longer than all
other scores of a trial together. The evaluator `clusters` measures purity for every trial instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from transformers.utils import logging as transformers_logging

from embft.encoding import encode
from embft.errors import EmbftError
from embft.evaluation.clusters import NOISE, cluster_pairs, purity, two_sided
from embft.evaluation.embed import Embedded
from embft.files import write_atomic
from embft.frozen import read_split
from embft.standalone import load_model
from embft.trial import TrialDir


def write_maps(folders: Sequence[TrialDir]) -> dict[str, str]:
    """Write the map of each trial that has none yet. Returns why a trial still has none.

    One model is in memory at a time.
    """
    transformers_logging.disable_progress_bar()
    failed = {}
    for folder in folders:
        if folder.map_file.exists():
            continue
        try:
            write_map(folder)
        except (EmbftError, OSError) as error:
            failed[folder.name] = str(error)
    return failed


def write_map(folder: TrialDir) -> None:
    """Embed the trial's test pairs with its saved model, and write where they lie.

    Columns: `row` in test, `x`, `y`, `cluster` (-1 for noise). The file's metadata has `purity`
    (absent where all is noise), `clusters` and `noise`. Raises EmbftError for pairs that cannot be
    laid out and for a model that cannot be loaded.
    """
    pairs = read_split(folder.sweep / folder.read_input().data, "test")
    model = load_model(str(folder.path))
    vectors = encode(model, [*pairs.text_1, *pairs.text_2])
    found = cluster_pairs(Embedded(vectors[: len(pairs)], vectors[len(pairs) :]))
    if isinstance(found, str):
        raise EmbftError(f"no map of its pairs: {found}")
    rows, points, cluster = found
    share = purity(cluster, two_sided(pairs.label)[rows])
    summary = {
        "purity": share,
        "clusters": int(cluster.max() + 1),
        "noise": float((cluster == NOISE).mean()),
    }
    write_atomic(folder.map_file, _parquet(rows, points, cluster, json.dumps(summary)))


def _parquet(rows: np.ndarray, points: np.ndarray, cluster: np.ndarray, summary: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "row": rows.astype(np.int32),
            "x": points[:, 0].astype(np.float32),
            "y": points[:, 1].astype(np.float32),
            "cluster": cluster.astype(np.int32),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"summary": summary}), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
