"""What numba compiles is kept on this machine: compiled once, then read.

    python -m embft.cli.precompile

compiles all of it now, and the report's charts' library, which `make install` does, as pip compiles
Python's own files. Without that, the first training, map and report do.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache

import numpy as np
from numba.core.dispatcher import Dispatcher

_LEAST_POINTS = 40  # that UMAP takes its usual way with


@cache  # hundreds of functions, each with a look at its file
def keep_compiled(*packages: str) -> None:
    """Have numba keep what it compiles of these packages, as far as they are imported.

    numba keeps it beside their files, or in the user's cache folder, until those files change.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in packages:
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    with suppress(RuntimeError):  # no folder takes it: compiled again each time
                        function.enable_caching()


def compile_all() -> None:
    """Compile the loops of trainings, what UMAP needs for a map, and the charts' library."""
    import embft.training.kernels.encoder  # noqa: F401 - importing it compiles
    from embft.evaluation.clusters import project_pairs
    from embft.evaluation.embed import Embedded
    from embft.report.bundle import library

    library()
    points = np.random.default_rng(0).standard_normal((_LEAST_POINTS, 8)).astype(np.float32)
    project_pairs(Embedded(points, -points))


if __name__ == "__main__":
    compile_all()
