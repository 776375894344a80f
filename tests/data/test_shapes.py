"""Labelled pairs, positives and triplets: reading, freezing, and from one shape to another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embft.data.audit import audit, drop_leaked
from embft.data.build import load_data
from embft.data.column import PART
from embft.data.load import Columns, PairFile, load_pairs
from embft.data.pairs import SPLITS, Pairs, Splits, write_jsonl
from embft.data.shapes import as_labelled, to_shape
from embft.data.splits import build_splits
from embft.data.texts import normalise
from embft.errors import DataError, SpecError
from embft.planning.freeze import freeze_data
from embft.results.dataset import open_splits, write_manifest
from embft.results.folders import SweepDir
from embft.spec import DataSpec, ModelSpec, parse_spec
from embft.spec.shape import Shape

DIGEST = "89b67ce2caa48b4133108b05f91806112a46323f649ac02a34c4dd03595276ba"
DATING_DIGEST = "cad36f942202bc73d6eba101ed20d47b65f5d65964b5e41382eacde82ba5e8ed"
TRIPLETS = Columns(label=None, negatives=["text_3"])
POSITIVES = Columns(label=None)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def triplet_rows(count: int, mark: str = "") -> list[dict[str, object]]:
    return [
        {
            "text_1": f"{mark} anchor {i}",
            "text_2": f"{mark} yes {i}",
            "text_3": f"{mark} no {i}",
            "kind": f"k{i % 3}",
        }
        for i in range(count)
    ]


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    return write(tmp_path / "triplets.jsonl", triplet_rows(30))


def test_shapes_are_read(triplets: Path) -> None:
    """Without a label rows are positives, with text_3 triplets; the labels in memory are ones."""
    three = load_pairs(triplets, TRIPLETS, ["kind"])
    assert three.shape == "triplets"
    assert three.negatives[0][7] == " no 7"
    assert three.label.tolist() == [1.0] * 30
    two = load_pairs(triplets, POSITIVES)
    assert (two.shape, two.negatives) == ("positives", ())
    assert two.digest() != three.digest()


def test_positions_without_a_label(tmp_path: Path) -> None:
    """A file without a header gives triplets by three positions."""
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\tc\nd\te\tf\n")
    pairs = load_pairs(path, Columns(2, 0, None, [1]))
    assert [*zip(*pairs.columns, strict=True)] == [("c", "a", "b"), ("f", "d", "e")]


def test_a_forgotten_label_is_an_error(triplets: Path) -> None:
    """A file without the label's column is refused, and the message says how to do without."""
    with pytest.raises(DataError, match=r"label: null.*negatives"):
        load_pairs(triplets, Columns())


def test_what_is_written_is_read(triplets: Path, tmp_path: Path) -> None:
    """Frozen as parquet or written as jsonl, a triplet, a positive and a labelled pair stay so."""
    three = load_pairs(triplets, TRIPLETS, ["kind"])
    for pairs, columns in (
        (three, TRIPLETS),
        (to_shape(three, Shape.POSITIVES), POSITIVES),
        (to_shape(three, Shape.LABELLED), Columns()),
    ):
        pairs.write(tmp_path / "a.parquet")
        assert Pairs.read(tmp_path / "a.parquet").digest() == pairs.digest()
        write_jsonl(pairs, tmp_path / "a.jsonl")
        assert load_pairs(tmp_path / "a.jsonl", columns, ["kind"]).digest() == pairs.digest()


def test_labelled_digests_stay() -> None:
    """The digest of labelled pairs, which trial keys hang on, is what it was before shapes."""
    pairs = Pairs(["a", "c"], ["b", "d"], np.array([1.0, 0.5]), {"g": ["x", "y"]})
    assert pairs.digest() == DIGEST


def test_triplets_as_labelled() -> None:
    """(anchor, positive) is 1 and (anchor, negative) is 0, each once, with the anchor's group."""
    pairs = Pairs.unlabelled(["a", "a"], ["p", "p"], [["n", "m"]], {"g": ["x", "x"]})
    found = as_labelled(pairs)
    rows = list(zip(found.text_1, found.text_2, found.label.tolist(), strict=True))
    assert rows == [("a", "p", 1), ("a", "n", 0), ("a", "m", 0)]
    assert found.groups == {"g": ["x"] * 3}
    assert found.shape == "labelled"


@given(st.lists(st.tuples(st.sampled_from("abcAB"), st.sampled_from("abcdeDE")), max_size=12))
def test_positives_as_labelled(rows: list[tuple[str, str]]) -> None:
    """A text labelled 0 never belongs to its anchor in any row, nor is it the anchor itself."""
    if not rows:
        return
    pairs = Pairs.unlabelled([a for a, _ in rows], [b for _, b in rows])
    found = as_labelled(pairs)
    true = {(normalise(a), normalise(b)) for a, b in rows}
    for one, other, label in zip(found.text_1, found.text_2, found.label.tolist(), strict=True):
        assert ((normalise(one), normalise(other)) in true) == bool(label)
        assert label or normalise(one) != normalise(other)
    assert len(
        {(one, other) for one, other in zip(found.text_1, found.text_2, strict=True)}
    ) == len(found)
    assert as_labelled(pairs).digest() == found.digest()


