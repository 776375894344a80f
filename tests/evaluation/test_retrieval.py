"""Retrieval over a corpus: trec_eval's numbers, the order of ties, exact search, encoding."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from embft.data.build import load_data
from embft.data.pairs import Splits
from embft.data.retrieval import TextSet
from embft.errors import EmbftError
from embft.evaluation import corpus as corpus_module
from embft.evaluation.context import Context, Estimate
from embft.evaluation.corpus import encode_corpus, unit
from embft.evaluation.retrieval import Retrieval
from embft.evaluation.search import Block, Grades, Hits, Vectors, search
from embft.metrics.ranking import ranking_metrics
from embft.spec import DataSpec
from tests.helpers.judged import write_beir

CUTOFFS = (1, 5, 10, 100)


def _random(count: int, width: int, seed: int) -> Vectors:
    draw = np.random.default_rng(seed)
    return unit(draw.normal(size=(count, width)).astype(np.float32))


def _judged(queries: int, documents: int, seed: int = 0) -> Any:
    """Some judgements of each query, with grades from -1 to 3, one of them above 0."""
    draw = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        chosen = draw.choice(documents, 6, replace=False)
        grades = [1 + query % 3, *draw.integers(-1, 4, size=5).tolist()]
        rows += [(query, int(d), g) for d, g in zip(chosen, grades, strict=True)]
    return np.array(sorted(rows), np.int64)


def _blocks(vectors: Vectors, size: int) -> Iterator[Block]:
    for start in range(0, len(vectors), size):
        yield start, vectors[start : start + size]


def _search(queries: Vectors, documents: Vectors, judged: Any, size: int, k: int = 100) -> Hits:
    return search(queries, _blocks(documents, size), k, Grades.of(judged, len(documents)))


@pytest.mark.parametrize("size", [7, 64, 1000])
def test_metrics_equal_those_of_trec_eval(size: int) -> None:
    """From the scores of every document, which trec_eval ranks itself, to 1e-6."""
    queries, documents, judged = _random(300, 16, 1), _random(500, 16, 2), _judged(300, 500)
    hits = _search(queries, documents, judged, size)
    found = ranking_metrics(hits.documents, judged, CUTOFFS)
    scores = queries.astype(np.float64) @ documents.T.astype(np.float64)
    run = {str(q): {str(d): s for d, s in enumerate(r)} for q, r in enumerate(scores.tolist())}
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in judged.tolist():
        qrels.setdefault(str(query), {})[str(document)] = grade
    names = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}
    names["success"] = "success"
    cuts = ",".join(map(str, CUTOFFS))
    measures = {f"{name}.{cuts}" for name in names.values()} | {"recip_rank"}
    expected = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    for k in CUTOFFS:
        for ours, theirs in names.items():
            wanted = [expected[str(q)][f"{theirs}_{k}"] for q in range(300)]
            np.testing.assert_allclose(found[f"{ours}_at_{k}"], wanted, atol=1e-6)
        ranks = [expected[str(q)]["recip_rank"] for q in range(300)]
        wanted = [r if round(1 / r) <= k else 0.0 for r in ranks]
        np.testing.assert_allclose(found[f"mrr_at_{k}"], wanted, atol=1e-6)


def test_metrics_equal_their_definitions() -> None:
    """nDCG, MAP and the others computed here by their formulas, with grades as gains."""
    documents, judged = _random(200, 8, 3), _judged(40, 200, 4)
    hits = _search(_random(40, 8, 5), documents, judged, 50)
    found = ranking_metrics(hits.documents, judged, (10,))
    for query, ranked in enumerate(hits.documents.tolist()):
        grades = {d: max(g, 0) for q, d, g in judged.tolist() if q == query}
        gains = [grades.get(d, 0) for d in ranked]
        relevant = [gain > 0 for gain in gains]
        total = sum(grade > 0 for grade in grades.values())
        discount = 1 / np.log2(np.arange(2, 12))
        ideal = sorted(grades.values(), reverse=True)[:10]
        dcg = float(np.dot(gains[:10], discount))
        assert found["ndcg_at_10"][query] == pytest.approx(
            dcg / np.dot(ideal, discount[: len(ideal)])
        )
        precisions = [sum(relevant[: i + 1]) / (i + 1) for i in range(10) if relevant[i]]
        assert found["map_at_10"][query] == pytest.approx(sum(precisions) / total)
        assert found["recall_at_10"][query] == pytest.approx(sum(relevant[:10]) / total)
        assert found["precision_at_10"][query] == pytest.approx(sum(relevant[:10]) / 10)
        assert found["success_at_10"][query] == any(relevant[:10])


def test_search_finds_what_sorting_finds() -> None:
    """The first 100 of 3,000 in the order of their scores, whatever the blocks."""
    queries, documents, judged = _random(300, 12, 6), _random(3000, 12, 7), _judged(300, 3000)
    hits = _search(queries, documents, judged, 512)
    order = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :100]
    assert (hits.documents == order).mean() > 0.9999
    np.testing.assert_allclose(
        hits.scores, np.take_along_axis(queries @ documents.T, order, axis=1), atol=1e-6
    )


@pytest.mark.parametrize("size", [3, 50, 1000])
def test_equal_scores_never_flatter(size: int) -> None:
    """Where a model gives every document one vector, the relevant ones come last."""
    judged = _judged(20, 200)
    same = unit(np.ones((1, 4), np.float32))
    hits = _search(same.repeat(20, axis=0), same.repeat(200, axis=0), judged, size, 10)
    found = ranking_metrics(hits.documents, judged, (1, 10))
    assert all(values.max() == 0 for values in found.values())


def test_of_equal_scores_the_lower_grade_comes_first() -> None:
    """Among the documents of one score, and only there."""
    documents = unit(np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 1]], np.float32))
    judged = np.array([[0, 0, 2], [0, 1, 1], [0, 4, 3]])
    hits = _search(unit(np.array([[1, 0]], np.float32)), documents, judged, 2, 10)
    assert hits.documents[0].tolist() == [2, 1, 0, 3, 4, -1, -1, -1, -1, -1]


# --- the evaluator --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """30 train and 10 test queries over 60 documents."""
    folder = tmp_path_factory.mktemp("judged") / "beir"
    write_beir(folder, {"train": range(30), "test": range(30, 40)})
    return load_data(DataSpec(beir=str(folder)))


def _found(model: Any, splits: Splits, **fields: Any) -> dict[str, float]:
    context = Context(model, splits, {}, None, 0)
    found = Retrieval(**fields).run(context, None)["test"]
    values = {n: v for n, v in found.items() if isinstance(v, Estimate)}
    for name, value in values.items():
        assert value.by_unit is not None
        low, high = value.interval or (value.value, value.value)
        assert low <= value.value <= high
        assert (low < high) == (np.ptp(value.by_unit.values) > 0), name
        assert value.by_unit.estimate() == pytest.approx(value.value)
    return {name: value.value for name, value in values.items()}


def _by_the_library(model: Any, splits: Splits) -> dict[str, float]:
    """What sentence-transformers' own evaluator says of binary judgements."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    assert splits.retrieval is not None
    corpus, own = splits.retrieval.corpus, splits.retrieval.sets["test"]
    relevant: dict[str, set[str]] = {}
    for query, document, _ in own.relevant.tolist():
        relevant.setdefault(own.queries.ids[query], set()).add(corpus.ids[document])
    evaluator = InformationRetrievalEvaluator(
        dict(zip(own.queries.ids, own.queries.texts, strict=True)),
        dict(zip(corpus.ids, corpus.texts, strict=True)),
        relevant,
        mrr_at_k=[1, 10],
        ndcg_at_k=[1, 10],
        accuracy_at_k=[1, 10],
        precision_recall_at_k=[1, 10],
        main_score_function="cosine",
    )
    found = evaluator(model)
    return {name.removeprefix("cosine_").replace("@", "_at_"): v for name, v in found.items()}


