"""Texts with class labels: what clustering and classification read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embft.data.column import arrow


@dataclass(frozen=True)
class Labelled:
    """Texts with their class labels, n each."""

    texts: Sequence[str]
    labels: Sequence[str]

    def digest(self) -> str:
        """SHA-256 over the content in its order."""
        content = json.dumps([list(self.texts), list(self.labels)])
        return hashlib.sha256(content.encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the texts as parquet. The caller makes the write atomic."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"text": arrow(self.texts), "label": arrow(self.labels)})
        pq.write_table(table, path)

    @classmethod
    def read(cls, path: Path) -> Labelled:
        """Read the texts and labels that `write` wrote."""
        import pyarrow.parquet as pq

        # Not by pq.read_table, which imports pyarrow's data sets, and with them pandas.
        table = pq.ParquetFile(path).read(use_threads=False)
        return cls(table["text"].to_pylist(), table["label"].to_pylist())
