"""The audit of judged data: queries and documents across splits, long ones, equal ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from embft.data.audit import Audit, audit
from embft.data.build import load_data
from embft.spec import DataSpec

LONG = (
    "the invoice of the last month was paid by card and the receipt was sent to the address that "
    "is kept in the account of the customer"
)


def _audit(
    folder: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    qrels: Mapping[str, Sequence[tuple[str, str, int]]],
    most: int | None = None,
) -> Audit:
    """The audit of a folder in BEIR's format. most: tokens, which are words here."""
    (folder / "qrels").mkdir()
    for name, texts in (("corpus", documents), ("queries", queries)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    for split, rows in qrels.items():
        lines = ["\t".join(map(str, row)) for row in rows]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    splits = load_data(DataSpec(beir=str(folder)))
    return audit(
        splits,
        token_lengths=None if most is None else lambda texts: [len(t.split()) for t in texts],
        max_tokens=most,
    )


def _names(found: Audit) -> set[str]:
    return {finding.name for finding in found.findings if finding.severity != "info"}


DOCUMENTS = {f"d{i}": f"page number {i} about thing {i * 7}" for i in range(30)}
QUERIES = {f"q{i}": f"what is thing {i * 7} on page {i * i}?" for i in range(30)}
QRELS = {
    "train": [(f"q{i}", f"d{i}", 1) for i in range(10)],
    "dev": [(f"q{i}", f"d{i}", 1) for i in range(10, 20)],
    "test": [(f"q{i}", f"d{i}", 1) for i in range(20, 30)],
}


def test_clean_judgements_have_no_warning(tmp_path: Path) -> None:
    """Nothing is said of what is in order."""
    assert _names(_audit(tmp_path, DOCUMENTS, QUERIES, QRELS, most=50)) == set()


def test_a_query_of_two_splits_is_found_though_its_documents_differ(tmp_path: Path) -> None:
    """Word for word, and but for case and punctuation; how many are judged alike is said."""
    queries = {**QUERIES, "q20": QUERIES["q0"], "q21": "WHAT is thing 7, on page 1", "q22": "new"}
    qrels = {**QRELS, "test": [*QRELS["test"], ("q20", "d0", 1)]}
    found = _audit(tmp_path, DOCUMENTS, queries, qrels).find("query_leak_test_from_train")
    assert found is not None
    assert (found.severity, found.count, found.total) == ("problem", 2, 10)
    assert found.details == {"word_for_word": 1, "judged_alike": 1}
    assert found.examples[0] == {
        "split": "test",
        "id": "q20",
        "text_1": QUERIES["q0"],
        "near": {"split": "train", "text_1": QUERIES["q0"]},
    }


def test_a_query_that_nearly_repeats_one_of_train_is_found(tmp_path: Path) -> None:
    """Between splits and within one."""
    queries = {**QUERIES, "q0": f"where is {LONG}", "q25": f"where is {LONG} now", "q26": "other"}
    found = _audit(tmp_path, DOCUMENTS, queries, QRELS)
    near = found.find("near_query_leak_test_from_train")
    assert near is not None
    assert near.count == 1
    assert near.examples[0]["id"] == "q25"
    assert found.find("near_queries_test") is None


def test_documents_of_two_splits_are_found(tmp_path: Path) -> None:
    """The same ones are usual, and said; nearly equal ones are a warning."""
    qrels = {**QRELS, "test": [*QRELS["test"], ("q20", "d0", 1)]}
    documents = {**DOCUMENTS, "d1": LONG, "d22": f"{LONG} today"}
    found = _audit(tmp_path, documents, QUERIES, qrels)
    shared = found.find("shared_documents_test_with_train")
    near = found.find("near_documents_test_from_train")
    assert shared is not None
    assert near is not None
    assert (shared.severity, shared.count, shared.details) == ("info", 1, {"new": 10})
    assert (near.count, near.examples[0]["id"], near.examples[0]["text_1"]) == (
        1,
        "d22",
        f"{LONG} today",
    )


def test_pairs_of_one_document_are_no_near_duplicates(tmp_path: Path) -> None:
    """Two questions that a long document answers are two questions."""
    documents = {**DOCUMENTS, "d0": LONG}
    qrels = {**QRELS, "train": [(f"q{i}", "d0", 1) for i in range(10)]}
    assert not [f for f in _audit(tmp_path, documents, QUERIES, qrels).findings if "near" in f.name]


def test_queries_of_one_split_that_are_equal_are_found(tmp_path: Path) -> None:
    """They count twice."""
    found = _audit(tmp_path, DOCUMENTS, {**QUERIES, "q21": QUERIES["q20"]}, QRELS)
    repeated = found.find("repeated_queries_test")
    assert repeated is not None
    assert repeated.count == 1


def test_long_documents_are_found_with_the_share_of_relevant_ones(tmp_path: Path) -> None:
    """Of all documents, and of those that are relevant, by split; long queries too."""
    documents = {**DOCUMENTS, "d29": LONG, "d0": f"{LONG} 0", "more": f"{LONG} 1"}
    queries = {**QUERIES, "q12": LONG}
    found = _audit(tmp_path, documents, queries, QRELS, most=12)
    long = found.find("long_documents")
    asked = found.find("long_queries_dev")
    assert long is not None
    assert asked is not None
    assert (long.severity, long.count, long.total) == ("warning", 3, 31)
    assert "2 of 30 (7 %) are cut off" in long.message
    assert long.details["relevant_and_cut"] == {
        "train": "1 of 10",
        "dev": "0 of 10",
        "test": "1 of 10",
    }
    assert (asked.count, asked.examples[0]["id"]) == (1, "q12")


def test_long_documents_that_answer_nothing_are_no_warning(tmp_path: Path) -> None:
    """They are said for information."""
    found = _audit(tmp_path, {**DOCUMENTS, "more": LONG}, QUERIES, QRELS, most=12)
    long = found.find("long_documents")
    assert long is not None
    assert long.severity == "info"


@pytest.mark.parametrize(
    ("judged", "differ"),
    [
        ([("q20", "d20", 1)], True),
        ([("q20", "d20", 2), ("q20", "copy", 1)], True),
        ([("q20", "d20", 1), ("q20", "copy", 0)], True),
        ([("q20", "d20", 1), ("q20", "copy", 1)], False),
    ],
    ids=["one not judged", "other grades", "one not relevant", "alike"],
)
def test_equal_documents_with_other_judgements_are_found(
    tmp_path: Path, judged: list[tuple[str, str, int]], differ: bool
) -> None:
    """But for case and punctuation equal; where one was not judged it counts as not relevant."""
    documents = {**DOCUMENTS, "copy": DOCUMENTS["d20"].upper() + "!"}
    qrels = {**QRELS, "test": [*judged, *QRELS["test"][1:]]}
    found = _audit(tmp_path, documents, QUERIES, qrels)
    assert found.find("duplicate_documents") is not None
    case = found.find("judged_otherwise_test")
    assert (case is not None) is differ
    if case is not None:
        assert (case.severity, case.count) == ("warning", 1)
        assert set(case.examples[0]["grades"]) == {"d20", "copy"}


def test_false_negatives_of_a_batch_are_counted(tmp_path: Path) -> None:
    """A query with two relevant documents, and a document of two queries."""
    qrels = {**QRELS, "train": [*QRELS["train"], ("q0", "d5", 1)]}
    found = _audit(tmp_path, DOCUMENTS, QUERIES, qrels).find("false_negatives")
    assert found is not None
    assert found.count == 3


def test_queries_that_nothing_judges_are_said(tmp_path: Path) -> None:
    """For information: benchmarks have many."""
    found = _audit(tmp_path, DOCUMENTS, {**QUERIES, "q99": "anything"}, QRELS)
    unjudged = found.find("unjudged_queries_all")
    assert unjudged is not None
    assert (unjudged.severity, unjudged.count) == ("info", 1)


def test_without_train_what_can_be_said_is(tmp_path: Path) -> None:
    """Judgements for test alone: base models are compared on them."""
    queries = {**QUERIES, "q21": QUERIES["q20"]}
    found = _audit(tmp_path, DOCUMENTS, queries, {"test": QRELS["test"]}, most=5)
    assert {f.name for f in found.findings} >= {"repeated_queries_dev", "long_documents"}
