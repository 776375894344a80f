"""Pairs of texts with labels, and the three splits they come in.

Covers the types, their digest and their file on disk. Does not read the users' formats
(`load.py`) and does not judge what it holds (`audit.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Pairs:
    """`n` pairs of texts.

    text_1, text_2: n texts each. label: shape (n,), float64 in [0, 1]; binary labels are 0.0 and
    1.0, graded scores are scaled by the range that the spec names. groups: column name -> n values,
    the columns by which scores are broken down.
    """

    text_1: Sequence[str]
    text_2: Sequence[str]
    label: npt.NDArray[np.float64]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text_1)

    @property
    def is_binary(self) -> bool:
        """Whether every label is 0 or 1."""
        return bool(np.isin(self.label, (0.0, 1.0)).all())

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Pairs:
        """The pairs at these positions, in this order."""
        return Pairs(
            [self.text_1[i] for i in rows],
            [self.text_2[i] for i in rows],
            self.label[np.asarray(rows, dtype=np.int64)],
            {name: [values[i] for i in rows] for name, values in self.groups.items()},
        )

    def digest(self) -> str:
        """SHA-256 over the content in its order; the files it came from do not matter."""
        digest = hashlib.sha256()
        for row in zip(self.text_1, self.text_2, self.label.tolist(), strict=True):
            digest.update(json.dumps(row, ensure_ascii=True).encode())
        digest.update(json.dumps({k: list(v) for k, v in sorted(self.groups.items())}).encode())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the pairs as parquet. The caller makes the write atomic."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"text_1": list(self.text_1), "text_2": list(self.text_2), "label": self.label}
        groups = {f"group:{name}": list(values) for name, values in self.groups.items()}
        pq.write_table(pa.table({**columns, **groups}), path)

    @classmethod
    def read(cls, path: Path) -> Pairs:
        """Read what `write` wrote."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return cls(
            table["text_1"].to_pylist(),
            table["text_2"].to_pylist(),
            table["label"].to_numpy().astype(np.float64),
            {
                name.removeprefix("group:"): table[name].to_pylist()
                for name in table.column_names
                if name.startswith("group:")
            },
        )


@dataclass(frozen=True)
class Splits:
    """The three splits of one dataset, and what a reader of the scores must know of them.

    test_is_dev: no test split was given, so reports on "test" repeat dev and are optimistic.
    dev_is_cut: no dev split was given, so it was cut off from train.
    """

    train: Pairs
    dev: Pairs
    test: Pairs
    dev_is_cut: bool = False
    test_is_dev: bool = False

    def __getitem__(self, split: str) -> Pairs:
        if split not in SPLITS:
            raise KeyError(split)
        found: Pairs = getattr(self, split)
        return found

    def digest(self) -> str:
        """SHA-256 over the content of the three splits."""
        joined = ":".join(self[split].digest() for split in SPLITS)
        return hashlib.sha256(joined.encode()).hexdigest()


def write_jsonl(pairs: Pairs, path: Path) -> None:
    """Write pairs as the jsonl that `data.train` reads, groups as columns."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(len(pairs)):
            label = pairs.label[i].item()
            row = {
                "text_1": pairs.text_1[i],
                "text_2": pairs.text_2[i],
                "label": int(label) if label.is_integer() else label,
                **{name: values[i] for name, values in pairs.groups.items()},
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
