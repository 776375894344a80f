"""The most memory of a process that loads, digests, audits and writes the pairs of a.jsonl."""

from __future__ import annotations

import resource
from pathlib import Path

from embft.data.audit.corpus import make_corpus
from embft.data.load import Columns, load_pairs
from embft.data.pairs import Splits

pairs = load_pairs(Path("a.jsonl"), Columns())
pairs.digest()
make_corpus(Splits(pairs, pairs, pairs))
pairs.write(Path("a.parquet"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
