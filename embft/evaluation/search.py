"""Exact search: the documents nearest to each query, over a corpus that is read block by block.

Of equal scores the document with the lower grade comes first, one that was not judged counting as
0: a model that cannot tell documents apart is given the worst order of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from embft.encoding.linear import dot_products
from embft.metrics.weighted import IntArray

Vectors = npt.NDArray[np.float32]
Block = tuple[int, Vectors]
"""The row of its first vector, and vectors of length 1, shape (b, width)."""

_QUERIES = 256  # scored together: with a block of 65,536 documents 64 MB
_GROUP = 64  # documents of which the highest score is looked at first
_CROWDED = 8  # candidates a place, from which on ties are thinned before they are sorted


@dataclass(frozen=True)
class Grades:
    """The grades of judged documents. keys: query * count + document, ascending; count: of
    documents.
    """

    keys: IntArray
    grades: IntArray
    count: int

    @classmethod
    def of(cls, judgements: IntArray, count: int) -> Grades:
        """Of judgements (m, 3); where one stands twice the higher grade counts."""
        keys = judgements[:, 0] * count + judgements[:, 1]
        order = np.lexsort((-judgements[:, 2], keys))
        kept, first = np.unique(keys[order], return_index=True)
        return cls(kept, judgements[order, 2][first], count)

    def at(self, queries: IntArray, documents: IntArray) -> IntArray:
        """The grade of each document for its query; 0 where it was not judged."""
        if not len(self.keys):
            return np.zeros(len(queries), np.int64)
        wanted = queries * self.count + documents
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[place] == wanted, self.grades[place], 0)


@dataclass(frozen=True)
class Hits:
    """Of each query the documents found, the best first. documents (q, k): -1 where there are no
    more; scores (q, k).
    """

    documents: IntArray
    scores: Vectors


def search(
    queries: Vectors,
    blocks: Iterable[Block],
    k: int,
    grades: Grades,
    barred: IntArray | None = None,
) -> Hits:
    """The k documents of the highest cosine for each query.

    queries (q, width): of length 1. barred (q,): the document that is no candidate for a query, its
    own text for instance; -1 where there is none.
    """
    parts = [
        _Nearest(start, queries[start : start + _QUERIES], k, grades, barred)
        for start in range(0, len(queries), _QUERIES)
    ]
    # In training this runs where products are cast to 16 bits, which do not tell neighbours apart.
    with torch.autocast("cpu", enabled=False), torch.no_grad():
        for first, vectors in blocks:
            for part in parts:
                part.add(first, vectors)
    return Hits(
        np.concatenate([part.documents() for part in parts]),
        np.concatenate([part.scores() for part in parts]),
    )


def _reaching(scores: torch.Tensor, least: torch.Tensor) -> tuple[IntArray, IntArray]:
    """Rows and columns of finite scores (q, b) that reach their row's lowest, (q,).

    Nearly none does once a part of the corpus was seen, so that the highest of each few columns is
    looked at, which reads the scores once and writes little.
    """
    whole = scores.shape[1] // _GROUP * _GROUP
    groups = scores[:, :whole].unflatten(1, (-1, _GROUP))
    row, group = (groups.amax(2) >= least[:, None]).nonzero().T
    inside = groups[row, group]
    found, place = ((inside >= least[row, None]) & (inside > -torch.inf)).nonzero().T
    rest = scores[:, whole:]
    last_row, last = ((rest >= least[:, None]) & (rest > -torch.inf)).nonzero().T
    rows = torch.cat([row[found], last_row])
    return rows.numpy(), torch.cat([group[found] * _GROUP + place, last + whole]).numpy()


class _Nearest:
    """The nearest documents of some queries so far. start: the number of the first query."""

    def __init__(
        self, start: int, queries: Vectors, k: int, grades: Grades, barred: IntArray | None
    ) -> None:
        self.queries, self.k, self.grades = torch.from_numpy(queries), k, grades
        self.numbers = np.arange(start, start + len(queries))
        none = np.full(len(queries), -1, np.int64)
        self.barred = none if barred is None else barred[self.numbers]
        self.found = np.full((len(queries), k), -1, np.int64)
        self.values = np.full((len(queries), k), -np.inf, np.float32)

    def add(self, first: int, vectors: Vectors) -> None:
        """Look at a block of documents, of which the first has this number."""
        scores = dot_products(self.queries, torch.from_numpy(vectors))
        own = self.barred - first
        inside = np.flatnonzero((own >= 0) & (own < len(vectors)))
        scores[torch.from_numpy(inside), torch.from_numpy(own[inside])] = -torch.inf
        rows, columns = self._candidates(scores)
        values = scores[torch.from_numpy(rows), torch.from_numpy(columns)].numpy()
        self._merge(rows, columns + first, values)

    def _candidates(self, scores: torch.Tensor) -> tuple[IntArray, IntArray]:
        """Queries and columns whose scores reach the lowest that each query has kept."""
        least = torch.from_numpy(self.values[:, -1].copy())
        empty = torch.isinf(least)
        if empty.any():
            most = min(self.k, scores.shape[1])
            least[empty] = scores[empty].topk(most, dim=1).values[:, -1]
        rows, columns = _reaching(scores, least)
        if len(rows) > _CROWDED * self.values.size:
            reached = (scores >= least[:, None]) & (scores > -torch.inf)
            rows, columns = self._thinned(scores, least, reached).numpy().nonzero()
        return rows.astype(np.int64), columns.astype(np.int64)

    def _thinned(
        self, scores: torch.Tensor, least: torch.Tensor, reached: torch.Tensor
    ) -> torch.Tensor:
        """Without most of the documents that only equal the lowest score: of these so many of the
        first as fill all places though some of them were judged relevant.
        """
        judged = np.bincount((self.grades.keys // self.grades.count), minlength=1).max(initial=0)
        tied = reached & (scores == least[:, None])
        return reached & (~tied | (tied.cumsum(dim=1) <= self.k + int(judged)))

    def _merge(self, rows: IntArray, documents: IntArray, values: Vectors) -> None:
        old, place = (self.found >= 0).nonzero()
        query = np.concatenate([old, rows])
        document = np.concatenate([self.found[old, place], documents])
        value = np.concatenate([self.values[old, place], values])
        grade = self.grades.at(self.numbers[query], document)
        order = np.lexsort((document, grade, -value, query))
        query, document, value = query[order], document[order], value[order]
        start = np.searchsorted(query, np.arange(len(self.numbers)))
        place = np.arange(len(query)) - start[query]
        kept = place < self.k
        self.found[query[kept], place[kept]] = document[kept]
        self.values[query[kept], place[kept]] = value[kept]

    def documents(self) -> IntArray:
        """The documents (q, k)."""
        return self.found

    def scores(self) -> Vectors:
        """Their scores (q, k)."""
        return self.values
