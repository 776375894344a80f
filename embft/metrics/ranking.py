"""The metrics of a ranking of documents for queries, computed by trec_eval's own code.

Here stands which metrics there are, and in what order tied documents come: that is decided before
trec_eval sees them, which would order them by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from embft.metrics.metric import Family
from embft.metrics.weighted import FloatArray, IntArray

NDCG_AT = Family(
    "ndcg",
    "nDCG@{k}",
    "mean over queries of DCG / ideal DCG of the first {k}, gain the grade, discount 1 / log2(1 + "
    "rank)",
    source="Järvelin and Kekäläinen (2002)",
    computed_by="retrieval",
)
MRR_AT = Family(
    "mrr",
    "MRR@{k}",
    "mean over queries of 1 / rank of the first relevant text, 0 beyond rank {k}",
    source="Voorhees (1999)",
    computed_by="retrieval",
)
MAP_AT = Family(
    "map",
    "MAP@{k}",
    "mean over queries of the sum of precision at each relevant text among the first {k}, divided "
    "by the number of relevant texts",
    source="Manning, Raghavan and Schütze (2008), 8.4",
    computed_by="retrieval",
)
RECALL_AT = Family(
    "recall",
    "Recall@{k}",
    "mean over queries of the share of relevant texts among the first {k}",
    source="Manning, Raghavan and Schütze (2008), 8.4",
    computed_by="retrieval",
)
PRECISION_AT = Family(
    "precision",
    "Precision@{k}",
    "mean over queries of the share of the first {k} that is relevant",
    source="Manning, Raghavan and Schütze (2008), 8.4",
    computed_by="retrieval",
)
SUCCESS_AT = Family(
    "success",
    "Success@{k}",
    "share of queries with a relevant text among the first {k}",
    source="trec_eval",
    computed_by="retrieval",
)
INDEX_RECALL_AT = Family(
    "index_recall",
    "Recall of an index, {k} cells",
    "mean over queries of the share of exact search's first 10 documents that an approximate index "
    "finds in its {k} nearest cells",
    source="Douze et al. (2024), faiss",
    computed_by="retrieval",
)
FAMILIES = (NDCG_AT, MRR_AT, MAP_AT, RECALL_AT, PRECISION_AT, SUCCESS_AT)

# trec_eval's names; its reciprocal rank has no cut-off.
_TREC = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}
_TREC |= {"success": "success"}


def names_at(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """The names of the metrics with these cut-offs."""
    return tuple(family.at(k).name for k in cutoffs for family in FAMILIES)


def ranking_metrics(
    ranked: IntArray, judgements: IntArray, cutoffs: Sequence[int]
) -> dict[str, FloatArray]:
    """The metrics of each query, shape (q,), by name.

    ranked (q, depth): the documents found, the best first, -1 where there are no more; depth is the
    largest cut-off or more, unless the corpus is smaller. judgements (m, 3): query, document and
    grade, of which each query has one above 0.
    """
    import pytrec_eval

    grades: dict[str, dict[str, int]] = {}
    for query, document, grade in judgements.tolist():
        grades.setdefault(str(query), {})[str(document)] = max(grade, 0)
    run = {str(query): _scores(row) for query, row in enumerate(ranked.tolist())}
    cuts = ",".join(map(str, cutoffs))
    measures = {f"{name}.{cuts}" for name in _TREC.values()} | {"recip_rank"}
    found = pytrec_eval.RelevanceEvaluator(grades, measures).evaluate(run)
    by_query = [found[str(query)] for query in range(len(ranked))]
    return {
        f"{stem}_at_{k}": _values(by_query, f"{name}_{k}")
        for k in cutoffs
        for stem, name in _TREC.items()
    } | _reciprocal_ranks(_values(by_query, "recip_rank"), cutoffs)


def _scores(row: Sequence[int]) -> dict[str, float]:
    """Scores that fall by one with each place, so that trec_eval keeps the order."""
    documents = [str(document) for document in row if document >= 0]
    return {document: float(len(documents) - i) for i, document in enumerate(documents)}


def _values(by_query: Sequence[Mapping[str, float]], name: str) -> FloatArray:
    return np.array([found[name] for found in by_query])


def _reciprocal_ranks(found: FloatArray, cutoffs: Sequence[int]) -> dict[str, FloatArray]:
    # Half a rank apart, so that rounding decides nothing.
    return {f"mrr_at_{k}": np.where(found > 1 / (k + 0.5), found, 0.0) for k in cutoffs}