def _binary(splits: Splits) -> Splits:
    """The same with every grade above 0 as 1."""
    from dataclasses import replace

    judged = splits.retrieval
    assert judged is not None
    sets = {
        split: replace(own, judgements=np.minimum(own.judgements, [10**9, 10**9, 1]))
        for split, own in judged.sets.items()
    }
    return replace(splits, retrieval=replace(judged, sets=sets))


def _same_as_the_library(model: Any, splits: Splits) -> None:
    binary = _binary(splits)
    found, expected = _found(model, binary), _by_the_library(model, binary)
    names = {"ndcg": "ndcg", "mrr": "mrr", "accuracy": "success"}
    names |= {"recall": "recall", "precision": "precision"}
    for theirs, ours in names.items():
        for k in (1, 10):
            assert found[f"{ours}_at_{k}"] == pytest.approx(expected[f"{theirs}_at_{k}"], abs=1e-6)


def test_minilm_scores_as_the_library_scores_it(minilm: Path, judged: Splits) -> None:
    """nDCG, MRR, success, recall and precision to 1e-6."""
    from sentence_transformers import SentenceTransformer

    _same_as_the_library(SentenceTransformer(str(minilm), device="cpu"), judged)


@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_base_with_prompts_scores_as_the_library_scores_it(
    tiny_model: Path, judged: Splits, include_prompt: bool
) -> None:
    """A query's and a document's prompt are put before them, and count in the mean or do not."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    plain = _found(model, _binary(judged))
    model.prompts = {"query": "never: ", "document": "always hate: "}
    model.set_pooling_include_prompt(include_prompt)
    _same_as_the_library(model, judged)
    assert _found(model, _binary(judged)) != plain


def test_the_corpus_is_encoded_once(
    tiny_model: Path, judged: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For test and for dev's sample of it; while training the sample alone."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    counting = _Counting(monkeypatch)
    sample = Retrieval(dev_documents=9)
    sample.run(Context(model, judged, {}, None, 0), None)
    assert counting.texts == 60 + 3 + 10
    counting.texts = 0
    sample.run(Context(model, judged, {}, None, 0, ("dev",)), None)
    assert counting.texts == 9 + 3


def test_dev_may_be_a_sample_of_the_corpus(tiny_model: Path, judged: Splits) -> None:
    """Fewer documents to find among: dev's scores rise, test's stay."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    context = Context(model, judged, {}, None, 0)
    whole = Retrieval().run(context, None)
    few = Retrieval(dev_documents=9).run(context, None)
    assert whole["test"]["ndcg_at_10"].value == few["test"]["ndcg_at_10"].value  # type: ignore[union-attr]
    assert whole["dev"]["recall_at_10"].value < few["dev"]["recall_at_10"].value == 1  # type: ignore[union-attr]


