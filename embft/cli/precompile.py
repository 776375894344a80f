"""What numba compiles is kept on this machine: compiled once, then read.

    python -m embft.cli.precompile

compiles all of it now, and the report's charts' library, which `make install` does, as pip compiles
Python's own files. Without that, the first training, map and report do.
"""

from __future__ import annotations

import numpy as np

from embft.system.speedups import unsaid

_LEAST_POINTS = 40  # that UMAP takes its usual way with


def compile_all() -> None:
    """Compile the loops of trainings, what UMAP needs for a map, and the charts' library."""
    from embft.evaluation.clusters import cluster_pairs
    from embft.evaluation.embed import Embedded
    from embft.report.bundle import library
    from embft.training.kernels.entry import kernels

    kernels()
    library()
    points = np.random.default_rng(0).standard_normal((_LEAST_POINTS, 8)).astype(np.float32)
    cluster_pairs(Embedded(points, -points))
    for sentence in unsaid():
        print(f"embft: {sentence}")


if __name__ == "__main__":
    compile_all()
