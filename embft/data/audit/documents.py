"""The documents of a corpus: those that a model cuts off, and equal ones judged otherwise.

Covers what can be said of the corpus and of judgements within one split; what stands in several
splits is in `queries.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from embft.data.audit.findings import EXAMPLES, Finding, grade, sample, shorten
from embft.data.audit.labels import TokenLengths
from embft.data.column import take
from embft.data.pairs import Splits
from embft.data.retrieval import Judged, Retrieval
from embft.data.texts import IntArray, normalise, numbered

COUNTED = 10_000
"""Texts whose tokens are counted; of more, that many drawn evenly."""
_CHUNK = 512


def long_texts(
    splits: Splits, token_lengths: TokenLengths | None, max_tokens: int | None
) -> Iterator[Finding]:
    """Documents and queries that the model cuts off, if its tokeniser and limit are given."""
    found = splits.retrieval
    if found is None or token_lengths is None or max_tokens is None:
        return
    count = _Count(token_lengths, max_tokens)
    yield from _long_documents(splits, found, count)
    for split, judged in found.distinct_sets.items():
        texts = judged.queries.texts
        rows, looked_at = count.longer(texts)
        if len(rows):
            yield Finding(
                f"long_queries_{split}",
                grade(len(rows), looked_at, "warning"),
                len(rows),
                looked_at,
                f"{len(rows)} of the {looked_at} {split} queries have more than {max_tokens} "
                "tokens.",
                "The model does not see what stands beyond its limit.",
                "Raise `model.max_tokens` if the model allows it, or shorten the queries.",
                tuple(
                    {"split": split, "id": judged.queries.ids[row], "text_1": shorten(texts[row])}
                    for row in rows[:EXAMPLES].tolist()
                ),
            )


class _Count:
    """Counts tokens. most: of a text that is read whole."""

    def __init__(self, token_lengths: TokenLengths, most: int) -> None:
        self.token_lengths, self.most = token_lengths, most

    def longer(self, texts: Sequence[str]) -> tuple[IntArray, int]:
        """The rows of texts that are cut off, and how many were looked at."""
        rows, tokens = sample(len(texts), COUNTED), list[int]()
        for start in range(0, len(rows), _CHUNK):
            tokens += self.token_lengths(take(texts, rows[start : start + _CHUNK]))
        return rows[np.array(tokens, np.int64) > self.most], len(rows)


def _long_documents(splits: Splits, found: Retrieval, count: _Count) -> Iterator[Finding]:
    texts = found.corpus.texts
    rows, looked_at = count.longer(texts)
    cut, relevant = _cut_relevant(splits, found, count)
    total = sum(relevant.values())
    hit = sum(cut.values())
    if not len(rows) and not hit:
        return
    drawn = f" that were drawn of {len(texts):,}" if looked_at < len(texts) else ""
    share = f"{100 * hit / max(total, 1):.0f} %"
    yield Finding(
        "long_documents",
        "warning" if hit >= 0.01 * total else "info",
        len(rows),
        looked_at,
        f"{len(rows):,} of the {looked_at:,} documents{drawn} have more than {count.most} tokens; "
        f"of those that are relevant to a query {hit:,} of {total:,} ({share}) are cut off there.",
        "The model does not see what stands beyond its limit: where the answer is there, the "
        "document cannot be found by it.",
        "Raise `model.max_tokens` if the model allows it, or cut documents into passages and judge "
        "these.",
        tuple(
            {"split": "corpus", "id": found.corpus.ids[row], "text_1": shorten(texts[row])}
            for row in rows[:EXAMPLES].tolist()
        ),
        {
            "max_tokens": count.most,
            "relevant_and_cut": {k: f"{cut[k]:,} of {relevant[k]:,}" for k in cut},
        },
    )


def _cut_relevant(
    splits: Splits, found: Retrieval, count: _Count
) -> tuple[dict[str, int], dict[str, int]]:
    """Of each split, how many of the relevant documents are cut off, and how many there are."""
    texts = {
        split: take(found.corpus.texts, np.unique(judged.relevant[:, 1]))
        for split, judged in found.distinct_sets.items()
    }
    if len(splits.train):
        positive = np.flatnonzero(splits.train.label > 0)
        texts = {"train": list(dict.fromkeys(take(splits.train.text_2, positive))), **texts}
    looked = {split: count.longer(each) for split, each in texts.items()}
    return {k: len(rows) for k, (rows, _) in looked.items()}, {k: n for k, (_, n) in looked.items()}


def equal_documents(found: Retrieval | None) -> Iterator[Finding]:
    """Documents of equal text: how many, and those of them that were judged differently."""
    if found is None:
        return
    texts = found.corpus.texts
    normal = (hash(normalise(text)) for text in texts)
    ids = numbered(np.fromiter(normal, np.int64, len(texts)))
    copies = np.bincount(ids)
    repeated = int((copies - 1).sum())
    if not repeated:
        return
    yield Finding(
        "duplicate_documents",
        "info",
        repeated,
        len(texts),
        f"{repeated:,} of the {len(texts):,} documents repeat another one, but for case, "
        "punctuation and spacing.",
        "Equal documents have one embedding, tie in every ranking, and take places of others.",
        "Keep one of each, unless users see them all.",
    )
    for split, judged in found.distinct_sets.items():
        yield from _judged_otherwise(found, split, judged, ids, copies)


def _judged_otherwise(
    found: Retrieval, split: str, judged: Judged, ids: IntArray, copies: IntArray
) -> Iterator[Finding]:
    """Queries to which one of several equal documents is relevant, and another is less so."""
    rated = judged.judgements[copies[ids[judged.judgements[:, 1]]] > 1]
    keys = rated[:, 0] * len(copies) + ids[rated[:, 1]]
    cases, place, times = np.unique(keys, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    grades = np.maximum(rated[:, 2], 0)
    high = np.zeros(len(cases), np.int64)
    np.maximum.at(high, place, grades)
    low = high.copy()
    np.minimum.at(low, place, grades)
    low[times < copies[cases % len(copies)]] = 0  # one that was not judged is not relevant
    differ = cases[high > low]
    queries = np.unique(differ // len(copies))
    if not len(queries):
        return
    yield Finding(
        f"judged_otherwise_{split}",
        grade(len(queries), len(judged.queries), "warning"),
        len(queries),
        len(judged.queries),
        f"To {len(queries)} of the {len(judged.queries)} {split} queries one of several equal "
        "documents is relevant and another is not, or less so.",
        "Models cannot tell equal documents apart: they tie, and the less relevant one counts as "
        "found first, so that every score is too low.",
        "Judge equal documents alike, or keep one of each.",
        tuple(
            _case(found, judged, int(case) // len(copies), ids, int(case) % len(copies), split)
            for case in differ[:EXAMPLES]
        ),
    )


def _case(  # noqa: PLR0913, PLR0917 - one example, out of the arrays that it is found in
    found: Retrieval, judged: Judged, query: int, ids: IntArray, text: int, split: str
) -> dict[str, object]:
    documents = np.flatnonzero(ids == text)
    own = judged.judgements[judged.judgements[:, 0] == query]
    grade_of = dict(own[:, 1:].tolist())
    return {
        "split": split,
        "id": judged.queries.ids[query],
        "text_1": shorten(judged.queries.texts[query]),
        "text_2": shorten(found.corpus.texts[int(documents[0])]),
        "grades": {
            found.corpus.ids[row]: grade_of.get(row, "not judged") for row in documents.tolist()
        },
    }
