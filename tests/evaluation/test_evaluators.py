"""The evaluators: clusters, collapse, labelled texts, retrieval, probe, and users' functions."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import ndcg_score, v_measure_score

from embft.cli.plan_text import print_code
from embft.data.pairs import Pairs, Splits
from embft.errors import DataError, EmbftError, ModelError, SpecError
from embft.evaluation import clusters, collapse
from embft.evaluation import pair_retrieval as retrieval
from embft.evaluation.clustering import Clustering, v_measures
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.embed import Embedded, cosines, embed_splits, pair_cosines
from embft.evaluation.labelled import read_labelled
from embft.evaluation.run import Evaluated, evaluate
from embft.metrics.registry import METRICS
from embft.planning.plan import make_plan
from embft.results.evaluators import find_files
from embft.results.folders import SweepDir
from embft.spec import EvaluatorSpec, parse_spec

Floats = npt.NDArray[np.float64]


def _pairs(count: int, seed: int = 0) -> Pairs:
    draw = np.random.default_rng(seed)
    first = [f"one {seed} {i}" for i in range(count)]
    second = [f"other {seed} {i}" for i in range(count)]
    return Pairs(first, second, draw.permutation(np.arange(count) % 2).astype(np.float64))


def _embedded(count: int, width: int = 8, seed: int = 0) -> Embedded:
    draw = np.random.default_rng(seed)
    both = draw.normal(size=(2, count, width)).astype(np.float32)
    return Embedded(both[0], both[1])


def _values(found: Found) -> dict[str, float | str]:
    return {n: v.value if isinstance(v, Estimate) else v for n, v in found.items()}


def _run(context: Context, names: list[str], folder: Path | None = None) -> Evaluated:
    """These evaluators by name; the user's modules stand in the folder."""
    return evaluate(context, [(EvaluatorSpec.of(name), folder) for name in names])


@pytest.fixture
def context() -> Context:
    """Random embeddings of 12 dev and 14 test pairs; the model must not be asked."""
    dev, test = _pairs(12), _pairs(14, seed=1)
    embedded = {"dev": _embedded(12), "test": _embedded(14, seed=1)}
    return Context(cast(Any, None), Splits(dev, dev, test), embedded, 0.5, 0)


# --- embeddings -----------------------------------------------------------------------------------


def test_splits_are_embedded_once_and_give_the_same_cosines(tiny_model: Path) -> None:
    """A text of several splits is encoded once, and cosines equal those of each split alone."""
    from sentence_transformers import SentenceTransformer

    class Counting(SentenceTransformer):
        texts: tuple[str, ...] = ()

        def encode(self, texts: Any, **options: Any) -> Any:  # type: ignore[override]
            self.texts += tuple(texts)
            return super().encode(texts, **options)

    model = Counting(str(tiny_model), device="cpu")
    dev = Pairs(["i like tea", "i hate dogs"], ["tea", "tea"], np.array([1.0, 0.0]))
    test = Pairs(["tea", "you love films"], ["i like tea", "music"], np.array([1.0, 0.0]))
    found = embed_splits(model, Splits(dev, dev, test))
    assert sorted(model.texts) == sorted(set(model.texts))
    for split, pairs in (("dev", dev), ("test", test)):
        np.testing.assert_allclose(cosines(found[split]), pair_cosines(model, pairs), atol=1e-6)
    same = embed_splits(model, Splits(dev, dev, dev))
    assert same["dev"] is same["test"]


def test_cosine_of_a_zero_embedding_is_zero() -> None:
    """An embedding of length 0 gives cosine 0 instead of a division by zero."""
    one = np.array([[0, 0], [3, 4]], np.float32)
    other = np.array([[1, 0], [4, 3]], np.float32)
    np.testing.assert_allclose(cosines(Embedded(one, other)), [0, 0.96])


# --- clusters -------------------------------------------------------------------------------------


def test_purity_weighs_clusters_by_size_and_leaves_noise_out() -> None:
    """6 of 8 clustered points have their cluster's majority label; the noise does not count."""
    cluster = [0, 0, 0, 0, 0, 1, 1, 1, -1, -1]
    label = [1, 1, 1, 1, 0, 0, 0, 1, 1, 0]
    assert clusters.purity(cluster, label) == pytest.approx((4 + 2) / 8)