def test_labelled_as_triplets() -> None:
    """The hard negative is what is labelled 0 with the same anchor, else another row's text."""
    pairs = Pairs(["a", "a", "b", "c"], ["p", "n", "q", "r"], np.array([1.0, 0, 1, 1]))
    found = to_shape(pairs, Shape.TRIPLETS)
    assert next(zip(found.text_1, found.text_2, found.negatives[0], strict=True)) == ("a", "p", "n")
    assert set(found.negatives[0][1:]) <= {"p", "q", "r"}
    assert to_shape(pairs, Shape.POSITIVES).text_2 == ["p", "q", "r"]


def test_graded_labels_say_not_what_belongs_together() -> None:
    """No positives are made of graded labels: where to cut is the user's decision."""
    pairs = Pairs(["a", "b"], ["c", "d"], np.array([0.2, 0.9]))
    with pytest.raises(DataError, match="graded"):
        to_shape(pairs, Shape.POSITIVES)
    with pytest.raises(DataError, match="no pair has label 1"):
        to_shape(Pairs(["a"], ["b"], np.zeros(1)), Shape.TRIPLETS)


def test_splits_of_other_shapes(triplets: Path, tmp_path: Path) -> None:
    """Train may be triplets while dev is graded pairs; an unlabelled dev becomes labelled pairs."""
    graded = write(
        tmp_path / "sts.jsonl",
        [{"a": f"x{i}", "b": f"y{i}", "score": i % 6, "kind": "k"} for i in range(12)],
    )
    spec = DataSpec.model_validate_json(
        json.dumps(
            {
                "train": str(triplets),
                "columns": {"text_3": "text_3"},
                "dev": {
                    "file": str(graded),
                    "columns": {"text_1": "a", "text_2": "b", "label": "score"},
                    "label_range": [0, 5],
                    "groups": ["kind"],
                },
                "test": str(write(tmp_path / "test.jsonl", triplet_rows(5, "test"))),
            }
        )
    )
    again = DataSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    splits = load_data(spec)
    assert (splits.train.shape, len(splits.train)) == ("triplets", 30)
    assert splits.dev.label.tolist() == [i % 6 / 5 for i in range(12)]
    assert splits.test.label.tolist() == [1, 0] * 5


def test_dev_cut_from_triplets(triplets: Path) -> None:
    """Dev cut from triplets shares none of their three texts with train, and has both labels."""
    splits = build_splits(PairFile(triplets, TRIPLETS))
    known = {text for column in splits.train.columns for text in column}
    assert not known & {*splits.dev.text_1, *splits.dev.text_2}
    assert set(splits.dev.label) == {0.0, 1.0}
    assert len(splits.train) + len(splits.dev) / 2 == 30


def test_train_in_another_shape(triplets: Path) -> None:
    """`data.shape` turns train alone; dev and test stay what they are."""
    plain = load_data(DataSpec(dataset="dating"))
    spec = DataSpec(dataset="dating", shape=Shape.POSITIVES)
    turned = load_data(spec)
    assert turned.train.shape == "positives"
    assert len(turned.train) == int(plain.train.label.sum())
    assert turned.dev.digest() == plain.dev.digest()
    assert plain.digest() == DATING_DIGEST
    asked = DataSpec.model_validate(
        {"train": str(triplets), "columns": {"text_3": "text_3"}, "shape": "labelled"}
    )
    assert load_data(asked).train.shape == "labelled"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{train: a, columns: {text_3: c, label: d}}", "triplets .* have no label"),
        ("{train: a, columns: {label: null}, label_range: [0, 5]}", "columns name none"),
        ("{train: a, columns: {label: null}, dev: {file: b, label_range: [0, 5]}}", "name none"),
        ("{train: a, dev: {file: b, column: {}}}", "data.dev.column.*did you mean 'columns'"),
        ("{train: a, dev: {columns: {}}}", "data.dev.file"),
        ("{train: a, shape: triplet}", "did you mean 'triplets'"),
        ("{dataset: dating, columns: {label: null}}", "remove columns"),
    ],
)
def test_what_contradicts_itself_is_refused(section: str, words: str) -> None:
    """Labels beside negatives, ranges without labels and misspelt fields: each with its reason."""
    with pytest.raises(SpecError, match=words):
        parse_spec(f"name: a\ndata: {section}\n")


def test_shapes_and_splits_are_axes() -> None:
    """`data.shape`, a dev's file and a dev's label range may vary."""
    text = "name: a\ndata: {train: t, dev: d}\nspace: {data.dev: [x, y], data.shape: [labelled]}\n"
    found = [trial.data.dev for _, trial in parse_spec(text).trials()]
    assert found == ["x", "y"]


