"""Page faults of ten steps that each free what they have made; with `keep` they keep it."""

from __future__ import annotations

import resource
import sys

import numpy as np

from embft.system.allocator import keep_freed_memory


def step():
    [np.ones(500_000) for _ in range(30)]  # held together, then freed


if sys.argv[1:] == ["keep"]:
    keep_freed_memory()
step()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
