"""One model's ranking of a corpus for the judged queries of a split: metrics, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from embft.data.column import take
from embft.data.retrieval import SETS, Candidates, Judged, Retrieval, TextSet
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.corpus import Corpus, encode_corpus, encode_queries
from embft.evaluation.search import Grades, Hits, Vectors, search
from embft.metrics.bootstrap import weighted_interval
from embft.metrics.ranking import INDEX_RECALL_AT, ranking_metrics
from embft.metrics.resampling import GIANT_SHARE
from embft.metrics.weighted import FloatArray, IntArray
from embft.results.folders import TrialDir
from embft.results.retrieved import DEPTH, Retrieved
from embft.results.units import UnitValues

if TYPE_CHECKING:
    from embft.evaluation.retrieval import Retrieval as Evaluator

_DIGEST_LENGTH = 12


class Ranked:
    """What a model found for one split's queries. documents (q, k): rows of the corpus, -1 where
    there are no more. index: by the number of cells, each query's recall (q,) of an approximate
    index.
    """

    def __init__(
        self, corpus: TextSet, judged: Judged, hits: Hits, index: Mapping[int, FloatArray]
    ) -> None:
        self.corpus, self.judged, self.hits, self.index = corpus, judged, hits, index

    @classmethod
    def of(
        cls,
        context: Context,
        found: Candidates,
        encoded: Corpus,
        depth: int,
        probes: Sequence[int] = (),
    ) -> Ranked:
        """Encode the queries, and search the documents for them. depth: how many are kept. probes:
        numbers of cells that an approximate index is tried with.
        """
        corpus, judged = found.corpus, found.judged
        queries = encode_queries(context.model, judged.queries.texts)
        barred = _own_texts(corpus, encoded, judged)
        grades = Grades.of(_by_text(judged.judgements, encoded), encoded.shape[0])
        hits = search(queries, encoded.blocks(), depth, grades, barred)
        index = _recalls(encoded, queries, hits, probes)
        return cls(corpus, judged, _as_documents(hits, encoded, judged, len(corpus)), index)

    def metrics(self, cutoffs: tuple[int, ...]) -> Found:
        """Their means over queries, with intervals and the queries' own values."""
        found = ranking_metrics(self.hits.documents, self.judged.judgements, cutoffs)
        found |= {INDEX_RECALL_AT.at(n).name: values for n, values in self.index.items()}
        ends = _ends(self.judged)
        return {name: self._estimate(values, ends) for name, values in found.items()}

    def _estimate(self, values: FloatArray, ends: IntArray) -> Estimate:
        by_unit = UnitValues("query", tuple(self.judged.queries.ids), values, ends=ends)
        interval = weighted_interval(by_unit.resampled, by_unit.drawn) if len(values) > 1 else None
        return Estimate(float(values.mean()), interval, by_unit)

    def retrieved(self) -> Retrieved:
        """The first documents of each query, by their ids."""
        documents = self.hits.documents[:, :DEPTH]
        query = np.repeat(np.arange(len(documents))[:, None], documents.shape[1], axis=1)
        grades = Grades.of(self.judged.judgements, len(self.corpus)).at(
            query.ravel(), documents.ravel()
        )
        used = np.unique(documents[documents >= 0])
        name = dict(zip(used.tolist(), take(self.corpus.ids, used), strict=True))
        count = (documents >= 0).sum(axis=1).tolist()
        rows, scores, graded = (
            [row[:n] for row, n in zip(each.tolist(), count, strict=True)]
            for each in (documents, self.hits.scores, grades.reshape(documents.shape))
        )
        ids = [[name[i] for i in row] for row in rows]
        return Retrieved(list(self.judged.queries.ids), ids, scores, graded)


def rank_splits(context: Context, judged: Retrieval, spec: Evaluator) -> dict[str, Ranked]:
    """What is found for each split that is asked for and judged: test in the whole corpus, dev in
    its sample. The corpus is encoded once.
    """
    asked = [split for split in SETS if split in context.asked and split in judged.sets]
    limits = {"dev": spec.dev_documents}
    found = {split: judged.candidates(split, limits.get(split)) for split in asked}
    encode = partial(_encode, context, judged)
    needs_all = any(each.rows is None for each in found.values())
    whole = encode(judged.corpus) if needs_all else None
    ranked = {}
    for split, each in found.items():
        encoded = whole if each.rows is None else whole and whole.take(each.rows)
        encoded = encoded or encode(each.corpus)
        probes = spec.index if split == "test" else ()
        ranked[split] = Ranked.of(context, each, encoded, max(*spec.k, DEPTH), probes)
    return ranked


