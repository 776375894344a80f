"""A value for each query, text, pair, draw or task: kept with the trial, and worth the metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from embft.data.labelled import Labelled
from embft.data.pairs import Pairs, Splits
from embft.errors import RecordError
from embft.evaluation.classification import Classification
from embft.evaluation.clustering import Clustering
from embft.evaluation.clusters import cluster_metrics
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.embed import Embedded
from embft.evaluation.pair_retrieval import pair_retrieval
from embft.evaluation.probe import Probe
from embft.evaluation.run import Evaluated, evaluate
from embft.evaluation.sts import Sts
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.unit_values import read_units
from embft.metrics.bootstrap import weighted_interval
from embft.planning.plan import make_plan
from embft.results.units import UnitValues, load_units, write_units
from embft.spec import EvaluatorSpec, parse_spec
from tests.helpers.trials import run_whole

WORDS = ("dogs", "cats", "tea", "films")


def _pairs(n: int, seed: int = 0) -> Pairs:
    draw = np.random.default_rng(seed)
    first = [f"q {i // 2}" for i in range(n)]
    return Pairs(first, [f"d {i}" for i in range(n)], draw.integers(0, 2, n).astype(np.float64))


def _embedded(n: int, seed: int = 0) -> Embedded:
    first, second = np.random.default_rng(seed).normal(size=(2, n, 4)).astype(np.float32)
    return Embedded(first, second)


def _context(model: Any = None) -> Context:
    dev, test = _pairs(30), _pairs(60, seed=1)
    embedded = {"dev": _embedded(30), "test": _embedded(60, seed=1)}
    return Context(model, Splits(dev, dev, test), embedded, 0.5, 0)


def _units(found: Found) -> dict[str, UnitValues]:
    kept = {name: value for name, value in found.items() if isinstance(value, Estimate)}
    return {name: value.by_unit for name, value in kept.items() if value.by_unit is not None}


def _give_their_metrics(found: Found) -> None:
    for name, units in _units(found).items():
        value = cast(Estimate, found[name]).value
        assert units.estimate() == pytest.approx(value, abs=1e-12), name


def test_retrieval_has_its_queries() -> None:
    """Each query's text, its value, and the texts that it shares with others."""
    found = pair_retrieval(_embedded(60, 1), _pairs(60, 1))
    units = _units(found)
    assert units.keys() == {"mrr", "recall_at_1", "recall_at_10", "ndcg_at_10"}
    assert all(each.unit == "query" and each.ids[0].startswith("q ") for each in units.values())
    assert len(set(units["mrr"].ids)) == len(units["mrr"])
    assert units["mrr"].ends is not None
    _give_their_metrics(found)


def test_clusters_have_their_pairs_and_noise_counts_for_nothing() -> None:
    """The share of pairs with their cluster's majority label, over clustered pairs alone."""
    draw = np.random.default_rng(0)
    label = (np.arange(80) % 2).astype(np.float64)
    points = (8 * label[:, None] + draw.normal(size=(80, 5))).astype(np.float32)
    texts = [f"t{i}" for i in range(80)]
    found = cluster_metrics(
        Embedded(points, points + 0.01), Pairs(texts, texts, label), seeds=(42,)
    )
    units = _units(found)["cluster_purity"]
    assert (units.unit, len(units)) == ("pair", 80)
    assert units.weights is not None
    assert 1 - units.weights.mean() == pytest.approx(cast(float, found["noise"]))
    _give_their_metrics(found)


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Frozen files of labelled texts and of graded pairs."""
    texts = [
        f"i {verb} {word} {n}" for n in range(4) for verb in ("love", "hate") for word in WORDS
    ]
    Labelled(texts, [text.split()[2] for text in texts]).write(tmp_path / "data.parquet")
    return tmp_path


def test_labelled_texts_have_their_texts_and_draws(tiny_model: Path, own_data: Path) -> None:
    """Accuracy by text, weighted by how often each was scored; F1 and v-measure by draw."""
    from sentence_transformers import SentenceTransformer

    context = _context(SentenceTransformer(str(tiny_model), device="cpu"))
    classification = Classification(data="x", draws=3, samples_per_label=2)
    accuracy = classification.run(context, own_data)["test"]
    measure = Clustering(data="x", draws=3, draw_size=20).run(context, own_data)["test"]
    units = {**_units(accuracy), **_units(measure)}
    assert {name: each.unit for name, each in units.items()} == {
        "classification_accuracy": "text",
        "classification_f1": "draw",
        "v_measure": "draw",
    }
    assert len(units["v_measure"]) == 3
    assert units["classification_accuracy"].ids[0].startswith("i ")
    _give_their_metrics(accuracy)
    _give_their_metrics(measure)


def test_correlations_keep_cosines_and_labels(tiny_model: Path, tmp_path: Path) -> None:
    """Of STS and the probe: the metric of pairs that they name gives their value."""
    from sentence_transformers import SentenceTransformer

    context = _context(SentenceTransformer(str(tiny_model), device="cpu"))
    first = [f"i love {a} and {b}" for a in WORDS for b in WORDS]
    label = np.linspace(0, 1, len(first))
    Pairs(first, list(reversed(first)), label).write(tmp_path / "data.parquet")
    found = Sts(data="x").run(context, tmp_path)["test"]
    assert _units(found)["sts_pearson"].statistic == "pearson"
    _give_their_metrics(found)
    _give_their_metrics(Probe().run(context, None)["test"])


# --- users' functions -----------------------------------------------------------------------------

_MINE = """\
import numpy as np
from embft.planning.plan import make_plan
from embft.results.units import UnitValues

