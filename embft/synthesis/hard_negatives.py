"""Hard negatives for positive pairs, by sentence-transformers' own miner.

Texts count as one where they differ in case and punctuation alone, so that neither a copy of a
positive nor the query's own text is ever taken. Queries have the positives that they have anywhere
in train; nothing of dev and test is seen. What the miner does not find for a row is drawn at random
among the texts that do not belong to it, so that no row is lost and all have as many.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from embft.data.draw import Draw
from embft.data.mining import SCORES_AT_ONCE
from embft.data.pairs import Pairs
from embft.data.texts import normalise
from embft.spec.negatives import NegativesSpec
from embft.synthesis.mining_progress import Told

Vectors = npt.NDArray[np.float32]
LIKELY = 0.95
"""From this share of the positive's score on a text may well be an answer too (Moreira et al.,
2024, arXiv 2407.15831, where negatives below it trained best).
"""
_TRIES = 100


class Judge(Protocol):
    """A cross-encoder, as the miner asks it."""

    def predict(self, pairs: Sequence[tuple[str, str]], **options: Any) -> torch.Tensor:
        """A score of each pair of query and text."""


@dataclass(frozen=True)
class Question:
    """What is mined for: queries with what belongs to each, and the texts to choose from.

    queries: those of train, each once. texts: each once; all positives are among them. related:
    query -> its positives in train, and its own text where that is one of the texts. own: of the
    latter alone. rows: of each row of train its query.
    """

    queries: list[str]
    texts: list[str]
    related: Mapping[str, list[str]]
    own: Mapping[str, str]
    rows: list[str]

    @classmethod
    def of(cls, train: Pairs, pool: Iterable[str]) -> Question:
        """Of train's pairs and a pool, in which equal texts are the first of them."""
        texts, asked = _First(), _First()
        for text in pool:
            texts.of(text)
        rows = [asked.of(text) for text in train.text_1]
        related: dict[str, dict[str, None]] = {}
        for query, positive in zip(rows, train.text_2, strict=True):
            related.setdefault(query, {})[texts.of(positive)] = None
        equal = {query: texts.known.get(normalise(query)) for query in related}
        own = {q: text for q, text in equal.items() if text is not None and text not in related[q]}
        for query, text in own.items():
            related[query][text] = None
        every = {query: list(found) for query, found in related.items()}
        return cls(list(related), list(texts.known.values()), every, own, rows)

    def positives(self, query: str) -> list[str]:
        """The query's positives, without its own text."""
        return [text for text in self.related[query] if text != self.own.get(query)]


class _First:
    """Of texts that differ in case and punctuation alone the first."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def of(self, text: str) -> str:
        return self.known.setdefault(normalise(text), text)


@dataclass(frozen=True)
class Encoded:
    """The vectors of queries (q, width) and of texts (t, width), of length 1, in their order."""

    queries: Vectors
    texts: Vectors


class _AsModel:
    """Vectors in the place of the model that has made them, as the miner asks for them. own (e,):
    which of its positives are the query's own text, which are as near as can be.
    """

    device = torch.device("cpu")

    def __init__(self, encoded: Encoded, own: Sequence[bool], told: Told) -> None:
        self.encoded, self.own = encoded, torch.tensor(own)
        self.told, self.searched = told, 0

    def encode_query(self, _: Sequence[str], **__: Any) -> Vectors:
        return self.encoded.queries

    def encode_document(self, _: Sequence[str], **__: Any) -> Vectors:
        return self.encoded.texts

    def similarity(self, one: Any, other: Any) -> torch.Tensor:
        self.told("searching for queries", self.searched, len(self.encoded.queries))
        self.searched += len(one)
        return torch.as_tensor(one) @ torch.as_tensor(other).T

    def similarity_pairwise(self, one: Any, other: Any) -> torch.Tensor:
        found = (torch.as_tensor(one) * torch.as_tensor(other)).sum(dim=1)
        return found.masked_fill(self.own, torch.inf)


class _AsJudge:
    """A cross-encoder for which a query's own text is as near as can be. It is asked once for each
    of so many queries, and once for all positives.
    """

    def __init__(self, judge: Judge, own: Mapping[str, str], queries: int, told: Told) -> None:
        self.judge, self.own = judge, own
        self.queries, self.told, self.judged = queries, told, 0

    def predict(self, pairs: Sequence[tuple[str, str]], **options: Any) -> torch.Tensor:
        self.told("judging the candidates of queries", self.judged, self.queries)
        self.judged += 1
        own = torch.tensor([self.own.get(query) == text for query, text in pairs])
        return self.judge.predict(pairs, **options).masked_fill(own, torch.inf)


@dataclass(frozen=True)
class Taken:
    """What the miner has taken: query -> texts with their scores, the nearest first; and the scores
    of the positives.
    """

    negatives: Mapping[str, list[tuple[str, float]]]
    positives: Mapping[str, list[float]]

    def least(self, query: str) -> float:
        """The score of the query's farthest positive, by which the margin is measured."""
        return min(self.positives[query])