def test_audit_of_triplets(triplets: Path, tmp_path: Path) -> None:
    """Without labels there is no contradiction, imbalance or shift to find; leaks are still found,
    and a dev text that train has as a hard negative is named.
    """
    leaked = write(
        tmp_path / "dev.jsonl",
        [
            {"text_1": " anchor 1", "text_2": " yes 1", "label": 0},
            {"text_1": "new", "text_2": " no 2", "label": 1},
            {"text_1": "newer", "text_2": "newest", "label": 0},
        ],
    )
    splits = build_splits(PairFile(triplets, TRIPLETS), PairFile(leaked))
    found = audit(splits)
    names = {finding.name for finding in found.findings}
    wrong = {"contradictory_labels", "single_label_train", "label_shift_dev", "quality_bias"}
    assert not names & wrong
    assert "leak_dev_from_train" in names
    shared = found.find("shared_texts_dev_with_train")
    assert shared is not None
    assert shared.count == 2
    assert found.find("false_negatives") is None
    kept = drop_leaked(splits, found).train
    assert (len(kept), kept.shape) == (29, "triplets")


def test_audit_of_repeated_positives() -> None:
    """Anchors with several positives are false negatives of in-batch losses, labels or not."""
    train = Pairs.unlabelled(["a"] * 20, [f"b{i}" for i in range(20)])
    dev = Pairs(["x", "y"], ["z", "w"], np.array([0.0, 1.0]))
    found = audit(Splits(train, dev, dev)).find("false_negatives")
    assert found is not None
    assert found.count == 20


@pytest.mark.parametrize("shape", ["labelled", "positives", "triplets"])
def test_opened_pairs_are_those_that_are_read(tmp_path: Path, shape: str) -> None:
    """Texts, negatives, labels and groups are the same, one by one, sliced, and all together."""
    texts = [f"text {i}" for i in range(9000)]
    groups = {"side": [str(i % 3) for i in range(9000)]}
    third = [[text[::-1] for text in texts]] if shape == "triplets" else []
    pairs = Pairs.unlabelled(texts, texts[::-1], third, groups)
    if shape == "labelled":
        pairs = Pairs(texts, texts[::-1], np.arange(9000) / 9000, groups)
    pairs.write(tmp_path / "a.parquet")
    found, read = Pairs.opened(tmp_path / "a.parquet"), Pairs.read(tmp_path / "a.parquet")
    assert (len(found), found.shape) == (9000, shape)
    assert found.digest() == read.digest() == pairs.digest()
    assert (found.text_1[4097], found.text_1[-1]) == ("text 4097", "text 8999")
    assert found.text_2[8998:] == texts[::-1][8998:]
    assert np.array_equal(found.label, pairs.label)
    assert {name: list(values) for name, values in found.groups.items()} == groups
    assert found.take([5, 4]).columns == pairs.take([5, 4]).columns


def test_opened_texts_stay_in_their_file(tmp_path: Path) -> None:
    """However a column is looked at, a part of it is held in memory, and no more."""
    texts = [f"{i}: {'long ' * 20}" for i in range(3 * PART)]
    Pairs.unlabelled(texts, texts).write(tmp_path / "a.parquet")
    found = Pairs.opened(tmp_path / "a.parquet").text_1
    before = pa.total_allocated_bytes()
    rows = [3 * PART - 1, 5, PART, 5]
    assert found.take(rows) == [texts[row] for row in rows]  # type: ignore[attr-defined]
    assert [found[0], found[-1], found[PART]] == [texts[0], texts[-1], texts[PART]]
    assert found[PART - 1 : PART + 1] == texts[PART - 1 : PART + 1]
    assert sum(map(len, found)) == sum(map(len, texts))
    assert pa.total_allocated_bytes() - before < 1.5 * sum(map(len, texts)) / 3
    with pytest.raises(IndexError):
        found[3 * PART]


def test_frozen_splits_are_opened_with_their_digest(tmp_path: Path, tiny_model: Path) -> None:
    """As they were given; also where they were frozen before their digests were written."""
    one, other = (Pairs(["a", "c"], [x, "d"], np.array([1.0, 0.0])) for x in "bx")
    for test in (other, one):
        splits, sweep = Splits(one, one, test), SweepDir(tmp_path / str(test is one))
        folder = sweep.dataset(sweep.data_name(splits.digest()))
        freeze_data(sweep, splits.digest(), splits, ModelSpec(base=str(tiny_model)))
        found, digest = open_splits(folder)
        assert digest == splits.digest()
        assert [found[name].digest() for name in SPLITS] == [
            splits[name].digest() for name in SPLITS
        ]
        assert (found.dev is found.test) == (test is one)
        (folder / "digests.json").unlink()
        (folder / "manifest.json").unlink()
        write_manifest(folder)
        assert open_splits(folder)[1] == digest
        freeze_data(sweep, splits.digest(), splits, ModelSpec(base=str(tiny_model)))
        assert (folder / "digests.json").exists()
