"""Queries, a corpus and judgements: their formats, their splits, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embft.data.build import load_data
from embft.data.pairs import Splits
from embft.errors import DataError, SpecError
from embft.results.dataset import open_splits, write_dataset
from embft.spec import DataSpec, parse_spec
from embft.spec.retrieval import RetrievalSpec
from tests.helpers.judged import DOCUMENTS, QUERIES, judgements, write_beir

ROWS = judgements([0, 1, 2])


def _load(folder: Path, **fields: object) -> Splits:
    return load_data(DataSpec.model_validate({"beir": str(folder), **fields}))


def _with_qrels(folder: Path, content: str, name: str = "qrels.tsv") -> Splits:
    """The corpus and queries of a folder, with these judgements for test."""
    (folder / name).write_text(content)
    return _files(folder, name)


def _files(folder: Path, name: str, **columns: object) -> Splits:
    spec = RetrievalSpec.model_validate(
        {
            "corpus": str(folder / "corpus.jsonl"),
            "queries": str(folder / "queries.jsonl"),
            "qrels": {"test": str(folder / name)},
            "columns": columns,
        }
    )
    return load_data(DataSpec(retrieval=spec))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """BEIR's format with judgements of 30 train and 10 test queries."""
    return write_beir(tmp_path / "beir", {"train": range(30), "test": range(30, 40)})


def test_a_folder_gives_pairs_for_training_and_judged_queries_for_the_rest(folder: Path) -> None:
    """Pairs are the relevant judgements of train; a tenth of its queries is cut off as dev."""
    splits = _load(folder, groups=["kind"])
    judged = splits.retrieval
    assert judged is not None
    assert splits.dev_is_cut
    assert not splits.test_is_dev
    assert (len(judged.sets["dev"].queries), len(judged.sets["test"].queries)) == (3, 10)
    assert len(splits.train) == 2 * 27
    assert not set(splits.train.text_1) & set(judged.sets["dev"].queries.texts)
    assert judged.sets["test"].judgements.shape == (30, 3)
    assert sorted(judged.sets["test"].judgements[:, 2].tolist()) == [0] * 10 + [1] * 10 + [2] * 10
    assert set(splits.train.groups["kind"]) == {"like", "love", "hate", "never", "always"}


def test_frozen_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    """What a sweep keeps has the digest, the queries and the judgements that were read."""
    from embft.data.audit import audit

    splits = _load(folder)
    write_dataset(tmp_path / "frozen", splits, audit(splits))
    found, digest = open_splits(tmp_path / "frozen")
    assert digest == splits.digest()
    assert found.retrieval is not None
    assert splits.retrieval is not None
    assert found.retrieval.digest() == splits.retrieval.digest()
    assert list(found.retrieval.corpus.texts) == DOCUMENTS


def test_a_judgement_more_is_other_data(folder: Path) -> None:
    """The digest covers judgements that make no pair."""
    before = _load(folder).digest()
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q30\td59\t0\n")
    assert _load(folder).digest() != before


def test_with_judgements_for_test_alone_nothing_is_trained_on(tmp_path: Path) -> None:
    """No pairs are asked for: test is ranked, and dev is test."""
    splits = _load(write_beir(tmp_path / "beir", {"test": range(10)}))
    assert len(splits.train) == 0
    assert splits.test_is_dev
    assert splits.test is splits.dev


def test_a_title_stands_before_its_text(tmp_path: Path) -> None:
    """As BEIR joins them; a corpus without titles has its texts alone."""
    splits = _load(write_beir(tmp_path / "beir", {"test": range(10)}, title="On taste"))
    assert splits.retrieval is not None
    assert splits.retrieval.corpus.texts[0] == f"On taste {DOCUMENTS[0]}"


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{g}\n" for q, d, g in ROWS),
        "".join(f"{q}\t{d}\t{g}\n" for q, d, g in ROWS),
        "".join(f"{q} 0 {d} {g}\n" for q, d, g in ROWS),
        "".join(f"{q}\tQ0\t{d}\t{g}\n" for q, d, g in ROWS),
        "score,query-id,corpus-id\n" + "".join(f"{g},{q},{d}\n" for q, d, g in ROWS),
        "\ufeffQuery-ID\tCorpus-ID\tScore\r\n"
        + "".join(f"{q}\t{d}\t{g}.0\r\n" for q, d, g in ROWS),
    ],
    ids=["beir", "no header", "trec", "trec with tabs", "csv in another order", "from a sheet"],
)
def test_judgements_are_read_in_every_form(folder: Path, content: str) -> None:
    """BEIR's and TREC's columns, with a header or without, separated by whatever."""
    found = _with_qrels(folder, content).retrieval
    assert found is not None
    assert found.sets["test"].judgements.tolist() == _expected()


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_judgements_have_columns_of_any_name(folder: Path, suffix: str) -> None:
    """In JSON lines and parquet, under the names that the spec gives."""
    rows = [{"topic": q, "page": d, "relevance": g} for q, d, g in ROWS]
    path = folder / f"judged.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    names = {"query": "topic", "document": "page", "grade": "relevance"}
    found = _files(folder, path.name, qrels=names).retrieval
    assert found is not None
    assert found.sets["test"].judgements.tolist() == _expected()


