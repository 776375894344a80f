"""Clustering of texts with class labels, and retrieval of each text's positive.

Both follow the usual benchmarks' protocols: v-measure of mini-batch k-means with as many clusters
as labels (MTEB: Muennighoff et al., 2023), and ranks among all positives of the set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.data.read import read_rows
from embft.errors import DataError
from embft.evaluation.context import Context, Found
from embft.evaluation.embed import Embedded, unit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BATCH = 500
_CELLS = 8_000_000  # cosines in memory at once, 64 MB of float64
_RETRIEVAL = ("mrr", "recall_at_1", "recall_at_10", "ndcg_at_10")


def v_measure(
    embeddings: npt.NDArray[np.floating],
    labels: Sequence[str] | npt.NDArray[np.generic],
    seeds: int = 5,
    draw: int | None = None,
) -> tuple[float, float]:
    """Mean and sd (ddof 1; 0 with one seed) over seeds of the v-measure of mini-batch k-means.

    `embeddings` (n, width), as the model gives them; `labels` (n,), as many clusters as there are
    different ones. `draw`: so many texts are drawn with replacement for each seed, as MTEB's
    bootstraps do; all texts without it (Rosenberg and Hirschberg, 2007).
    """
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    if len(classes) != len(embeddings):
        raise ValueError(f"{len(classes)} labels for {len(embeddings)} embeddings")
    scores = [_one_v_measure(embeddings, classes, seed, draw) for seed in range(seeds)]
    return float(np.mean(scores)), float(np.std(scores, ddof=1)) if seeds > 1 else 0.0


def _one_v_measure(
    embeddings: npt.NDArray[np.floating], classes: IntArray, seed: int, draw: int | None
) -> float:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    n, count = len(classes), int(classes.max()) + 1
    rows = np.random.default_rng(seed).integers(n, size=draw) if draw else np.arange(n)
    model = MiniBatchKMeans(count, batch_size=_BATCH, n_init="auto", random_state=seed)
    return float(v_measure_score(classes[rows], model.fit_predict(embeddings[rows])))


def read_labelled(path: Path, text: str = "text", label: str = "label") -> tuple[list[str], ...]:
    """Texts and their class labels from a file with these two columns, as two lists.

    Formats as for pairs. Raises DataError, also where there are fewer than 2 different labels.
    """
    rows = [
        (str(t or ""), str("" if c is None else c))
        for _, (t, c) in read_rows(path, [text, label], required=2)
    ]
    if len({c for _, c in rows}) < 2:
        raise DataError(f"{path}: column {label!r} needs at least 2 different labels to cluster by")
    return [t for t, _ in rows], [c for _, c in rows]


def retrieval_of_pairs(context: Context) -> dict[str, Found]:
    """mrr, recall_at_1, recall_at_10 and ndcg_at_10 of dev and test; see `pair_retrieval`."""
    splits, embedded = context.splits, context.embedded
    test = pair_retrieval(embedded["test"], splits.test)
    same = splits.test is splits.dev
    return {"dev": test if same else pair_retrieval(embedded["dev"], splits.dev), "test": test}


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
        return dict.fromkeys(_RETRIEVAL, reason)
    relevant = [(query[pairs.text_1[i]], candidate[pairs.text_2[i]]) for i in rows]
    by_query, by_candidate = (
        dict(zip((texts[i] for i in rows), rows, strict=True))
        for texts in (pairs.text_1, pairs.text_2)
    )
    vectors = embedded.first[list(map(by_query.__getitem__, query))]
    corpus = embedded.second[list(map(by_candidate.__getitem__, candidate))]
    if not (np.isfinite(vectors).all() and np.isfinite(corpus).all()):
        return dict.fromkeys(_RETRIEVAL, "embeddings are not finite numbers")
    itself = np.array([candidate.get(text, -1) for text in query])
    return dict(retrieval(vectors, corpus, np.unique(np.array(relevant), axis=0), itself))


def retrieval(
    query_embeddings: npt.NDArray[np.floating],
    positive_embeddings: npt.NDArray[np.floating],
    relevant: IntArray | None = None,
    itself: IntArray | None = None,
) -> dict[str, float]:
    """mrr, recall_at_1, recall_at_10 and ndcg_at_10 of ranking all positives by cosine.

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


def _rank_metrics(query: IntArray, own: FloatArray, ahead: IntArray, n: int) -> dict[str, float]:
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
        "mrr": float((1 / rank[first]).mean()),
        "recall_at_1": float((np.bincount(query, rank <= 1) / number).mean()),
        "recall_at_10": float((np.bincount(query, rank <= 10) / number).mean()),
        "ndcg_at_10": float((np.bincount(query, gain) / ideal).mean()),
    }


def _numbered(texts: Sequence[str]) -> dict[str, int]:
    return {text: i for i, text in enumerate(dict.fromkeys(texts))}