def _recalls(
    encoded: Corpus, queries: Vectors, hits: Hits, probes: Sequence[int]
) -> dict[int, FloatArray]:
    if not probes:
        return {}
    from embft.evaluation.approximate import Approximate, recall

    index = Approximate.of(encoded)
    return {n: recall(index.search(queries, DEPTH, n), hits) for n in probes}


def _encode(context: Context, judged: Retrieval, corpus: TextSet) -> Corpus:
    """In a trial into a file that is this corpus's own, with progress that others see."""
    if context.folder is None:
        return encode_corpus(context.model, corpus, progress=context.progress)
    trial = TrialDir(context.folder)
    folder = trial.corpus_folder / judged.digest()[:_DIGEST_LENGTH]
    return encode_corpus(context.model, corpus, folder, partial(_tell, trial))


def _tell(trial: TrialDir, done: int, total: int, left: float) -> None:
    """A line of progress while a corpus is encoded."""
    trial.append_progress({"event": "encoding", "done": done, "total": total, "seconds_left": left})


def _by_text(judgements: IntArray, encoded: Corpus) -> IntArray:
    """Judgements (m, 3) of documents as those of their texts."""
    found = judgements.copy()
    found[:, 1] = encoded.text[judgements[:, 1]]
    return found


def _own_texts(corpus: TextSet, encoded: Corpus, judged: Judged) -> IntArray:
    """For each query (q,) the number of the text that is its own, -1 where there is none or where
    that text was judged relevant to it.
    """
    wanted = set(judged.queries.texts)
    place = {text: row for row, text in enumerate(corpus.texts) if text in wanted}
    relevant = set(map(tuple, _by_text(judged.relevant, encoded)[:, :2].tolist()))
    found = [
        int(encoded.text[place[text]]) if text in place else -1 for text in judged.queries.texts
    ]
    return np.array(
        [-1 if (query, t) in relevant else t for query, t in enumerate(found)], np.int64
    )


def _as_documents(hits: Hits, encoded: Corpus, judged: Judged, count: int) -> Hits:
    """Documents in the place of texts: of one text that several documents have, all of them, those
    with the lower grade first.
    """
    depth = hits.documents.shape[1]
    order = np.argsort(encoded.text, kind="stable")
    ends = np.searchsorted(encoded.text[order], np.arange(encoded.shape[0] + 1))
    query, place = (hits.documents >= 0).nonzero()
    text = hits.documents[query, place]
    times = ends[text + 1] - ends[text]
    offset = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    document = order[np.repeat(ends[text], times) + offset]
    score: Vectors = np.repeat(hits.scores[query, place], times)
    query = np.repeat(query, times)
    grade = Grades.of(judged.judgements, count).at(query, document)
    sorting = np.lexsort((document, grade, -score, query))
    query, document, score = query[sorting], document[sorting], score[sorting]
    rank = np.arange(len(query)) - np.searchsorted(query, np.arange(len(hits.documents)))[query]
    kept = rank < depth
    found, scores = np.full_like(hits.documents, -1), np.full_like(hits.scores, -np.inf)
    found[query[kept], rank[kept]] = document[kept]
    scores[query[kept], rank[kept]] = score[kept]
    return Hits(found, scores)


def _ends(judged: Judged) -> IntArray:
    """What each query rests on (q, 2): itself, and the queries and documents that relevance links
    it to; where these are nearly all, its most relevant document alone.
    """
    count, relevant = len(judged.queries), judged.relevant
    documents = np.unique(relevant[:, 1], return_inverse=True)[1].reshape(-1)
    size = count + int(documents.max()) + 1
    edges = (relevant[:, 0], count + documents)
    graph = sparse.coo_array((np.ones(len(relevant)), edges), shape=(size, size))
    linked = csgraph.connected_components(graph, directed=False)[1][:count]
    if np.bincount(linked).max() > max(GIANT_SHARE * count, 1):
        best = np.lexsort((documents, -relevant[:, 2], relevant[:, 0]))
        linked = documents[best[np.searchsorted(relevant[best, 0], np.arange(count))]]
    return np.stack([np.arange(count), count + linked], axis=1).astype(np.int64)
