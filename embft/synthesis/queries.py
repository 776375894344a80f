"""Questions from documents, by a local instruct model: a folder in BEIR's format to tune on.

A question is taken if it finds its document again: among all documents it must be one of the
nearest, by an embedding model. Documents are divided among train, dev and test, equal ones
together, so that what test asks for was no answer in training.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from embft.data.pairs import SPLITS
from embft.data.retrieval import TextSet
from embft.data.synthetic import MARK, ORIGIN_FILE
from embft.data.texts import normalise
from embft.errors import EmbftError
from embft.models.resolve import LocalBase, content_digest
from embft.storage.files import new_folder
from embft.synthesis.cache import Cache, writing
from embft.synthesis.filters import Filter
from embft.synthesis.generators import Settings, check_models
from embft.synthesis.run import EXAMPLES, VERSION, Progress, fill, lazy

FEWEST = 3  # documents with a question, of which each split gets one


@dataclass(frozen=True)
class RoundTrip:
    """Which questions are taken: `number` for each document, those that find it among the `top_k`
    nearest, at the latest after so many retries. test, dev: the shares of the documents.
    """

    number: int = 1
    top_k: int = 3
    retries: int = 5
    test: float = 0.2
    dev: float = 0.1


@dataclass
class Asked:
    """questions: document's row -> those that were taken. rejected: answers by reason; examples of
    each. known: normalised questions that were taken.
    """

    questions: dict[int, list[str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def reject(self, reason: str, text: str, answer: str) -> None:
        """Count an answer that is not taken."""
        self.rejected[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append({"text": text[:300], "answer": answer[:300]})


Ranks = Callable[[Sequence[str], Sequence[int]], Sequence[int]]
"""Questions, and the row of each one's document -> how many documents are nearer to it."""


@dataclass(frozen=True)
class Plan:
    """What is asked of which documents, and which answers are taken. retriever: by which the ranks
    are; limit: questions are asked of the first so many different documents alone.
    """

    corpus: TextSet
    settings: Settings
    kept: Filter
    ranks: Ranks
    retriever: LocalBase
    bounds: RoundTrip = RoundTrip()
    limit: int | None = None

    @cached_property
    def rows(self) -> list[int]:
        """The rows of the documents that are asked about: of equal ones the first."""
        first: dict[str, int] = {}
        for row, text in enumerate(self.corpus.texts):
            if text.strip():
                first.setdefault(normalise(text), row)
        return list(first.values())[: self.limit]


