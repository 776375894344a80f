"""That a trial, from its training to its record, needs nothing that takes long to import beside
what the warm process has. Trains and scores the trials of the folders given.
"""

from __future__ import annotations

import sys
from pathlib import Path

from embft.execution.preload import worker
from embft.results.folders import TrialDir

for path in sys.argv[1:]:
    folder = TrialDir(Path(path))
    if not folder.read_input().spec.is_baseline:
        worker.STEPS["train"](folder)
    worker.STEPS["score"](folder)
    assert folder.result(), path
found = {"pandas", "scipy.stats", "sklearn", "datasets"} & set(sys.modules)
assert not found, found