# --- the encoded corpus ---------------------------------------------------------------------------


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> TextSet:
    """50 documents, two of them equal, in a file of parts of 8."""
    monkeypatch.setattr(corpus_module, "PART", 8)
    monkeypatch.setattr(corpus_module, "IN_MEMORY", 8)
    texts = [f"i like tea {'a ' * (i % 7)}{i}" for i in range(49)]
    return TextSet([str(i) for i in range(50)], [*texts, texts[3]])


class _Counting:
    """A model that says how many texts it has encoded, and may stop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts, self.most = 0, 10**9
        encoded = corpus_module._encoded

        def counted(model: Any, texts: Any, side: Any = "document") -> Vectors:
            if self.texts + len(texts) > self.most:
                raise KeyboardInterrupt
            self.texts += len(texts)
            return encoded(model, texts, side)

        monkeypatch.setattr(corpus_module, "_encoded", counted)


def _vectors(encoded: corpus_module.Corpus) -> Vectors:
    return np.concatenate([np.array(block) for _, block in encoded.blocks()])


def test_an_interrupted_encoding_goes_on(
    tiny_model: Path, many: TextSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its last whole part; a part that was damaged, and all after it, are encoded again."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    expected = encode_corpus(model, many)
    assert expected.shape == (49, 32)
    assert expected.text[49] == expected.text[3]
    counting = _Counting(monkeypatch)
    counting.most = 8 + 3 * 8
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(model, many, tmp_path)
    counting.texts, counting.most = 0, 10**9
    said: list[tuple[int, int]] = []
    found = encode_corpus(model, many, tmp_path, lambda done, total, _: said.append((done, total)))
    assert counting.texts == 8 + 49 - 3 * 8
    assert said[-1] == (49, 49)
    np.testing.assert_allclose(_vectors(found), _vectors(expected), atol=1e-6)
    with (tmp_path / "vectors.f32").open("r+b") as file:
        file.seek(2 * 8 * 32 * 4)
        file.write(b"\xff\xff")
    counting.texts = 0
    found = encode_corpus(model, many, tmp_path)
    assert counting.texts == 8 + 49 - 2 * 8
    np.testing.assert_allclose(_vectors(found), _vectors(expected), atol=1e-6)


def test_a_corpus_that_was_edited_is_encoded_again_from_there(
    tiny_model: Path, many: TextSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part knows its own texts, though number and beginning of the corpus are the same."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    encode_corpus(model, many, tmp_path)
    texts = list(many.texts)
    texts[30] = "we never hate films"
    counting = _Counting(monkeypatch)
    found = encode_corpus(model, TextSet(many.ids, texts), tmp_path)
    assert counting.texts == 8 + 49 - 3 * 8
    expected = encode_corpus(model, TextSet(many.ids, texts))
    np.testing.assert_allclose(_vectors(found), _vectors(expected), atol=1e-6)


def test_without_a_folder_a_file_lasts_as_long_as_its_corpus(
    tiny_model: Path, many: TextSet
) -> None:
    """What `embft evaluate` encodes leaves nothing behind; some documents of it stay."""
    from sentence_transformers import SentenceTransformer

    found = encode_corpus(SentenceTransformer(str(tiny_model), device="cpu"), many)
    assert isinstance(found.vectors, Path)
    path, every = found.vectors, _vectors(found)
    few = found.take(np.array([3, 7, 49]))
    del found
    assert not path.exists()
    assert few.text.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(_vectors(few), every[[3, 7]])


def test_killed_at_any_write_the_encoding_goes_on(
    tiny_model: Path, many: TextSet, tmp_path: Path
) -> None:
    """A process that encodes is killed at each fsync and rename in turn; the next one comes to the
    vectors of an undisturbed run, and encodes no part twice that was whole.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has no other
    model = SentenceTransformer(str(tiny_model), device="cpu")
    expected = _vectors(encode_corpus(model, many, tmp_path / "undisturbed"))
    killed = 0
    for number in range(1, 100):
        folder = tmp_path / str(number)
        if not _killed_at(number, lambda: encode_corpus(model, many, folder)):  # noqa: B023
            break
        killed += 1
        np.testing.assert_array_equal(_vectors(encode_corpus(model, many, folder)), expected)
    torch.set_num_threads(before)
    assert killed >= 3 * 7


