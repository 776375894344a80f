"""The corpora that trials rank, and among how many documents: said wherever scores are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from embft.data.retrieval import Retrieval
from embft.leaderboard.rows import Leaderboard, Row
from embft.results.dataset import open_retrieval
from embft.results.records import TrialInput
from embft.spec.evaluators import EvaluatorSpec


@dataclass(frozen=True)
class RankedCorpus:
    """A corpus with its judged queries. entry: the evaluator that ranks it. folder: where that
    evaluator's files are frozen, None where the corpus is the data's own.
    """

    entry: EvaluatorSpec
    judged: Retrieval
    folder: Path | None

    @property
    def name(self) -> str:
        """What tells it from the data's own, which has no name."""
        return self.entry.label if self.folder is not None else ""


def judged_of(row: Row, data: str | None = None) -> Retrieval | None:
    """The judged queries that the row's data are, or None. data: where they are frozen, where that
    is known.
    """
    try:
        return _at(row.folder.sweep.dataset(data or row.folder.read_input().data))
    except FileNotFoundError:
        return None


def corpus_notes(leaderboard: Leaderboard) -> Iterator[str]:
    """A sentence for each corpus that trials rank."""
    row = next((row for row in leaderboard.rows if row.completed), None)
    yield from map(_note, [] if row is None else ranked_corpora(row))


def ranked_corpora(row: Row) -> list[RankedCorpus]:
    """Those that the row's trial ranks, in the order of the spec's evaluators."""
    try:
        return [*_ranked(row, row.folder.read_input())]
    except FileNotFoundError:
        return []


def _ranked(row: Row, given: TrialInput) -> Iterator[RankedCorpus]:
    digests = given.evaluators or ("",) * len(given.spec.evaluators)
    for entry, digest in zip(given.spec.evaluators, digests, strict=False):
        if entry.kind == "retrieval":
            folder = row.folder.sweep.evaluator_folder(digest)
            found = judged_of(row, given.data) if folder is None else _at_or_none(folder)
            if found is not None:
                yield RankedCorpus(entry, found, folder)


def _at_or_none(folder: Path) -> Retrieval | None:
    try:
        return _at(folder)
    except FileNotFoundError:
        return None


def _at(folder: Path) -> Retrieval:
    return _opened(folder, (folder / "corpus.parquet").stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(folder: Path, _: int) -> Retrieval:
    return open_retrieval(folder)


def _note(corpus: RankedCorpus) -> str:
    found, fields = corpus.judged, corpus.entry.fields.model_dump()
    count, most = len(found.corpus), int(fields["dev_documents"])
    whose = f"the corpus of {corpus.name}" if corpus.name else "the corpus"
    dev = found.sets.get("dev")
    if dev is None or count <= most:
        return f"Queries are ranked against all {count:,} documents of {whose}, exactly."
    sample = min(count, max(most, len(np.unique(dev.judgements[:, 1]))))
    return (
        f"Test queries are ranked against all {count:,} documents of {whose}, exactly; dev "
        f"queries, after each epoch and in the record, against a fixed sample of {sample:,} of "
        "them, all documents judged for dev included, which is easier: dev's scores do not compare "
        "with test's."
    )
