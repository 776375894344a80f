"""Retrieval of each text's positive: ranks among all positives of the set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.evaluation.context import Estimate, Found, reasons
from embft.evaluation.embed import Embedded, unit
from embft.metrics.bootstrap import weighted_interval
from embft.metrics.metric import SHARE, Metric
from embft.metrics.ranking import NDCG_AT, RECALL_AT
from embft.metrics.resampling import sampling_units, text_numbers
from embft.metrics.weighted import FloatArray, IntArray
from embft.results.units import UnitValues

_CELLS = 8_000_000  # cosines in memory at once, 64 MB of float64

MRR = Metric(
    "mrr",
    "Mean reciprocal rank",
    "mean over queries of 1 / rank of the first relevant text",
    bounds=SHARE,
    source="Voorhees (1999)",
    computed_by="retrieval",
    objective=True,
)
OF_PAIRS = (MRR, RECALL_AT.at(1), RECALL_AT.at(10), NDCG_AT.at(10))
_NAMES = tuple(metric.name for metric in OF_PAIRS)


def pair_retrieval(embedded: Embedded, pairs: Pairs) -> Found:
    """How well the first texts of the pairs labelled 1 find their second texts.

    The candidates are all distinct second texts of pairs labelled 1, so that the numbers depend on
    the size of the split. A query that stands among the candidates itself does not find itself.
    """
    positive = np.flatnonzero(pairs.label == 1).tolist()
    rows = [i for i in positive if pairs.text_1[i] != pairs.text_2[i]]
    query = _numbered([pairs.text_1[i] for i in rows])
    candidate = _numbered([pairs.text_2[i] for i in rows])
    if len(candidate) < 2:
        reason = f"fewer than 2 distinct texts to find ({len(candidate)})"
        return reasons(_NAMES, reason)
    relevant = [(query[pairs.text_1[i]], candidate[pairs.text_2[i]]) for i in rows]
    by_query, by_candidate = (
        dict(zip((texts[i] for i in rows), rows, strict=True))
        for texts in (pairs.text_1, pairs.text_2)
    )
    vectors = embedded.first[list(map(by_query.__getitem__, query))]
    corpus = embedded.second[list(map(by_candidate.__getitem__, candidate))]
    if not (np.isfinite(vectors).all() and np.isfinite(corpus).all()):
        return reasons(_NAMES, "embeddings are not finite numbers")
    itself = np.array([candidate.get(text, -1) for text in query])
    found = by_query_metrics(vectors, corpus, np.unique(np.array(relevant), axis=0), itself)
    return _with_intervals(found, pairs, np.array([by_query[text] for text in query]))


def retrieval(
    query_embeddings: npt.NDArray[np.floating],
    positive_embeddings: npt.NDArray[np.floating],
    relevant: IntArray | None = None,
    itself: IntArray | None = None,
) -> dict[str, float]:
    """The means over queries of `by_query_metrics`."""
    found = by_query_metrics(query_embeddings, positive_embeddings, relevant, itself)
    return {name: float(values.mean()) for name, values in found.items()}


def by_query_metrics(
    query_embeddings: npt.NDArray[np.floating],
    positive_embeddings: npt.NDArray[np.floating],
    relevant: IntArray | None = None,
    itself: IntArray | None = None,
) -> dict[str, FloatArray]:
    """mrr, recall_at_1, recall_at_10 and ndcg_at_10 of ranking all positives by cosine, (q,) each.

    `query_embeddings` (q, width), `positive_embeddings` (p, width). `relevant` (m, 2): distinct
    pairs of a query's row and the row of a positive of it; without it row i belongs to row i.
    Each query needs one at least. `itself` (q,): the row among the positives that is the query's
    own text and no candidate for it, -1 where there is none. Of equal cosines the irrelevant text
    ranks first, so that collapsed embeddings score low (Järvelin and Kekäläinen, 2002, for nDCG).
    """
    queries, corpus = unit(query_embeddings), unit(positive_embeddings)
    found = np.repeat(np.arange(len(queries)), 2).reshape(-1, 2) if relevant is None else relevant
    none = np.full(len(queries), -1)
    own, ahead = _counts(queries, corpus, found, none if itself is None else itself)
    order = np.lexsort((-own, found[:, 0]))
    return _rank_metrics(found[order, 0], own[order], ahead[order], len(queries))


def _counts(
    queries: FloatArray, corpus: FloatArray, relevant: IntArray, itself: IntArray
) -> tuple[FloatArray, IntArray]:
    """For each row of `relevant` its cosine, and how many candidates reach it, it included."""
    own, ahead = np.empty(len(relevant)), np.empty(len(relevant), np.int64)
    step = max(1, _CELLS // len(corpus))
    for start in range(0, len(relevant), step):
        query, positive = relevant[start : start + step].T
        scores = queries[query] @ corpus.T
        barred = np.flatnonzero(itself[query] >= 0)
        scores[barred, itself[query[barred]]] = -np.inf
        own[start : start + step] = mine = scores[np.arange(len(query)), positive]
        ahead[start : start + step] = (scores >= mine[:, None]).sum(axis=1)
    return own, ahead


def _rank_metrics(
    query: IntArray, own: FloatArray, ahead: IntArray, n: int
) -> dict[str, FloatArray]:
    """The metrics of relevant texts sorted by query and falling cosine."""
    number = np.bincount(query, minlength=n)
    if (number == 0).any():
        raise ValueError(f"query {int(np.argmin(number))} has no relevant text")
    first = np.r_[0, np.cumsum(number)[:-1]]
    place = np.arange(len(query)) - first[query] + 1
    # The last place among this query's relevant texts of the same cosine: they all reach it.
    ends = np.flatnonzero(np.r_[(np.diff(query) != 0) | (np.diff(own) != 0), True])
    reaching = place[ends[np.searchsorted(ends, np.arange(len(query)))]]
    rank = ahead - reaching + place
    gain = np.where(rank <= 10, 1 / np.log2(1 + rank), 0.0)
    ideal = np.cumsum(1 / np.log2(np.arange(2, 12)))[np.minimum(number, 10) - 1]
    return {
        "mrr": 1 / rank[first],
        "recall_at_1": np.bincount(query, rank <= 1) / number,
        "recall_at_10": np.bincount(query, rank <= 10) / number,
        "ndcg_at_10": np.bincount(query, gain) / ideal,
    }


def _with_intervals(found: dict[str, FloatArray], pairs: Pairs, rows: IntArray) -> Found:
    """The means over queries, with intervals from drawing each query as its first pair is drawn.

    rows (q,): the first pair of each query.
    """
    units = sampling_units(pairs.text_1, pairs.text_2)
    queries, ends = _as_units(pairs, rows)

    def estimate(values: FloatArray) -> Estimate:
        def mean(weights: FloatArray) -> FloatArray:
            mine = weights[:, rows]
            means: FloatArray = mine @ values / mine.sum(axis=1)
            return means

        by_unit = UnitValues("query", queries, values, ends=ends)
        return Estimate(float(values.mean()), weighted_interval(mean, units), by_unit)

    return {name: estimate(values) for name, values in found.items()}


def _as_units(pairs: Pairs, rows: IntArray) -> tuple[tuple[str, ...], IntArray]:
    """The queries' texts (q,), and numbers (q, 2) of the two texts of each one's first pair."""
    first, second = ([texts[i] for i in rows.tolist()] for texts in (pairs.text_1, pairs.text_2))
    return tuple(first), text_numbers(first, second)


def _numbered(texts: Sequence[str]) -> dict[str, int]:
    return {text: i for i, text in enumerate(dict.fromkeys(texts))}
