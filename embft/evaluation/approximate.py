"""An approximate index over encoded documents, and how much of exact search it finds.

What serves a large corpus is seldom exact. Scores of trials always are (`search.py`); this says
what an index would cost of them. By faiss (Douze et al., 2024), the extra `embft[ann]`: an inverted
file, whose cells are k-means clusters of which a query looks at the nearest few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embft.evaluation.search import Block, Hits, Vectors
from embft.metrics.weighted import FloatArray, IntArray

if TYPE_CHECKING:
    from embft.evaluation.corpus import Corpus

_CELLS_ROOT = 4  # cells: so many times the square root of the number of documents
_SAMPLE = 64  # documents a cell that k-means looks at


@dataclass(frozen=True)
class Approximate:
    """An index of documents. cells: how many clusters it has."""

    index: Any
    cells: int

    @classmethod
    def of(cls, corpus: Corpus) -> Approximate:
        """Of a corpus; half of its vectors' size in memory."""
        import faiss

        count, width = corpus.shape
        cells = max(1, min(int(_CELLS_ROOT * count**0.5), count // _SAMPLE))
        quantizer = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, width, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index.train(_drawn(corpus.blocks, count, cells * _SAMPLE))
        for _, vectors in corpus.blocks():
            index.add(np.ascontiguousarray(vectors))
        return cls(index, cells)

    def search(self, queries: Vectors, k: int, probes: int) -> IntArray:
        """The k documents (q, k) that the nearest cells, so many, hold for each query; -1 where
        there are no more.
        """
        self.index.nprobe = min(probes, self.cells)
        found: IntArray = self.index.search(np.ascontiguousarray(queries), k)[1]
        return found


def recall(found: IntArray, exact: Hits) -> FloatArray:
    """Of each query (q,) the share of the documents of exact search that were found."""
    wanted = exact.documents[:, : found.shape[1]]
    shares = [
        np.isin(row[row >= 0], own).sum() / max(1, int((row >= 0).sum()))
        for row, own in zip(wanted, found, strict=True)
    ]
    return np.array(shares, np.float64)


def _drawn(blocks: Callable[[], Iterator[Block]], count: int, most: int) -> Vectors:
    """So many of the vectors, spread evenly."""
    step = max(1, -(-count // most))
    parts = [np.array(vectors[-first % step :: step]) for first, vectors in blocks()]
    return np.ascontiguousarray(np.concatenate(parts))
