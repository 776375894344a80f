"""Texts with class labels: what clustering and classification read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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

        table = pa.table({"text": list(self.texts), "label": list(self.labels)})
        pq.write_table(table, path)

    @classmethod
    def read(cls, path: Path) -> Labelled:
        """Read the texts and labels that `write` wrote."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return cls(table["text"].to_pylist(), table["label"].to_pylist())
