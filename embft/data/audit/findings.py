"""What an audit finds: the types, and how rows are shown.

Does not look at data: each kind of finding has its own module beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from embft.data.pairs import Pairs
from embft.data.texts import IntArray

Severity = Literal["info", "warning", "problem"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "info")
EXAMPLES = 5
SHOWN = 200
MINED = "mined_negatives"
"""The finding of negatives that were mined, which each data set of a sweep may have."""


@dataclass(frozen=True)
class Finding:
    """One thing that a reader of the scores should know.

    count of total: how many are concerned of how many were looked at (rows, unless the message
    says otherwise). message: what it is; effect: what it does to the scores; advice: what to do.
    details: plain numbers, texts and mappings of them.
    """

    name: str
    severity: Severity
    count: int
    total: int
    message: str
    effect: str
    advice: str
    examples: tuple[dict[str, Any], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All findings, the gravest first, and the rows that stand in more than one split.

    leaked_rows: positions from 0 of pairs that are equal but for case, punctuation, spacing and
    order of the two texts: `dev_from_train` and `test_from_train` (rows of dev and of test),
    `test_from_dev` (rows of test; empty where test is dev), `train` (rows of train that stand in
    dev or test). sizes: the number of pairs of each split.
    """

    findings: tuple[Finding, ...]
    leaked_rows: Mapping[str, IntArray]
    sizes: Mapping[str, int]

    def find(self, name: str) -> Finding | None:
        """The finding of this name, if there is one."""
        return next((finding for finding in self.findings if finding.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values only, for `json.dumps(…, allow_nan=False)`."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "leaked_rows": {name: rows.tolist() for name, rows in self.leaked_rows.items()},
            "sizes": dict(self.sizes),
        }


def grade(count: int, total: int, at_most: Severity = "problem") -> Severity:
    """How grave it is by its share: from one in a hundred on it is as grave as `at_most`."""
    index = SEVERITIES.index(at_most)
    return SEVERITIES[index if count >= 0.01 * total else min(index + 1, 2)]


def shorten(text: str) -> str:
    """The text as an example shows it."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def example(pairs: Pairs, split: str, row: int, **more: object) -> dict[str, Any]:
    """One pair as an example; rows count from 1. at: the file and line that it was read from."""
    at = {} if pairs.origin is None else {"at": pairs.origin.at(row)}
    return {
        "split": split,
        "row": int(row) + 1,
        **at,
        "text_1": shorten(pairs.text_1[row]),
        "text_2": shorten(pairs.text_2[row]),
        "label": pairs.given_label(row),
        **more,
    }


def examples(pairs: Pairs, split: str, rows: Iterable[int]) -> tuple[dict[str, Any], ...]:
    """The first few of these rows as examples."""
    return tuple(example(pairs, split, row) for row in list(rows)[:EXAMPLES])


def sample(size: int, limit: int) -> IntArray:
    """All positions below `size`, or `limit` of them drawn evenly, always the same; ascending."""
    if size <= limit:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, limit, replace=False)).astype(np.int64)
