"""Clustering, classification and STS are MTEB's: on the same data the package gives the same."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from embft.data.build import load_data
from embft.data.labelled import Labelled
from embft.data.load import Columns, load_pairs
from embft.data.pairs import Splits
from embft.errors import EmbftError
from embft.evaluation.classification import Classification
from embft.evaluation.clustering import Clustering
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.mteb import Mteb, as_mteb_model, task_metrics
from embft.evaluation.retrieval import Retrieval
from embft.evaluation.run import evaluate
from embft.evaluation.sts import Sts
from embft.spec import DataSpec, EvaluatorSpec
from tests.conftest import SHARED_DATA
from tests.helpers.judged import write_beir

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("mteb") is None, reason="the extra embft[mteb] is not installed"
    ),
    pytest.mark.filterwarnings("ignore"),
]


def _titles(rows: Sequence[int]) -> Labelled:
    path = SHARED_DATA / "stackoverflow" / "titles.csv"
    if not path.exists():
        pytest.skip(f"no shared data at {path}")
    with path.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    return Labelled([found[i]["text"] for i in rows], [found[i]["label"] for i in rows])


def _context(minilm: Path) -> Context:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm), device="cpu")
    return Context(model, cast(Any, None), {}, None, 0, ("test",))


def _metadata(name: str, kind: str, main_score: str, category: str = "t2c") -> Any:
    from mteb.abstasks.task_metadata import TaskMetadata

    unknown = dict.fromkeys(
        ("reference", "date", "domains", "task_subtypes", "license", "annotations_creators",
         "dialect", "sample_creation", "bibtex_citation")
    )  # fmt: skip
    return TaskMetadata(
        name=name,
        description="Made on the spot.",
        dataset={"path": "none", "revision": "1"},
        type=kind,
        category=category,
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=main_score,
        **unknown,
    )


def _local(
    base: type, metadata: Any, splits: dict[str, dict[str, list[Any]]], **fields: Any
) -> Any:
    """A task of the package whose data is here."""
    from datasets import Dataset, DatasetDict

    def load_data(self: Any, **_: Any) -> None:
        self.dataset = DatasetDict({k: Dataset.from_dict(v) for k, v in splits.items()})
        self.data_loaded = True

    return type("Local", (base,), {"metadata": metadata, "load_data": load_data, **fields})()


def _value(found: Found, metric: str) -> float:
    value = found[metric]
    return float(value.value if isinstance(value, Estimate) else value)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [pytest.param(None, marks=pytest.mark.long), 0.5])
def test_clustering_is_mtebs(minilm: Path, tmp_path: Path, fraction: float | None) -> None:
    """On Stack Overflow titles our v-measure and the package's differ by less than 1e-6."""
    from mteb.abstasks import AbsTaskClustering

    context, texts = _context(minilm), _titles(range(0, 20_000, 40))
    evaluator = Clustering(data="x", draws=4, draw_size=400, fraction=fraction or 1.0)
    texts.write(tmp_path / "data.parquet")
    ours = evaluator.run(context, tmp_path)["test"]
    task = _local(
        AbsTaskClustering,
        _metadata("StackOverflowHere", "Clustering", "v_measure"),
        {"test": {"sentences": list(texts.texts), "labels": list(texts.labels)}},
        max_fraction_of_documents_to_embed=fraction,
        max_documents_per_cluster=400,
        n_clusters=4,
    )
    theirs = task_metrics(task, context)
    assert 0.5 < _value(ours, "v_measure") < 0.9
    assert _value(ours, "v_measure") == pytest.approx(
        _value(theirs, "mteb_StackOverflowHere"), abs=1e-6
    )


