"""Hard negatives that stand in the rows: rows with fewer than others, and those that are positives.

Negatives of a batch's other rows are in `labels.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embft.data.audit.corpus import Corpus
from embft.data.audit.findings import Finding, examples
from embft.data.texts import IntArray


def hard_negatives(corpus: Corpus) -> Iterator[Finding]:
    """Findings of train's own negatives, where it has any."""
    columns = corpus.normal_negatives.get("train", ())
    if not columns:
        return
    negatives = np.stack(columns, axis=1)
    yield from _positives(corpus, negatives)
    yield from _repeated(corpus, negatives)


def _positives(corpus: Corpus, negatives: IntArray) -> Iterator[Finding]:
    """Rows (n,) with a negative (n, k) that elsewhere is a positive of the same anchor."""
    first, second = corpus.normal["train"]
    related = np.unique(np.concatenate([_edges(first, second), _edges(first, first)]))
    wrong = np.isin(_edges(first[:, None], negatives), related).any(axis=1)
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return
    yield Finding(
        "negatives_are_positives",
        "warning",
        len(rows),
        len(first),
        f"{len(rows)} of the {len(first)} train rows have a negative that is the anchor's own text "
        "or elsewhere a positive of the same anchor.",
        "The loss pushes apart what other rows pull together.",
        "Remove these negatives.",
        examples(corpus.splits["train"], "train", rows),
    )


def _repeated(corpus: Corpus, negatives: IntArray) -> Iterator[Finding]:
    """Rows (n,) whose negatives (n, k) are not k different texts."""
    ordered = np.sort(negatives, axis=1)
    different = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
    most = int(different.max())
    rows = np.flatnonzero(different < most)
    if not len(rows):
        return
    yield Finding(
        "fewer_negatives",
        "info",
        len(rows),
        len(different),
        f"{len(rows)} of the {len(different)} train rows have fewer different negatives than the "
        f"{most} that others have.",
        "A row with fewer repeats its own in turn, so that each of them counts more.",
        "If this is not meant, give each row as many negatives.",
        examples(corpus.splits["train"], "train", rows),
        {"rows_by_number": {str(n): int((different == n).sum()) for n in range(1, most + 1)}},
    )


def _edges(first: IntArray, second: IntArray) -> IntArray:
    """A number for each (anchor, text)."""
    return np.asarray((first << np.int64(31)) | second, np.int64)