def _expected() -> list[list[int]]:
    rows = [[int(q[1:]), int(d[1:]), g] for q, d, g in ROWS]
    return sorted(rows)


def test_ids_may_be_numbers_in_one_file_and_texts_in_another(tmp_path: Path) -> None:
    """`1`, `1.0` of a parquet column with gaps, and "1" are one id."""
    pq.write_table(
        pa.table({"_id": pa.array([1.0, 2.0]), "text": ["tea", "coffee"]}), tmp_path / "c.parquet"
    )
    (tmp_path / "q.jsonl").write_text('{"_id": 7, "text": "what to drink"}\n')
    (tmp_path / "test.tsv").write_text("7\t1\t1\n")
    spec = RetrievalSpec.model_validate(
        {
            "corpus": str(tmp_path / "c.parquet"),
            "queries": str(tmp_path / "q.jsonl"),
            "qrels": {"test": str(tmp_path / "test.tsv")},
        }
    )
    found = load_data(DataSpec(retrieval=spec)).retrieval
    assert found is not None
    assert found.sets["test"].judgements.tolist() == [[0, 0, 1]]


def test_of_a_judgement_given_twice_the_higher_grade_counts(folder: Path) -> None:
    """And that it was given twice is found, with its line."""
    content = "q0\td3\t1\nq0\td3\t2\nq0\td3\t0\nq1\td4\t1\nq1\td4\t1\n"
    found = _with_qrels(folder, content).retrieval
    assert found is not None
    assert found.sets["test"].judgements.tolist() == [[0, 3, 2], [1, 4, 1]]
    fault, unjudged = found.faults
    assert (unjudged.name, unjudged.count) == ("unjudged_queries", 38)
    assert (fault.name, fault.count) == ("graded_twice", 2)
    assert "line 2" in fault.examples[0]


def test_what_is_unknown_or_unanswered_is_found_and_left_out(folder: Path) -> None:
    """Unknown queries and documents, and queries with no grade above 0, are faults of their own."""
    content = "q0\td3\t1\nq99\td3\t1\nq0\td999\t1\nq2\td5\t0\nq3\td6\t-1\n"
    found = _with_qrels(folder, content).retrieval
    assert found is not None
    assert found.sets["test"].queries.texts == [QUERIES[0]]
    counts = {fault.name: fault.count for fault in found.faults}
    assert counts == {
        "unjudged_queries": 37,
        "unknown_queries": 1,
        "unknown_documents": 1,
        "unanswered_queries": 2,
    }


def test_faults_of_judgements_are_findings_of_the_audit(folder: Path) -> None:
    """With examples and what to do, also where there is nothing to train on."""
    from embft.data.audit import audit

    found = audit(_with_qrels(folder, "q0\td3\t1\nq0\td3\t2\nq9\td999\t1\n"))
    twice, unknown = found.find("graded_twice_test"), found.find("unknown_documents_test")
    assert twice is not None
    assert unknown is not None
    assert "1 judgements of test that were given twice" in twice.message
    assert unknown.examples == ({"split": "test", "what": "d999"},)