def test_purity_of_noise_alone_is_undefined() -> None:
    """Where every point is noise there is no purity."""
    assert clusters.purity([-1, -1], [0, 1]) is None


def test_hdbscan_finds_planted_clusters_and_noise() -> None:
    """Three dense groups of points are found, and far single points are noise."""
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    points = np.vstack([c + 0.2 * draw.normal(size=(30, 2)) for c in centres])
    far = np.array([[60.0, 60.0], [-50.0, 70.0]])
    found = clusters.find_clusters(np.vstack([points, far]))
    assert len(set(found[:90])) == 3
    assert all(len(set(found[i : i + 30])) == 1 for i in (0, 30, 60))
    assert (found[90:] == clusters.UNCLUSTERED).all()


def test_planted_clusters_are_pure_and_the_map_repeats() -> None:
    """Pairs of two far directions give purity 1 with every seed, and a seed gives one map."""
    draw = np.random.default_rng(0)
    label = np.arange(48) % 2
    centre = np.where(label[:, None] == 1, np.eye(16)[0], np.eye(16)[1])
    first, second = (centre + 0.05 * draw.normal(size=(48, 16)) for _ in range(2))
    embedded = Embedded(first.astype(np.float32), second.astype(np.float32))
    pairs = replace(_pairs(48), label=label.astype(np.float64))
    found = _values(clusters.cluster_metrics(embedded, pairs, seeds=(42, 43)))
    assert found["cluster_purity"] == 1.0
    assert found["cluster_purity_spread"] == 0.0
    assert cast(float, found["clusters"]) >= 2
    one, again = clusters.project_pairs(embedded), clusters.project_pairs(embedded)
    assert one.shape == (48, 2)
    np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: Embedded(e.first[:19], e.second[:19]), "fewer than 20 pairs (19)"),
        (lambda e: Embedded(e.first * np.nan, e.second), "not finite"),
        (lambda e: Embedded(np.ones_like(e.first), np.ones_like(e.second)), "only 1 different"),
    ],
)
def test_what_cannot_be_clustered_says_why(
    change: Callable[[Embedded], Embedded], reason: str
) -> None:
    """Too few pairs, NaN and collapsed embeddings give a reason instead of a purity."""
    embedded = change(_embedded(30))
    found = clusters.cluster_metrics(embedded, _pairs(len(embedded.first)))
    assert reason in str(found.pop("cluster_purity"))
    assert not found


def test_graded_labels_are_cut_at_their_median() -> None:
    """Binary labels stay, also when one prevails; graded ones become two halves."""
    assert clusters.two_sided(np.array([0.0, 1.0, 1.0])).tolist() == [False, True, True]
    assert clusters.two_sided(np.array([0.1, 0.2, 0.7, 1.0])).tolist() == [False, False, True, True]


# --- collapse -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spectrum", "rank"),
    [([1, 1, 1, 1], 4.0), ([5, 0, 0, 0], 1.0), ([3, 1, 0, 0], 4 / 27**0.25), ([0, 0, 0, 0], 0.0)],
)
def test_effective_rank_of_known_spectra(spectrum: list[float], rank: float) -> None:
    """Equal singular values count fully, one alone counts 1, 3 and 1 give 4 / 27^(1/4)."""
    draw = np.random.default_rng(0)
    left = np.linalg.qr(draw.normal(size=(9, 4)))[0]
    right = np.linalg.qr(draw.normal(size=(4, 4)))[0]
    assert collapse.effective_rank(left * np.array(spectrum) @ right) == pytest.approx(rank)


