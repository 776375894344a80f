"""The built-in set `handbook`: always the same, whole, and neither easy nor out of reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embft.data.build import load_data
from embft.data.handbook import generate
from embft.evaluation.context import Context, Estimate
from embft.evaluation.retrieval import Retrieval
from embft.spec import DataSpec, Shape


def test_it_is_always_the_same_and_reads_from_its_own_files(tmp_path: Path) -> None:
    """400 pages, 600 questions; the built-in set and its files in BEIR's format are one set."""
    book = generate()
    assert (len(book.pages), len(book.questions)) == (400, 600)
    assert len(set(book.pages.texts)) == 400
    assert sum(map(len, book.grades.values())) == 600
    assert generate().splits().digest() == book.splits().digest()
    book.write(tmp_path)
    built_in = load_data(DataSpec(dataset="handbook", groups=()))
    read = load_data(DataSpec(beir=str(tmp_path), groups=("tool",)))
    assert read.digest() == built_in.digest()


def test_a_pages_questions_are_in_one_split_and_graded() -> None:
    """So that no test page was the answer of a train question."""
    book = generate()
    own = {
        s: {d for q in g.values() for d, n in q.items() if n == 3} for s, g in book.grades.items()
    }
    assert not own["train"] & own["test"]
    assert not own["train"] & own["dev"]
    grades = {grade for of in book.grades.values() for row in of.values() for grade in row.values()}
    assert grades == {0, 1, 3}


def test_triplets_are_made_of_judged_negatives() -> None:
    """With `shape: triplets` each negative was judged and is not relevant."""
    splits = load_data(DataSpec(dataset="handbook", shape=Shape.TRIPLETS))
    book = generate()
    text = dict(zip(book.pages.ids, book.pages.texts, strict=True))
    asked = dict(zip(book.questions.ids, book.questions.texts, strict=True))
    refused = {
        (asked[q], text[d])
        for q, row in book.grades["train"].items()
        for d, n in row.items()
        if n == 0
    }
    pairs = set(zip(splits.train.text_1, splits.train.negatives[0], strict=True))
    assert pairs <= refused
    usual = load_data(DataSpec(dataset="handbook"))
    assert usual.train.shape == Shape.POSITIVES
    assert len(usual.train) == len(splits.train)


def test_minilm_does_well_but_not_best(minilm: Path) -> None:
    """nDCG@10 between 0.55 and 0.75 on dev and test, and a prompt changes it."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm), device="cpu")
    splits = load_data(DataSpec(dataset="handbook"))
    found = Retrieval().run(Context(model, splits, {}, None, 0), None)
    scores = {split: _ndcg(each) for split, each in found.items()}
    assert all(0.55 < score < 0.75 for score in scores.values())
    model.prompts["query"] = "Find the page: "
    prompted = Retrieval().run(Context(model, splits, {}, None, 0), None)
    assert abs(_ndcg(prompted["test"]) - scores["test"]) > 0.01
    assert np.isfinite(_ndcg(prompted["dev"]))


def _ndcg(found: object) -> float:
    assert isinstance(found, dict)
    value = found["ndcg_at_10"]
    assert isinstance(value, Estimate)
    return value.value


def test_questions_share_no_sentence_with_their_pages() -> None:
    """They are asked in other words."""
    book = generate()
    pages = " ".join(book.pages.texts).casefold()
    assert not [text for text in book.questions.texts if text.casefold() in pages]


@pytest.mark.parametrize(("split", "least"), [("train", 20), ("dev", 15), ("test", 20)])
def test_each_split_asks_of_nearly_every_tool(split: str, least: int) -> None:
    book = generate()
    tool = dict(zip(book.questions.ids, book.questions.groups["tool"], strict=True))
    assert len({tool[q] for q in book.grades[split]}) >= least
