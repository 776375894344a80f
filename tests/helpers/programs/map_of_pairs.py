"""How many functions of umap were compiled and read for a map, and the map's sum."""

from __future__ import annotations

import sys

import numpy as np
import umap  # noqa: F401 - compiles some of its functions at once
from numba.core.dispatcher import Dispatcher

from embft.evaluation.clusters import project_pairs
from embft.evaluation.embed import Embedded


def compiled() -> np.ndarray:
    """How many functions were compiled, and how many read."""
    modules = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "umap"]
    found = {f for m in modules for f in vars(m).values() if isinstance(f, Dispatcher)}
    counts = [(sum(f.stats.cache_misses.values()), sum(f.stats.cache_hits.values())) for f in found]
    return np.array(counts).sum(axis=0)


before = compiled()
points = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
found = project_pairs(Embedded(points, -points))
print(*(compiled() - before), float(found.sum()))