def _unit(rows: Floats) -> Floats:
    return cast(Floats, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_uniformity_alignment_and_mean_cosine_follow_their_formulas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All three equal the sums written out over every two rows, whatever the rows' length."""
    monkeypatch.setattr(collapse, "_CHUNK", 4)
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(11, 5)), draw.normal(size=(11, 5))
    u, v = _unit(one), _unit(other)
    apart = [np.sum((u[i] - u[j]) ** 2) for i in range(11) for j in range(11) if i != j]
    cosine = [u[i] @ u[j] for i in range(11) for j in range(11) if i != j]
    expected = np.log(np.mean(np.exp(-2 * np.array(apart))))
    assert collapse.uniformity(7 * one) == pytest.approx(expected)
    assert collapse.mean_cosine(7 * one) == pytest.approx(np.mean(cosine))
    squares = [np.sum((a - b) ** 2) for a, b in zip(u, v, strict=True)]
    assert collapse.alignment(7 * one, other) == pytest.approx(np.mean(squares))


def test_collapsed_embeddings_show() -> None:
    """One embedding for all texts: cosine 1, rank 1, uniformity 0, alignment 0."""
    same = np.tile(np.array([3.0, 4.0], np.float32), (6, 1))
    found = collapse.collapse_metrics(Embedded(same, same), _pairs(6))
    expected = {"mean_cosine": 1, "effective_rank": 1, "uniformity": 0, "alignment": 0}
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_text_that_repeats_counts_once() -> None:
    """The distinct texts' embeddings come in order of appearance."""
    pairs = Pairs(["a", "b", "a"], ["b", "c", "a"], np.array([1.0, 0.0, 1.0]))
    value = {"a": 1.0, "b": 2.0, "c": 3.0}
    first, second = (
        np.array([[value[text]] for text in column], np.float32)
        for column in (pairs.text_1, pairs.text_2)
    )
    assert collapse.distinct(Embedded(first, second), pairs).ravel().tolist() == [1.0, 2.0, 3.0]


def test_alignment_needs_a_positive_pair() -> None:
    """Without a pair labelled 1 alignment has a reason, the others their numbers."""
    pairs = replace(_pairs(5), label=np.zeros(5))
    found = collapse.collapse_metrics(_embedded(5), pairs)
    assert found.pop("alignment") == "no pair is labelled 1"
    assert all(isinstance(value, float) for value in found.values())


# --- labelled texts and retrieval -----------------------------------------------------------------


def _labelled() -> tuple[Floats, npt.NDArray[np.str_]]:
    draw = np.random.default_rng(0)
    kinds = np.arange(120) % 4
    points = 1.2 * np.eye(6)[kinds] + 0.5 * draw.normal(size=(120, 6))
    return points, np.array(["card", "loan", "fee", "pin"])[kinds]


def test_v_measure_of_each_draw_is_scikit_learns() -> None:
    """Each draw's score is scikit-learn's for the rows that Python's generator draws."""
    points, labels = _labelled()
    spec = Clustering(data="x", draws=3, draw_size=200)
    draw, expected = random.Random(42), []  # noqa: S311 - MTEB's own generator
    for _ in range(3):
        rows = draw.choices(range(120), k=200)
        model = MiniBatchKMeans(4, batch_size=512, n_init=1, random_state=42)
        expected.append(v_measure_score(labels[rows], model.fit_predict(points[rows])))
    found = v_measures(points, labels.tolist(), spec)
    assert found == pytest.approx(expected)
    assert 0.1 < found.mean() < 0.99


def test_v_measure_of_planted_clusters() -> None:
    """Clear classes give 1 in every draw."""
    labels = np.arange(90) % 3
    points = 50 * np.eye(3)[labels] + 0.01 * np.random.default_rng(0).normal(size=(90, 3))
    spec = Clustering(data="x", draws=4, draw_size=60)
    found = v_measures(points, [str(label) for label in labels], spec)
    assert found.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,category\na,x\nb,x\n", "at least 2 different labels"),
        ("text,category\n ,x\nb,y\n", "line 2.*the text is empty"),
        ("text,category\na,\nb,y\n", "line 2.*the label is missing"),
        ("text,kind\na,x\n", "no column 'category'"),
    ],
)
def test_labelled_texts_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    """What is wrong with a file of labelled texts is said with its line."""
    path = tmp_path / "texts.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_labelled(path, label="category")