@pytest.mark.parametrize("asked", [("dev", "test"), ("dev",)])
def test_a_task_is_run_by_its_name(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    """The spec's name is what the package is asked for; its main score is recorded under that
    name, and in training, where dev alone is wanted, nothing is run.
    """
    import mteb
    from mteb.abstasks import AbsTaskClustering
    from sentence_transformers import SentenceTransformer

    words = ("dogs", "cats", "tea", "films")
    texts = [f"i {verb} {word}" for word in words for verb in ("love", "hate", "like")]

    def local() -> Any:
        return _local(
            AbsTaskClustering,
            _metadata("Some.Task-v2", "Clustering", "v_measure"),
            {"test": {"sentences": texts, "labels": [word for word in words for _ in range(3)]}},
            max_fraction_of_documents_to_embed=None,
            max_documents_per_cluster=12,
            n_clusters=2,
        )

    named: list[str] = []

    def get_task(name: str) -> Any:
        named.append(name)
        return local()

    monkeypatch.setattr(mteb, "get_task", get_task)
    model = SentenceTransformer(str(tiny_model), device="cpu")
    context = Context(model, cast(Any, None), {}, None, 0, asked)
    entry = EvaluatorSpec.model_validate({"mteb": {"task": "Some.Task-v2"}})
    found = evaluate(context, [(entry, None)])
    assert found.undefined == {}
    if "test" not in asked:
        assert (named, found.test) == ([], {})
        return
    assert named == ["Some.Task-v2"]
    direct = task_metrics(local(), context)
    assert found.test == {"mteb_Some_Task_v2": _value(direct, "mteb_Some_Task_v2")}
    parts = found.by_unit["test"]["mteb_Some_Task_v2"]
    assert (parts.unit, parts.ids) == ("task", ("test/default",))
    assert parts.estimate() == pytest.approx(found.test["mteb_Some_Task_v2"], abs=1e-12)
    assert 0 < found.test["mteb_Some_Task_v2"] <= 1


@pytest.mark.long
def test_classification_is_mtebs(minilm: Path, tmp_path: Path) -> None:
    """Sixteen titles a label, three draws: accuracy and F1 differ by less than 1e-6."""
    from mteb.abstasks import AbsTaskClassification

    context = _context(minilm)
    train, test = _titles(range(0, 20_000, 25)), _titles(range(7, 20_000, 40))
    numbers = {label: i for i, label in enumerate(sorted(set(train.labels)))}
    train, test = (Labelled(t.texts, [str(numbers[x]) for x in t.labels]) for t in (train, test))
    evaluator = Classification(data="x", train="y", draws=3)
    test.write(tmp_path / "data.parquet")
    train.write(tmp_path / "train.parquet")
    ours = evaluator.run(context, tmp_path)["test"]
    task = _local(
        AbsTaskClassification,
        _metadata("StackOverflowHere", "Classification", "accuracy"),
        {
            name: {"text": list(t.texts), "label": [int(x) for x in t.labels]}
            for name, t in (("train", train), ("test", test))
        },
        samples_per_label=16,
        n_experiments=3,
    )
    import mteb

    found = mteb.evaluate(as_mteb_model(context.model), task, cache=None, show_progress_bar=False)
    theirs = found.task_results[0].scores["test"][0]
    assert 0.5 < theirs["accuracy"] < 0.95
    assert _value(ours, "classification_accuracy") == pytest.approx(theirs["accuracy"], abs=1e-6)
    assert _value(ours, "classification_f1") == pytest.approx(theirs["f1"], abs=1e-6)


@pytest.mark.long
def test_sts_is_mtebs(minilm: Path, tmp_path: Path) -> None:
    """Spearman and Pearson of cosine and score differ by less than 1e-6."""
    import mteb
    from mteb.abstasks import AbsTaskSTS

    path = SHARED_DATA / "stsb" / "sts-dev.csv"
    if not path.exists():
        pytest.skip(f"no shared data at {path}")
    pairs = load_pairs(path, Columns(5, 6, 4), (), (0, 5)).take(range(200))
    context = _context(minilm)
    pairs.write(tmp_path / "data.parquet")
    ours = Sts(data="x").run(context, tmp_path)["test"]
    task = _local(
        AbsTaskSTS,
        _metadata("StsHere", "STS", "cosine_spearman"),
        {
            "test": {
                "sentence1": list(pairs.text_1),
                "sentence2": list(pairs.text_2),
                "score": (5 * pairs.label).tolist(),
            }
        },
    )
    found = mteb.evaluate(as_mteb_model(context.model), task, cache=None, show_progress_bar=False)
    theirs = found.task_results[0].scores["test"][0]
    for name in ("spearman", "pearson"):
        assert _value(ours, f"sts_{name}") == pytest.approx(theirs[f"cosine_{name}"], abs=1e-6)


def test_a_task_that_mteb_has_not_is_refused_unrun() -> None:
    """A task's name is checked when the sweep is planned, without importing the package."""
    assert Mteb(task="Banking77Classification").find_files().digest
    with pytest.raises(EmbftError, match="did you mean 'Banking77Classification'"):
        Mteb(task="Banking7Classification").find_files()


def _retrieval_task(splits: Splits) -> Any:
    """Judged queries over a corpus as a task of the package."""
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval

    assert splits.retrieval is not None
    corpus, own = splits.retrieval.corpus, splits.retrieval.sets["test"]
    relevant: dict[str, dict[str, int]] = {}
    for query, document, grade in own.judgements.tolist():
        relevant.setdefault(own.queries.ids[query], {})[corpus.ids[document]] = grade
    data = {
        "corpus": Dataset.from_dict(
            {"id": list(corpus.ids), "text": list(corpus.texts), "title": [""] * len(corpus)}
        ),
        "queries": Dataset.from_dict({"id": own.queries.ids, "text": own.queries.texts}),
        "relevant_docs": relevant,
        "top_ranked": None,
    }

    def load_data(self: Any, **_: Any) -> None:
        self.dataset = {"default": {"test": data}}
        self.data_loaded = True

    metadata = _metadata("PagesHere", "Retrieval", "ndcg_at_10", "t2t")
    return type("Local", (AbsTaskRetrieval,), {"metadata": metadata, "load_data": load_data})()


@pytest.mark.parametrize("documents", ["document", "passage"])
def test_retrieval_with_prompts_is_mtebs(tiny_model: Path, tmp_path: Path, documents: str) -> None:
    """The evaluator `mteb` puts the model's prompts before queries and documents as `retrieval`
    does: nDCG@10 is the same to 1e-5, the last digit that the package gives, and another one than
    without prompts.
    """
    from sentence_transformers import SentenceTransformer

    splits = load_data(DataSpec(beir=str(write_beir(tmp_path / "beir", {"test": range(20)}))))
    model = SentenceTransformer(str(tiny_model), device="cpu")
    found = []
    for prompts in ({"query": "never: ", documents: "always hate: "}, {}):
        model.prompts = dict[str, str | None](prompts)
        context = Context(model, splits, {}, None, 0, ("test",))
        theirs = _value(task_metrics(_retrieval_task(splits), context), "mteb_PagesHere")
        ours = _value(Retrieval().run(context, None)["test"], "ndcg_at_10")
        assert ours == pytest.approx(theirs, abs=1.1e-5)
        found.append(ours)
    assert found[0] != found[1]
