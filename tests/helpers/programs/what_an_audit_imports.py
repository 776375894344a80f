"""That the audit of a new sweep's data needs scikit-learn, and not what takes twice its time.

The pairs are those of train.jsonl and dev.jsonl in the folder given.
"""

from __future__ import annotations

import sys
from pathlib import Path

from embft.data.audit import audit
from embft.data.load import PairFile
from embft.data.splits import build_splits
from embft.system.speedups import missing

folder = Path(sys.argv[1])
found = audit(build_splits(PairFile(folder / "train.jsonl"), PairFile(folder / "dev.jsonl")))
assert "shortcut_side_2" in {finding.name for finding in found.findings}, found.findings
assert "sklearn" in sys.modules
assert not {"pandas", "scipy.stats"} & set(sys.modules)
assert not missing(), missing()