def test_labelled_texts_are_read(tmp_path: Path) -> None:
    """Text and label columns are found by name or by position."""
    path = tmp_path / "texts.csv"
    path.write_text('text,category\n"Where, please?",way\nWhen?,time\n')
    found = read_labelled(path, label="category")
    assert found.texts == ["Where, please?", "When?"]
    assert found.labels == ["way", "time"]
    by_place = read_labelled(path, 0, 1)
    assert by_place.texts[1:] == found.texts


def _brute_force(
    queries: Floats, corpus: Floats, relevant: list[set[int]], itself: list[int]
) -> dict[str, float]:
    """The four metrics by sorting each query's candidates; nDCG by scikit-learn."""
    rows = []
    for query, good, own in zip(queries, relevant, itself, strict=True):
        candidates = [i for i in range(len(corpus)) if i != own]
        score = {
            i: query @ corpus[i] / np.linalg.norm(query) / np.linalg.norm(corpus[i])
            for i in candidates
        }
        ranked = sorted(candidates, key=lambda i, s=score: -s[i])  # type: ignore[misc]
        hits = [i in good for i in ranked]
        gains = [[i in good for i in candidates]]
        rows.append(
            (
                1 / (1 + hits.index(True)),
                sum(hits[:1]) / len(good),
                sum(hits[:10]) / len(good),
                ndcg_score(gains, [[score[i] for i in candidates]], k=10),
            )
        )
    means = np.mean(rows, axis=0)
    return dict(zip(("mrr", "recall_at_1", "recall_at_10", "ndcg_at_10"), means, strict=True))


