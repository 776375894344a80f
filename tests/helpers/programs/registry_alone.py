"""Which slow libraries a spec's registry of metrics has imported."""

from __future__ import annotations

import sys

import embft.spec  # noqa: F401
from embft.metrics.registry import METRICS

METRICS["spearman"]
print(*({"scipy", "torch"} & {*sys.modules}))
assert METRICS["v_measure"].computed_by == "clustering"
print(*({"scipy.stats", "torch", "sklearn", "pandas", "pyarrow"} & {*sys.modules}))