def test_nothing_is_trained_without_judgements_for_train(tmp_path: Path, tiny_model: Path) -> None:
    """The plan says so; base models alone can be compared."""
    from embft.errors import EmbftError
    from embft.planning.plan import make_plan

    write_beir(tmp_path / "beir", {"test": range(10)})
    text = f"name: x\ndata: {{beir: beir}}\nmodel: {{base: {tiny_model}}}\n"
    with pytest.raises(EmbftError, match="no judgements for train"):
        make_plan(parse_spec(text, folder=tmp_path), tmp_path)
    alone = text + "train: {method: none}\n"
    assert len(make_plan(parse_spec(alone, folder=tmp_path), tmp_path).trials) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no judgements"),
        ("topic\tpage\trelevance\nq0\td3\t1\n", "no column 'query-id'; the file has: topic, page"),
        ("q0 Q0 d3 1 0.73 run\n", "no column 'query-id'"),
        ("q0\t1\n", "2 columns without a header"),
        ("q0\td3\tyes\nq0\td3\t1\n", "no column 'query-id'"),
        ("q0\td3\t1\nq0\td4\tyes\n", "'yes' is no grade"),
        ("q0\td3\t1\nq0\td4\t0.5\n", "'0.5' is no grade"),
        ("q0\td3\t1\nq0\td4\n", "line 2: 2 columns where the first line has 3"),
        ("0\td3\t1\n", "none of their query ids is in queries: they are ['0']"),
        ("q0\t3\t1\n", "none of their document ids is in corpus: they are ['3']"),
        ("q0\td3\t0\n", "no grade above 0"),
    ],
)
def test_judgements_that_cannot_be_meant_are_refused(
    folder: Path, content: str, words: str
) -> None:
    """With the file, the line, and what is allowed."""
    with pytest.raises(DataError) as error:
        _with_qrels(folder, content)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("corpus.jsonl", "", "holds no documents"),
        ("queries.jsonl", "", "holds no queries"),
        ("corpus.jsonl", '{"_id": "d3", "body": "tea"}\n', "no column 'text'"),
        ("corpus.jsonl", '{"_id": "d3", "text": "tea"}\n' * 2, "the id 'd3' stands twice"),
        ("queries.jsonl", '{"_id": "q0", "text": " "}\n', "the text is empty"),
        ("corpus.jsonl", '{"_id": null, "text": "tea"}\n', "None is no id"),
    ],
)
def test_texts_that_cannot_be_meant_are_refused(
    folder: Path, name: str, content: str, words: str
) -> None:
    """Empty files, missing columns, ids that stand twice."""
    (folder / name).write_text(content)
    with pytest.raises(DataError) as error:
        _load(folder)
    assert words in str(error.value)


def test_a_folder_without_its_files_says_what_belongs_in_it(tmp_path: Path) -> None:
    """Also one that is not there."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"no corpus\.jsonl"):
            _load(folder)
    write_beir(tmp_path / "beir", {})
    with pytest.raises(DataError, match="holds no judgements"):
        _load(tmp_path / "beir")


def test_a_document_without_words_is_kept(folder: Path) -> None:
    """BEIR's corpora have some."""
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "empty", "title": "", "text": ""}\n')
    splits = _load(folder)
    assert splits.retrieval is not None
    assert splits.retrieval.corpus.texts[-1] == ""


def test_a_sample_of_the_corpus_has_every_judged_document(folder: Path) -> None:
    """The same each time, no larger than asked, and judged alike."""
    judged = _load(folder).retrieval
    assert judged is not None
    found = judged.candidates("test", 35)
    corpus, own = found.corpus, found.judged
    whole = judged.sets["test"]
    assert len(corpus) == 35
    for (query, row, grade), (query_2, row_2, grade_2) in zip(
        own.judgements.tolist(), whole.judgements.tolist(), strict=True
    ):
        assert (query, corpus.ids[row], grade) == (query_2, judged.corpus.ids[row_2], grade_2)
    assert found.rows is not None
    assert corpus.ids == [judged.corpus.ids[row] for row in found.rows]
    assert judged.candidates("test", 1000).corpus is judged.corpus
    assert judged.candidates("test").rows is None
    np.testing.assert_array_equal(judged.candidates("test", 35).corpus.ids, corpus.ids)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{beir: b, dev: x.jsonl}", "dev would not be used"),
        ("{beir: b, columns: {label: null}}", "columns would not be used"),
        ("{beir: b, train: x.jsonl}", "here is train and beir"),
        ("{retrieval: {corpus: a, queries: b, qrels: {}}}", "names no file of judgements"),
        ("{retrieval: {corpus: a, queries: b, qrels: {tset: c}}}", "unknown field"),
    ],
)
def test_fields_that_would_not_be_used_are_refused(data: str, words: str) -> None:
    """As everywhere in a spec."""
    with pytest.raises(SpecError) as error:
        parse_spec(f"name: x\ndata: {data}\n")
    assert words in str(error.value)


def test_the_objective_is_ndcg_where_none_is_named() -> None:
    """And the corpus is ranked without an entry that says so, with the objective's cut-off."""
    spec = parse_spec("name: x\ndata: {beir: b}\n")
    assert spec.objective.metric == "ndcg_at_10"
    assert [entry.kind for entry in spec.evaluators] == ["retrieval"]
    named = parse_spec("name: x\ndata: {beir: b}\nobjective: {metric: map_at_20}\n")
    assert named.evaluators[0].fields.model_dump()["k"] == (1, 5, 10, 20, 100)
    with pytest.raises(SpecError, match="map_at_x"):
        parse_spec("name: x\ndata: {beir: b}\nobjective: {metric: map_at_x}\n")