@pytest.mark.parametrize("cells", [10**9, 100])
def test_retrieval_equals_brute_force(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One positive a query, in one piece and in chunks: as if every list had been sorted."""
    monkeypatch.setattr(retrieval, "_CELLS", cells)
    draw = np.random.default_rng(3)
    queries = draw.normal(size=(40, 6))
    corpus = queries + 1.2 * draw.normal(size=(40, 6))
    expected = _brute_force(queries, corpus, [{i} for i in range(40)], [-1] * 40)
    assert retrieval.retrieval(queries, corpus) == pytest.approx(expected)


def test_retrieval_with_several_positives_equals_brute_force() -> None:
    """Queries with one to three positives, some of which stand among the candidates themselves."""
    draw = np.random.default_rng(4)
    queries, corpus = draw.normal(size=(25, 5)), draw.normal(size=(30, 5))
    good = [set(draw.choice(29, 1 + i % 3, replace=False).tolist()) for i in range(25)]
    itself = [29 if i % 4 == 0 else -1 for i in range(25)]
    relevant = np.array([(q, c) for q, found in enumerate(good) for c in sorted(found)])
    found = retrieval.retrieval(queries, corpus, relevant, np.array(itself))
    assert found == pytest.approx(_brute_force(queries, corpus, good, itself))


def test_retrieval_by_collapsed_embeddings_is_worst() -> None:
    """Of equal cosines the irrelevant text comes first: every positive ranks last."""
    same = np.ones((20, 4))
    found = retrieval.retrieval(same, same)
    expected = {"mrr": 1 / 20, "recall_at_1": 0, "recall_at_10": 0, "ndcg_at_10": 0}
    assert found == pytest.approx(expected)


def test_pairs_become_queries_and_candidates() -> None:
    """Only pairs labelled 1 count, texts count once, and a query never finds itself."""
    axes = np.eye(4, dtype=np.float32)
    value = {"a": axes[0], "b": axes[0] + 0.1 * axes[1], "c": axes[2], "d": axes[0]}
    pairs = Pairs(["a", "b", "b", "a", "c"], ["b", "a", "c", "d", "c"], np.array([1, 1, 1, 0, 1.0]))
    first, second = (
        np.array([value[text] for text in column]) for column in (pairs.text_1, pairs.text_2)
    )
    found = retrieval.pair_retrieval(Embedded(first, second), pairs)
    # Candidates a, b, c. Query a (not a itself): b first. Query b (not b itself): a, then c.
    assert _values(found) == pytest.approx(
        {"mrr": 1.0, "recall_at_1": 0.75, "recall_at_10": 1.0, "ndcg_at_10": 1.0}
    )


def test_retrieval_needs_two_candidates(context: Context) -> None:
    """A split without positives has reasons, not numbers."""
    pairs = replace(context.splits.test, label=np.zeros(14))
    found = retrieval.pair_retrieval(context.embedded["test"], pairs)
    assert set(found.values()) == {"fewer than 2 distinct texts to find (0)"}


# --- users' evaluators ----------------------------------------------------------------------------

_MINE = """\
from __future__ import annotations
from dataclasses import dataclass
import helper_of_mine

@dataclass
class Result:
    value: float

LEVEL = 3

def flat(context):
    return {"pairs_seen": len(context.splits.test), "bad": float("nan"), "text": "too short"}

def by_split(context):
    return {"dev": {"half": helper_of_mine.HALF}, "test": {"half": Result(0.25).value}}

def taken(context):
    return {"spearman": 0.9, "fine": 1}

def list_(context):
    return [1, 2]

def mixed(context):
    return {"test": {"a": 1}, "train": {"a": 1}}

def none(context):
    return {"nothing": None, "with space": 1.0}

def raises(context):
    raise KeyError("column")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a user's module and what it imports."""
    (tmp_path / "my_metrics.py").write_text(_MINE)
    (tmp_path / "helper_of_mine.py").write_text("HALF = 0.5\n")
    (tmp_path / "broken.py").write_text("import not_installed_anywhere\n")
    return tmp_path


def test_a_users_function_adds_its_numbers(context: Context, mine: Path) -> None:
    """Flat results are test's, others by split; NaN is dropped with a reason, a text is one."""
    found = _run(context, ["my_metrics:flat", "my_metrics:by_split"], mine)
    assert found.test == {"pairs_seen": 14.0, "half": 0.25}
    assert found.dev == {"half": 0.5}
    assert found.undefined == {"bad": "the evaluator gave nan", "text": "too short"}


@pytest.mark.parametrize(
    ("function", "key", "reason"),
    [
        ("taken", "my_metrics:taken.spearman", "another metric has this name"),
        ("list_", "my_metrics:list_", "list, not a dict"),
        ("mixed", "my_metrics:mixed", "'train'"),
        ("none", "nothing", "NoneType, not a number"),
        ("none", "with space", "letters, digits"),
        ("raises", "my_metrics:raises", "KeyError: 'column'"),
    ],
)
def test_a_faulty_function_costs_its_metrics_alone(
    context: Context, mine: Path, function: str, key: str, reason: str
) -> None:
    """What is no finite number under a free name is left out, and says why."""
    found = _run(context, [f"my_metrics:{function}", "collapse"], mine)
    assert reason in found.undefined[key]
    assert "spearman" not in found.test
    assert "effective_rank" in found.test


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_metric:flat", "no module 'my_metric'.*did you mean 'my_metrics'"),
        ("my_metrics:flatt", "has no 'flatt'; did you mean 'flat'"),
        ("no.such.package:f", "no module 'no.such.package'"),
        ("crooked:f", r"crooked.py:1: no valid Python"),
    ],
)
def test_an_evaluator_that_is_not_there(mine: Path, name: str, message: str) -> None:
    """The plan names what was given and what is near it, without running the user's code."""
    (mine / "crooked.py").write_text("def f(:\n")
    with pytest.raises(EmbftError, match=message):
        EvaluatorSpec.of({"function": name, "folder": str(mine)}).fields.find_files()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_metrics:LEVEL", "LEVEL is of type int"),
        ("broken:any", "importing broken failed: ModuleNotFoundError.*not_installed_anywhere"),
    ],
)
def test_an_evaluator_that_cannot_run(mine: Path, name: str, message: str) -> None:
    """What only running the module shows is said when it is loaded."""
    with pytest.raises(EmbftError, match=message):
        EvaluatorSpec.of(name).fields.load(mine)


def test_an_installed_function_is_found_by_import() -> None:
    """Without a file beside the spec the module comes from Python's own path."""
    name = "embft.evaluation.collapse:collapse_metrics"
    entry = EvaluatorSpec.of({"function": name, "folder": "/"})
    assert find_files(entry).digest
    found: Any = entry.fields.load(None)
    assert found is collapse.collapse_metrics