def mine(  # noqa: PLR0913, PLR0917 - what a mining is made of
    question: Question,
    encoded: Encoded,
    rule: NegativesSpec,
    seed: int,
    judge: Judge | None,
    told: Told = lambda *_: None,
) -> Taken:
    """Ask the miner. seed: of what it draws where `sampling` is random. told: how far it is."""
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    edges = [(query, text) for query in question.queries for text in question.related[query]]
    own = [question.own.get(query) == text for query, text in edges]
    random.seed(seed)  # the miner draws from this stream
    miner: Any = mine_hard_negatives  # which asks of a model what `_AsModel` has
    found = miner(
        Dataset.from_dict({"query": [q for q, _ in edges], "text": [t for _, t in edges]}),
        _AsModel(encoded, own, told),
        corpus=question.texts,
        cross_encoder=judge and _AsJudge(judge, question.own, len(question.queries), told),
        range_min=rule.range[0],
        range_max=rule.range[1],
        relative_margin=None if rule.margin is None else 1 - rule.margin,
        num_negatives=rule.number,
        sampling_strategy=rule.sampling,
        output_format="labeled-pair",
        output_scores=True,
        faiss_batch_size=max(1, SCORES_AT_ONCE // len(question.texts)),
        verbose=False,
    )
    return _sorted_out(question, zip(found["query"], found["text"], found["score"], strict=True))


def _sorted_out(question: Question, rows: Iterable[tuple[str, str, float]]) -> Taken:
    negatives: dict[str, list[tuple[str, float]]] = {query: [] for query in question.queries}
    positives: dict[str, list[float]] = {query: [] for query in question.queries}
    for query, text, score in rows:
        if text not in question.related[query]:
            negatives[query].append((text, score))
        elif text != question.own.get(query):
            positives[query].append(score)
    return Taken(negatives, positives)


def with_negatives(
    train: Pairs, question: Question, taken: Taken, rule: NegativesSpec, seed: int
) -> tuple[Pairs, int]:
    """Train as triplets, and how many of the negatives were drawn at random. Rows to which every
    text belongs are left out.
    """
    chosen = {
        query: _filled(question, query, [t for t, _ in found], rule.number, seed)
        for query, found in taken.negatives.items()
    }
    kept = [row for row, query in enumerate(question.rows) if chosen[query]]
    pairs = train if len(kept) == len(train) else train.take(kept)
    rows = [chosen[question.rows[row]] for row in kept]
    columns = [[row[i % len(row)] for row in rows] for i in range(rule.number)]
    mined = {query: len(found) for query, found in taken.negatives.items()}
    drawn = sum(rule.number - mined[question.rows[row]] for row in kept)
    return replace(pairs, negatives=tuple(columns)), drawn


def _filled(question: Question, query: str, found: list[str], number: int, seed: int) -> list[str]:
    """So many texts, those beyond the found ones at random; fewer where there are no more."""
    barred, chosen = {*question.related[query], *found}, list(found)
    draw, texts = Draw(seed, "negatives", query), question.texts
    for _ in range(_TRIES * number):
        if len(chosen) == number:
            return chosen
        text = draw.picks(texts)
        if text not in barred:
            chosen.append(text)
            barred.add(text)
    left = [text for text in texts if text not in barred]
    return chosen + left[: number - len(chosen)]