def by_pair(context):
    values = np.arange(len(context.splits.test), dtype=float)
    return {"place": values, "listed": [1.0, 3.0], "one": [2.0]}

def by_query(context):
    values = np.array([1.0, 0.0, 1.0, 1.0])
    ends = np.array([[0, 4], [0, 5], [2, 6], [3, 7]])
    found = UnitValues("query", ("a", "b", "c", "d"), values, ends=ends)
    return {"dev": {"found": found}, "test": {"found": found}}

def wrong(context):
    return {"gap": [1.0, float("nan")], "none": [], "words": ["a", "b"], "square": np.eye(2)}

def torn(context):
    return {"x": UnitValues("query", ("a",), np.zeros(2))}
"""


def _run(folder: Path, function: str, name: str | None = None) -> Evaluated:
    (folder / "units_of_mine.py").write_text(_MINE)
    entry = EvaluatorSpec.of({"name": name, "function": f"units_of_mine:{function}"})
    return evaluate(_context(), [(entry, folder)])


def test_a_users_function_may_give_a_value_for_each_unit(tmp_path: Path) -> None:
    """The metric is their mean, with an interval, under its recorded name."""
    found = _run(tmp_path, "by_pair", name="my")
    assert found.test == {"my_place": 29.5, "my_listed": 2.0, "my_one": 2.0}
    units = found.by_unit["test"]["my_place"]
    assert found.test_intervals["my_place"] == weighted_interval(units.resampled, units.drawn)
    assert "my_one" not in found.test_intervals
    assert (units.unit, units.ids[-1]) == ("unit", "59")


def test_a_users_function_may_say_what_its_units_share(tmp_path: Path) -> None:
    """Queries that share a document are drawn together."""
    units = _run(tmp_path, "by_query").by_unit["dev"]["found"]
    assert units.drawn.scheme == "texts"
    assert units.estimate() == 0.75


def test_values_that_cannot_be_taken_have_reasons(tmp_path: Path) -> None:
    """NaN, none at all, texts, and tables; and columns of different lengths."""
    assert _run(tmp_path, "wrong").undefined == {
        "gap": "1 of the 2 values that the evaluator gave are not finite numbers",
        "none": "the evaluator gave no values",
        "words": "the evaluator gave list, not a number",
        "square": "the evaluator gave ndarray, not a number",
    }
    assert "1 ids for 2 values" in _run(tmp_path, "torn").undefined["units_of_mine:torn"]


# --- on disk --------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Every column, whole or absent, of several metrics and splits, in the order given."""
    draw = np.random.default_rng(0)
    full = UnitValues(
        "query",
        tuple("zyx"),
        draw.normal(size=3),
        weights=draw.random(3),
        statistic="spearman",
        labels=draw.random(3),
        ends=np.array([[0, 1], [0, 2], [3, 4]]),
    )
    bare = UnitValues("draw", ("0", "1"), draw.normal(size=2))
    write_units(tmp_path / "u", {"dev": {"a": full}, "test": {"a": bare, "b": full}})
    found = load_units(tmp_path / "u")
    assert {split: list(metrics) for split, metrics in found.items()} == {
        "dev": ["a"],
        "test": ["a", "b"],
    }
    for before, after in ((full, found["dev"]["a"]), (bare, found["test"]["a"])):
        assert before.matches(after)
        for name in ("values", "weights", "labels", "ends"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert not bare.matches(full)
    other = UnitValues("draw", ("0", "2"), bare.values)
    assert not bare.matches(other)


def test_trials_can_be_compared_by_unit(tmp_path: Path, tiny_spec: str) -> None:
    """Every trial of a sweep has them, on the same units, and they give what the record says."""
    text = tiny_spec.replace("rank: [2, 4]", "rank: [2]").replace("[1e-3, 1e-2]", "[1e-3]")
    text += "evaluators: [retrieval, {function: probe, name: english}]\n"
    plan = make_plan(parse_spec(text), tmp_path)
    run_whole(plan)
    leaderboard = build_leaderboard(plan.folder.path)
    assert len(leaderboard.rows) == 3
    names = [("dev", "mrr"), ("test", "ndcg_at_10"), ("test", "english_probe_spearman")]
    for split, metric in names:
        units = [read_units(row, split, metric) for row in leaderboard.rows]
        first = units[0]
        for row, found in zip(leaderboard.rows, units, strict=True):
            assert first is not None
            assert found is not None
            assert first.matches(found)
            assert found.estimate() == pytest.approx(getattr(row, split)[metric], abs=1e-12)
    assert read_units(leaderboard.rows[0], "test", "spearman") is None
    path = leaderboard.rows[0].folder.units_file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordError, match=r"units\.parquet"):
        read_units(leaderboard.rows[0], "dev", "mrr")