def test_what_is_frozen_runs_without_the_users_folder(
    context: Context, mine: Path, tmp_path: Path
) -> None:
    """The module and the one that it imports are kept; an edit of either changes the digest."""
    entry = EvaluatorSpec.of({"function": "my_metrics:by_split", "folder": str(mine)})
    files = find_files(entry)
    assert set(files.sources) == {"my_metrics.py", "helper_of_mine.py"}
    files.freeze(SweepDir(tmp_path / "sweep"))
    frozen = SweepDir(tmp_path / "sweep").evaluator_folder(files.digest)
    (mine / "helper_of_mine.py").write_text("HALF = 0.75\n")
    assert find_files(entry).digest != files.digest
    sys.modules.pop("helper_of_mine", None)
    assert evaluate(context, [(entry, frozen)]).dev == {"half": 0.5}


def test_a_plan_says_which_code_it_runs(tmp_path: Path, tiny_spec: str, mine: Path) -> None:
    """Every file, since a spec may be somebody else's; code of an installed package by its name."""
    text = tiny_spec + "evaluators: [retrieval, 'my_metrics:flat', 'numpy:mean']\n"
    plan = make_plan(parse_spec(text, folder=mine), tmp_path)
    out = io.StringIO()
    print_code(Console(file=out, width=60), plan)
    assert out.getvalue().splitlines() == [
        f"Runs code: {mine}/my_metrics.py, {mine}/helper_of_mine.py (evaluator my_metrics:flat)",
        "Runs code: installed (evaluator numpy:mean)",
    ]


def test_a_name_stands_before_the_metrics(context: Context, mine: Path) -> None:
    """Two entries of one evaluator are distinguished by their names."""
    entry = EvaluatorSpec.of({"name": "mine", "function": "my_metrics:by_split"})
    found = evaluate(context, [(entry, mine), (EvaluatorSpec.of("collapse"), None)])
    assert found.test["mine_half"] == 0.25
    assert "effective_rank" in found.test


def _sweep(entry: str, objective: str) -> str:
    return (
        "name: a\ndata: {dataset: dating}\n"
        f"evaluators: [{entry}]\nobjective: {{metric: {objective}}}\n"
    )


def test_a_spec_may_name_a_functions_metrics() -> None:
    """Then a plan knows what the objective may be, and everyone which way is better."""
    named = "{function: 'm:f', name: own, metrics: {seconds: min, hits: max}}"
    (entry,) = parse_spec(_sweep(named, "own_seconds")).evaluators
    found = entry.metric("own_seconds")
    assert found is not None
    assert (found.label, found.higher_is_better) == ("seconds", False)
    assert entry.metric("seconds") is entry.metric("own_other") is None
    assert EvaluatorSpec.of(entry.model_dump(mode="json")) == entry
    with pytest.raises(SpecError, match=r"objective\.metric is 'own_second'.*'own_seconds'"):
        parse_spec(_sweep(named, "own_second"))
    parse_spec(_sweep("'m:f'", "whatever"))  # where nothing is named, only running it can tell


def test_naming_metrics_makes_no_other_trial() -> None:
    """It does not change what is computed."""
    bare, named = (
        EvaluatorSpec.of({"function": "m:f", "folder": "x", **more})
        for more in ({}, {"metrics": {"seconds": "min"}})
    )
    assert bare.content() == named.content() == {"function": "m:f"}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [("{seconds: less}", "min or max"), ("{a b: max}", "'a b'"), ("[seconds]", "no mapping")],
)
def test_a_direction_is_min_or_max(metrics: str, said: str) -> None:
    """What else is written is refused, with its place."""
    with pytest.raises(SpecError, match=said) as error:
        parse_spec(_sweep(f"{{function: 'm:f', metrics: {metrics}}}", "spearman"))
    assert "evaluators.0.metrics" in str(error.value)


