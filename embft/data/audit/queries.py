"""Queries, their documents and their judgements in more than one split of judged data.

A pair of a query and a document stands in two splits only where both are the same; a model that was
trained on a test query with another document has seen that query all the same. So queries and
relevant documents are compared each by themselves: equal, equal but for case and punctuation, and
nearly so (`near.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from embft.data.audit.corpus import Corpus, corpus_of, first_rows, repeats
from embft.data.audit.findings import EXAMPLES, Finding, grade, shorten
from embft.data.audit.near import Near, near_repeats
from embft.data.audit.overlap import sources
from embft.data.column import take
from embft.data.pairs import Pairs, Splits
from embft.data.retrieval import Retrieval
from embft.data.texts import IntArray

_ID = "id"
_NEARLY = "four fifths or more of their five-letter pieces are the same, without being equal"
_MEMORY = "Scores on {} partly reward memory and come out too high."
_BY_QUERY = "Split by query: all judgements of one query, however it is written, on the same side."


def between_splits(splits: Splits, pairs: Corpus) -> Iterator[Finding]:
    """Every finding. pairs: those of the splits, which are made of the relevant judgements."""
    found = splits.retrieval
    if found is None:
        return
    queries = corpus_of(dict(_queries(splits, found)))
    for split in queries.splits:
        yield from _repeated(queries, split)
    for split, source in sources(queries):
        yield from _known(queries, split, source, pairs)
    documents = corpus_of(dict(_documents(splits, found)))
    for split, source in sources(documents):
        yield from _shared(documents, split, source)
    for near in near_repeats(queries):
        yield _near_queries(queries, near)
    for near in near_repeats(documents):
        if near.split != near.source:
            yield _near_documents(documents, near)


def _queries(splits: Splits, found: Retrieval) -> Iterator[tuple[str, Pairs]]:
    """The queries of each split, each as a pair with itself."""
    if len(splits.train):
        yield "train", _alone(_distinct(splits.train.text_1))
    for split, judged in found.distinct_sets.items():
        yield split, _alone(judged.queries.texts, judged.queries.ids)


def _documents(splits: Splits, found: Retrieval) -> Iterator[tuple[str, Pairs]]:
    """The documents that are relevant in each split, each once, as a pair with itself."""
    if len(splits.train):
        positive = np.flatnonzero(splits.train.label > 0)
        yield "train", _alone(_distinct(take(splits.train.text_2, positive)))
    for split, judged in found.distinct_sets.items():
        rows = np.unique(judged.relevant[:, 1])
        yield split, _alone(take(found.corpus.texts, rows), take(found.corpus.ids, rows))


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _alone(texts: Sequence[str], ids: Sequence[str] | None = None) -> Pairs:
    return Pairs.unlabelled(texts, texts, groups={} if ids is None else {_ID: ids})


def _repeated(queries: Corpus, split: str) -> Iterator[Finding]:
    """Queries of one split that are equal but for case and punctuation."""
    ids = queries.normal[split][0]
    rows = repeats(ids)
    if split == "train" or not len(rows):
        return
    origin = first_rows(ids, ids[rows[:EXAMPLES]])
    yield Finding(
        f"repeated_queries_{split}",
        grade(len(rows), len(ids), "warning"),
        len(rows),
        len(ids),
        f"{len(rows)} of the {len(ids)} {split} queries repeat an earlier one, but for case, "
        "punctuation and spacing.",
        "They count more than once. Judged otherwise, they ask for different documents in the same "
        "words, which no model can tell apart.",
        "Join the judgements of equal queries under one id.",
        _examples(queries, (split, split), rows, origin),
    )


def _known(queries: Corpus, split: str, source: str, pairs: Corpus) -> Iterator[Finding]:
    """Queries of a split that stand in another one too."""
    exact = np.isin(queries.exact[split][0], queries.exact[source][0])
    normal = np.isin(queries.normal[split][0], queries.normal[source][0])
    rows, total = np.flatnonzero(normal), len(normal)
    if not len(rows):
        return
    origin = first_rows(queries.normal[source][0], queries.normal[split][0][rows[:EXAMPLES]])
    alike = _judged_alike(pairs, split, source)
    yield Finding(
        f"query_leak_{split}_from_{source}",
        grade(len(rows), total),
        len(rows),
        total,
        f"{len(rows)} of the {total} {split} queries also stand in {source}, {int(exact.sum())} "
        f"of them word for word; {alike} have a relevant document in common there.",
        _MEMORY.format(split),
        _BY_QUERY,
        _examples(queries, (split, source), rows, origin),
        {"word_for_word": int(exact.sum()), "judged_alike": alike},
    )


def _judged_alike(pairs: Corpus, split: str, source: str) -> int:
    """How many queries of a split have a relevant document that is relevant to them in the source
    too.
    """
    own, known = pairs.splits[split], pairs.splits[source]
    relevant = pairs.normal_pairs(source)[known.label > 0]
    held = np.isin(pairs.normal_pairs(split), relevant) & (own.label > 0)
    return len(np.unique(pairs.normal[split][0][held]))


def _shared(documents: Corpus, split: str, source: str) -> Iterator[Finding]:
    """Documents that are relevant in two splits: usual, and worth knowing."""
    known = np.isin(documents.normal[split][0], documents.normal[source][0])
    rows, total = np.flatnonzero(known), len(known)
    if not len(rows):
        return
    new = total - len(rows)
    yield Finding(
        f"shared_documents_{split}_with_{source}",
        "info",
        len(rows),
        total,
        f"{len(rows)} of the {total} documents that are relevant to {split} queries are relevant "
        f"to {source} queries too, {new} are not.",
        f"Scores on {split} say less about documents that are added later.",
        "Nothing needs to be done where the corpus stays as it is; else judge queries over "
        f"documents that {source} does not have.",
        details={"new": new},
    )


def _near_queries(queries: Corpus, near: Near) -> Finding:
    inside = near.split == near.source
    where = f"another {near.split} query" if inside else f"a {near.source} query"
    return Finding(
        f"near_queries_{near.split}"
        if inside
        else f"near_query_leak_{near.split}_from_{near.source}",
        grade(
            len(near.rows),
            near.looked_at,
            "info" if inside and near.split == "train" else "warning",
        ),
        len(near.rows),
        near.looked_at,
        f"{near.count_text} distinct {near.split} queries{near.drawn_text} nearly repeat {where}: "
        f"{_NEARLY}.",
        "They add less information than their number says, and intervals are too narrow."
        if inside
        else _MEMORY.format(near.split),
        "Look at the examples; keep one of each group." if inside else _BY_QUERY,
        _examples(queries, (near.split, near.source), near.rows, near.others),
        near.details,
    )


def _near_documents(documents: Corpus, near: Near) -> Finding:
    split, source = near.split, near.source
    return Finding(
        f"near_documents_{split}_from_{source}",
        grade(len(near.rows), near.looked_at, "warning"),
        len(near.rows),
        near.looked_at,
        f"{near.count_text} documents{near.drawn_text} that are relevant to {split} queries nearly "
        f"repeat one that is relevant to {source} queries: {_NEARLY}.",
        _MEMORY.format(split),
        "Look at the examples: versions of one page belong on the same side, or only the newest "
        "into the corpus.",
        _examples(documents, (split, source), near.rows, near.others),
        near.details,
    )


def _examples(
    corpus: Corpus, between: tuple[str, str], rows: IntArray, others: IntArray
) -> tuple[dict[str, object], ...]:
    """The first few of these texts, each beside the one that it repeats."""
    both = zip(rows[:EXAMPLES].tolist(), others[:EXAMPLES].tolist(), strict=True)
    return tuple(
        {**_shown(corpus, between[0], row), "near": _shown(corpus, between[1], other)}
        for row, other in both
    )


def _shown(corpus: Corpus, split: str, row: int) -> dict[str, object]:
    pairs = corpus.splits[split]
    known = {"id": pairs.groups[_ID][row]} if _ID in pairs.groups else {}
    return {"split": split, **known, "text_1": shorten(pairs.text_1[row])}