def make_queries(
    plan: Plan, out: Path, *, batch_size: int = 16, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """Write the folder, and return what also stands in its `synthetic.json`.

    Beside `out` stand the answers so far (.cache.jsonl), from which the same call goes on. Raises
    EmbftError.
    """
    check_models(plan.settings)
    _check_out(out)
    digests = [content_digest(folder) for folder in plan.settings.models]
    identity = {**asdict(plan.settings), "models": digests}
    cache_file = out.with_name(f"{out.name}.cache.jsonl")
    with writing(cache_file):
        cache = Cache(cache_file, {**identity, "version": VERSION})
        asked = _rounds(plan, cache, batch_size, progress)
        parts = split_by_document(plan.corpus, asked.questions, plan.bounds)
        origin = {**identity, **_origin(plan, asked, parts)}
        _write(out, plan.corpus, asked.questions, parts, origin)
    return origin


def _origin(plan: Plan, asked: Asked, parts: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """By what the questions were made and taken, and how many of them."""
    count = {split: sum(len(asked.questions[row]) for row in parts[split]) for split in SPLITS}
    return {
        "model_folders": [str(folder) for folder in plan.settings.models],
        "retriever": {"name": plan.retriever.name, "digest": plan.retriever.digest},
        **asdict(plan.bounds),
        **asdict(plan.kept),
        "documents": len(plan.rows),
        "documents_with_a_question": len(asked.questions),
        "questions": count,
        "rejected_answers": dict(sorted(asked.rejected.items())),
        "examples": asked.examples,
    }


def _check_out(out: Path) -> None:
    if out.exists() and not (out / ORIGIN_FILE).is_file():
        raise EmbftError(
            f"{out}: exists, and no synthetic queries are in it, so that it is not replaced: give "
            "another --out"
        )


def _rounds(plan: Plan, cache: Cache, batch_size: int, progress: Progress) -> Asked:
    asked, generate = Asked(), lazy(plan.settings)
    text = {row: plan.corpus.texts[row] for row in plan.rows}
    for attempt in range(plan.bounds.number + plan.bounds.retries):
        wanted = [r for r in plan.rows if len(asked.questions.get(r, ())) < plan.bounds.number]
        if not wanted:
            break
        fill([text[row] for row in wanted], attempt, generate, cache, batch_size, progress)
        _judge(plan, asked, {row: cache.found[attempt, text[row]] for row in wanted})
    return asked


def _judge(plan: Plan, asked: Asked, answers: Mapping[int, str]) -> None:
    """Take the answers that say something, are new, and find their document."""
    passed = dict[int, str]()
    for row, answer in answers.items():
        text = plan.corpus.texts[row]
        reason = plan.kept.reason(text, answer)
        if reason is None and normalise(answer) in asked.known:
            reason = "repeated"
        if reason is None:
            passed[row] = answer
            asked.known.add(normalise(answer))
        else:
            asked.reject(reason, text, answer)
    nearer = plan.ranks(list(passed.values()), list(passed)) if passed else []
    for (row, answer), rank in zip(passed.items(), nearer, strict=True):
        if rank < plan.bounds.top_k:
            asked.questions.setdefault(row, []).append(answer)
        else:
            asked.known.discard(normalise(answer))
            asked.reject("not_found", plan.corpus.texts[row], answer)


def split_by_document(
    corpus: TextSet, questions: Mapping[int, Sequence[str]], bounds: RoundTrip
) -> dict[str, list[int]]:
    """The rows of the documents of each split, by a hash of their texts. Raises EmbftError where
    there are too few for each split to have one.
    """
    rows = sorted(questions, key=lambda row: _hash(corpus.texts[row]))
    if len(rows) < FEWEST:
        raise EmbftError(
            f"{len(rows)} documents have a question that was taken, and train, dev and test need "
            "one each: look at the rejected answers, allow more retries or a larger --top-k"
        )
    test = min(max(1, round(len(rows) * bounds.test)), len(rows) - 2)
    dev = min(max(1, round(len(rows) * bounds.dev)), len(rows) - test - 1)
    return {
        "test": sorted(rows[:test]),
        "dev": sorted(rows[test : test + dev]),
        "train": sorted(rows[test + dev :]),
    }


def _hash(text: str) -> bytes:
    content = normalise(text).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()


def _write(
    out: Path,
    corpus: TextSet,
    questions: Mapping[int, Sequence[str]],
    parts: Mapping[str, Sequence[int]],
    origin: Mapping[str, Any],
) -> None:
    named = {
        row: [(f"{MARK}{corpus.ids[row]}:{i}", question) for i, question in enumerate(found)]
        for row, found in sorted(questions.items())
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out) as folder:
        _lines(folder / "corpus.jsonl", zip(corpus.ids, corpus.texts, strict=True))
        _lines(folder / "queries.jsonl", chain.from_iterable(named.values()))
        (folder / "qrels").mkdir()
        for split, rows in parts.items():
            lines = [f"{name}\t{corpus.ids[row]}\t1" for row in rows for name, _ in named[row]]
            content = "\n".join(["query-id\tcorpus-id\tscore", *lines, ""])
            (folder / "qrels" / f"{split}.tsv").write_text(content, encoding="utf-8")
        written = json.dumps(origin, indent=1, ensure_ascii=False)
        (folder / ORIGIN_FILE).write_text(written, encoding="utf-8")


def _lines(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for name, text in rows:
            file.write(json.dumps({"_id": name, "text": text}, ensure_ascii=False) + "\n")


def round_trip(base: LocalBase, corpus: TextSet, folder: Path, top_k: int) -> Ranks:
    """By this embedding model, up to a rank of `top_k`. It is loaded when it is first asked, and
    encodes the documents. folder: where the vectors of many documents lie meanwhile. Documents of
    equal text are one; of other equal scores the question's own document comes last.
    """
    from embft.evaluation.corpus import Corpus, encode_corpus, encode_queries
    from embft.evaluation.search import Grades, search
    from embft.models.base import load_base
    from embft.spec import ModelSpec

    made: list[tuple[Any, Corpus]] = []

    def ranks(questions: Sequence[str], rows: Sequence[int]) -> Sequence[int]:
        if not made:
            model = load_base(base.folder, ModelSpec(base=str(base.folder)))
            made.append((model, encode_corpus(model, corpus, folder)))
        model, encoded = made[0]
        own = encoded.text[np.asarray(rows)]
        judged = np.stack([np.arange(len(own)), own, np.ones(len(own), np.int64)], axis=1)
        grades = Grades.of(judged, encoded.shape[0])
        asked = encode_queries(model, questions)
        found = search(asked, encoded.blocks(), top_k, grades).documents == own[:, None]
        return [int(row.argmax()) if row.any() else top_k for row in found]

    return ranks