def test_a_prefix_leaves_a_metric_what_it_is() -> None:
    """Labels and directions of an entry with a name are those of its evaluator."""
    entry = EvaluatorSpec.of({"name": "faq", "retrieval": {}})
    for recorded, label in (("faq_ndcg_at_50", "nDCG@50"), ("faq_mrr", "Mean reciprocal rank")):
        found = entry.metric(recorded)
        assert found is not None
        assert found.label == label
    assert entry.metric("mrr") is entry.metric("faq_spearman") is None


def test_an_editor_is_told_what_an_entry_may_be() -> None:
    """The JSON schema is of what stands in a spec, each evaluator's fields in it."""
    text, entry = EvaluatorSpec.model_json_schema()["anyOf"]
    assert "retrieval" in text["examples"]
    assert entry["properties"].keys() == EvaluatorSpec.written().keys()
    assert entry["properties"]["clustering"]["properties"]["draws"]["maximum"] == 1000
    assert entry["additionalProperties"] is False


# --- all together ---------------------------------------------------------------------------------


def test_built_in_metrics_are_defined(context: Context) -> None:
    """Every number of a built-in evaluator has a definition; too few pairs have a reason."""
    found = _run(context, ["clusters", "collapse", "retrieval"])
    assert (found.test.keys() | found.dev.keys()) <= METRICS.keys()
    assert found.undefined == {"cluster_purity": "fewer than 20 pairs (14)"}
    assert "ndcg_at_10" in found.dev


def test_one_model_is_evaluated_outside_a_sweep(tiny_model: Path, pair_files: Path) -> None:
    """A folder's model gives rows with intervals for both splits, and the evaluators' rows."""
    from embft.data.load import PairFile
    from embft.data.splits import build_splits
    from embft.execution.evaluate import evaluate_model

    train, dev, test_file = (pair_files / f"{split}.jsonl" for split in ("train", "dev", "test"))
    splits = build_splits(*map(PairFile, (train, dev, test_file)))
    entries = [EvaluatorSpec.of(name) for name in ("collapse", "retrieval")]
    found = evaluate_model(str(tiny_model), splits, entries)
    rows = {(row["split"], row["metric"]): row for row in found.rows}
    test = rows["test", "spearman"]
    assert test["low"] <= test["value"] <= test["high"]
    assert rows["dev", "f1"]["value"] > 0
    mrr = rows["dev", "mrr"]
    assert mrr["low"] <= mrr["value"] <= mrr["high"]
    assert "effective_rank" in {metric for split, metric in rows if split == "test"}
    assert found.threshold is not None


def test_an_adapters_folder_is_loaded_on_its_base(tiny_model: Path, tmp_path: Path) -> None:
    """`load_trained` of a saved adapter gives its embeddings, and says what is missing."""
    from embft.encoding.encoder import encode
    from embft.models.base import build
    from embft.models.save import Origin, save
    from embft.models.trained import load_trained
    from embft.spec import ModelSpec, TrainSpec

    spec = ModelSpec(base=str(tiny_model))
    model = build(tiny_model, spec, TrainSpec(method="lora"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.5)
    folder = tmp_path / "adapter"
    save(model, folder, Origin(spec.base))
    model.eval()
    texts = ["i love dogs", "you hate tea"]
    np.testing.assert_allclose(
        encode(load_trained(str(folder)), texts), encode(model, texts), atol=1e-6
    )
    assert np.abs(encode(load_trained(str(tiny_model)), texts) - encode(model, texts)).max() > 1e-3
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="which base model"):
        load_trained(str(folder))


def test_the_probe_is_well_made_and_minilm_passes_it(minilm: Path) -> None:
    """120 distinct pairs, a third of each label; plain MiniLM orders them well."""
    from sentence_transformers import SentenceTransformer

    from embft.evaluation.probe import probe_metrics, probe_pairs

    pairs = probe_pairs()
    assert {label: list(pairs.label).count(label) for label in (0.0, 0.5, 1.0)} == {
        0.0: 40,
        0.5: 40,
        1.0: 40,
    }
    assert len({*pairs.text_1, *pairs.text_2}) == 240
    found = _values(probe_metrics(SentenceTransformer(str(minilm), device="cpu")))
    assert 0.8 < cast(float, found["probe_spearman"]) < 0.943
