"""A corpus, queries, and judgements of which documents answer which query.

Covers the types, their digest and their files on disk. Reads no users' files (`judged_files.py`),
encodes and searches nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from embft.data.column import TextColumn, parts, take, write_columns
from embft.data.texts import IntArray

SETS = ("dev", "test")


@dataclass(frozen=True)
class TextSet:
    """n texts with their ids, all different. groups: column name -> n values, of queries only."""

    ids: Sequence[str]
    texts: Sequence[str]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def update(self, digest: Any) -> None:
        """Add the content, in its order, to a digest."""
        for part in parts(self.ids, self.texts, *self.groups.values()):
            digest.update(json.dumps(part).encode())

    def write(self, path: Path) -> None:
        """Write the texts as parquet. The caller makes the write atomic."""
        groups = {f"group:{name}": values for name, values in self.groups.items()}
        write_columns(path, {"id": self.ids, "text": self.texts, **groups})

    @classmethod
    def opened(cls, path: Path) -> TextSet:
        """What `write` wrote; it stays in the file until it is looked at."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        column = {name: TextColumn(file, name) for name in file.schema_arrow.names}
        ids, texts = column.pop("id"), column.pop("text")
        return cls(ids, texts, {k.removeprefix("group:"): v for k, v in column.items()})

    def in_memory(self) -> TextSet:
        """The same with lists, of what was opened."""
        groups = {name: list(values) for name, values in self.groups.items()}
        return TextSet(list(self.ids), list(self.texts), groups)


@dataclass(frozen=True)
class Judged:
    """Queries, each with a relevant document at least, and what was judged of them.

    judgements (m, 3): a query's row, a document's row in the corpus, and the grade, in the order of
    the first two. A document is relevant where its grade is above 0; one that was not judged is
    not.
    """

    queries: TextSet
    judgements: IntArray

    @cached_property
    def relevant(self) -> IntArray:
        """The judgements (r, 3) with a grade above 0."""
        return self.judgements[self.judgements[:, 2] > 0]

    def matches(self, other: Judged) -> bool:
        """Whether both are the same queries, judged alike."""
        return self.queries == other.queries and np.array_equal(self.judgements, other.judgements)


@dataclass(frozen=True)
class Candidates:
    """Documents among which judged queries are ranked, and what was judged of these.

    rows (n,): where the documents stand in the whole corpus; None where they are all of it.
    """

    corpus: TextSet
    judged: Judged
    rows: IntArray | None = None


@dataclass(frozen=True)
class Fault:
    """What is wrong with some of the judgements. count of total, with examples in words."""

    name: str
    split: str
    count: int
    total: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Retrieval:
    """A corpus, and the judged queries of splits; of dev and test the same object where dev stands
    in. faults: what was found wrong when the judgements were read.
    """

    corpus: TextSet
    sets: Mapping[str, Judged]
    faults: tuple[Fault, ...] = field(default=(), compare=False)
    _samples: dict[tuple[str, int], Candidates] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def candidates(self, split: str, most: int | None = None) -> Candidates:
        """The documents among which a split's queries are ranked.

        most: where the corpus is larger, a fixed sample of at most so many documents, or of all
        that were judged for the split if these are more; they are always in it.
        """
        if most is None or len(self.corpus) <= most:
            return Candidates(self.corpus, self.sets[split])
        if (split, most) not in self._samples:
            self._samples[split, most] = _sample(self.corpus, self.sets[split], most)
        return self._samples[split, most]

    @property
    def distinct_sets(self) -> dict[str, Judged]:
        """The judged queries of each split, test left out where dev stands in for it."""
        same = self.sets.get("dev") is self.sets.get("test")
        return {
            split: self.sets[split]
            for split in SETS
            if split in self.sets and not (same and split == "test")
        }

    def of_dev(self) -> Retrieval:
        """The corpus with dev's judged queries alone, without the columns of groups."""
        judged = self.sets["dev"]
        queries = replace(judged.queries, groups={})
        return Retrieval(self.corpus, {"dev": replace(judged, queries=queries)})

    def digest(self) -> str:
        """SHA-256 over corpus, queries and judgements in their order."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        self.corpus.update(digest)
        for split, judged in self.sets.items():
            digest.update(split.encode())
            judged.queries.update(digest)
            digest.update(np.ascontiguousarray(judged.judgements, "<i8").tobytes())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Write everything into a folder. The caller makes the write atomic."""
        self.corpus.write(folder / CORPUS_FILE)
        for split, judged in self.sets.items():
            judged.queries.write(folder / _QUERIES.format(split))
            np.save(folder / _JUDGED.format(split), judged.judgements, allow_pickle=False)

    @classmethod
    def opened(cls, folder: Path) -> Retrieval:
        """What `write` wrote; the corpus stays in its file until it is looked at."""
        there = [split for split in SETS if (folder / _QUERIES.format(split)).exists()]
        sets = {split: _judged(folder, split) for split in there}
        if len(sets) == len(SETS) and sets["dev"].matches(sets["test"]):
            sets["test"] = sets["dev"]
        return cls(TextSet.opened(folder / CORPUS_FILE), sets)


CORPUS_FILE = "corpus.parquet"
_QUERIES, _JUDGED = "queries-{}.parquet", "judged-{}.npy"


def _judged(folder: Path, split: str) -> Judged:
    queries = TextSet.opened(folder / _QUERIES.format(split)).in_memory()
    return Judged(queries, np.load(folder / _JUDGED.format(split), allow_pickle=False))


def _sample(corpus: TextSet, judged: Judged, most: int) -> Candidates:
    """By ascending hash of the ids, so that the draw depends on nothing but the corpus."""
    own = np.unique(judged.judgements[:, 1])
    order = np.fromiter(map(_hash, corpus.ids), np.uint64, len(corpus)).argsort(kind="stable")
    others = order[~np.isin(order, own)][: max(0, most - len(own))]
    rows = np.sort(np.concatenate([own, others]).astype(np.int64))
    judgements = judged.judgements.copy()
    judgements[:, 1] = np.searchsorted(rows, judgements[:, 1])
    sample = TextSet(take(corpus.ids, rows), take(corpus.texts, rows))
    return Candidates(sample, Judged(judged.queries, judgements), rows)


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