def _killed_at(number: int, work: Callable[[], object]) -> bool:
    """Whether work in a fork reached its call number of fsync, rename or replace, at which it is
    killed.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    calls = 0

    def lethal(call: Any, *given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **more)

    try:
        for name in ("fsync", "rename", "replace"):
            setattr(os, name, partial(lethal, getattr(os, name)))
        work()
    finally:
        os._exit(0)


def test_another_model_begins_anew(
    tiny_model: Path, many: TextSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors of one model are never gone on from with another."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    encode_corpus(model, many, tmp_path)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    counting = _Counting(monkeypatch)
    found = encode_corpus(model, many, tmp_path)
    assert counting.texts == 8 + 49
    np.testing.assert_allclose(_vectors(found), _vectors(encode_corpus(model, many)), atol=1e-6)


def test_a_corpus_that_does_not_fit_on_the_disk_is_not_begun(
    tiny_model: Path, many: TextSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a full disk, which a sweep stops at and goes on from."""
    import shutil

    from sentence_transformers import SentenceTransformer

    from embft.errors import FailureReason
    from embft.storage.errors import storage_reason

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(OSError, match="49 documents need") as error:
        encode_corpus(SentenceTransformer(str(tiny_model), device="cpu"), many, tmp_path)
    assert storage_reason(error.value) == FailureReason.DISK_FULL


# --- an approximate index -------------------------------------------------------------------------


def test_the_recall_of_an_index_rises_with_the_cells_it_looks_at(
    tiny_model: Path, judged: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against exact search, by query, on test alone; all cells find what exact search finds."""
    pytest.importorskip("faiss")
    from sentence_transformers import SentenceTransformer

    from embft.evaluation import approximate

    monkeypatch.setattr(approximate, "_SAMPLE", 5)
    model = SentenceTransformer(str(tiny_model), device="cpu")
    evaluator = Retrieval(index=(1, 4, 12))
    found = evaluator.run(Context(model, judged, {}, None, 0), None)
    recalls = [found["test"][f"index_recall_at_{n}"] for n in (1, 4, 12)]
    assert not [name for name in found["dev"] if "index" in name]
    assert all(isinstance(each, Estimate) for each in recalls)
    one, some, every = (each.value for each in recalls)  # type: ignore[union-attr]
    assert 0 < one < some <= every
    assert every >= 0.99  # half precision may order near neighbours otherwise


def test_an_index_without_its_package_is_refused_by_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything runs, with what to install."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "faiss" else found(name)
    )
    with pytest.raises(EmbftError, match=r"embft\[ann\]"):
        Retrieval(index=(16,)).find_files()
