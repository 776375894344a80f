"""What numba compiles is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import python

MAP = """
import sys
import numpy as np
import umap  # compiles some of its functions at once
from numba.core.dispatcher import Dispatcher
from embft.evaluation.clusters import project_pairs
from embft.evaluation.embed import Embedded

def compiled():
    modules = [m for n, m in list(sys.modules.items()) if n.partition(".")[0] == "umap"]
    found = {f for m in modules for f in vars(m).values() if isinstance(f, Dispatcher)}
    return np.array([sum(kind.values()) for f in found
                     for kind in (f.stats.cache_misses, f.stats.cache_hits)]).reshape(-1, 2).sum(0)

before = compiled()
points = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
found = project_pairs(Embedded(points, -points))
print(*(compiled() - before), float(found.sum()))
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_second_process_makes_a_map_without_compiling(tmp_path: Path) -> None:
    """It reads what the first one kept, and makes the same map."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    told = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", MAP],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        told.append(run.stdout.split())
    (compiled, read, first), (compiled_again, read_again, second) = told
    assert int(compiled) > 0 == int(read)
    assert int(read_again) > 0 == int(compiled_again)
    assert first == second


def test_a_folder_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    """Loops are compiled all the same where neither their folder nor the user's takes a cache."""
    code = (
        "from embft.training.kernels.loops import compiled\n"
        "from embft.training.kernels.vectors import FLAT\n"
        "import numba.core.caching as c\n"
        "import numpy as np\n"
        "c.CacheImpl._locator_classes = []\n"
        "@compiled(FLAT, None)\n"
        "def twice(x, thread, threads):\n"
        "    for i in range(x.size): x[i] = 2 * x[i]\n"
        "x = np.ones(3, np.float32)\n"
        "twice(0, 1, 1, 0, x)\n"
        "from embft.system.numba_cache import keep_compiled\n"
        "keep_compiled('__main__')\n"
        "print(x.sum())\n"
    )
    assert python(code, cwd=tmp_path).strip() == "6.0"
