"""Sources of training data beside files of pairs: texts, inference, class labels; and noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embft.data.audit import audit
from embft.data.build import load_data
from embft.data.draw import Draw
from embft.data.nli import NliFile
from embft.data.pairs import Pairs
from embft.data.same_label import SameLabel, draw_triplets
from embft.data.word_noise import WordNoise, noisy
from embft.errors import DataError, SpecError
from embft.spec import DataSpec, parse_spec


def section(**fields: Any) -> DataSpec:
    return DataSpec.model_validate_json(json.dumps(fields))


def write_rows(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def labelled_texts(tmp_path: Path) -> str:
    """Six labels with twenty texts each."""
    return write_rows(
        tmp_path / "texts.jsonl",
        [{"text": f"{label} text {i}", "label": label} for label in "abcdef" for i in range(20)],
    )


@pytest.fixture
def dev_file(tmp_path: Path) -> str:
    rows = [{"text_1": f"x{i}", "text_2": f"y{i}", "label": i % 2} for i in range(8)]
    return write_rows(tmp_path / "dev.jsonl", rows)


def test_texts_are_their_own_positives(tmp_path: Path, dev_file: str) -> None:
    """Unsupervised SimCSE's data: each different text beside itself, dev from elsewhere."""
    rows: list[dict[str, object]] = [{"t": text} for text in ("one", "two", "one")]
    file = write_rows(tmp_path / "t.jsonl", rows)
    splits = load_data(section(text={"file": file, "column": "t"}, dev=dev_file))
    assert splits.train.text_1 == splits.train.text_2 == ["one", "two"]
    assert splits.train.shape == "positives"
    assert len(splits.dev) == 8


def test_inference_makes_triplets(tmp_path: Path) -> None:
    """Entailment and contradiction of one premise stand together; contradictions take turns."""
    said = [
        ("p", "e1", "entailment"),
        ("p", "c1", 2),
        ("p", "e2", 0),
        ("p", "n", "neutral"),
        ("p", "c2", "Contradiction"),
        ("p", "e3", "0"),
        ("p", "e1", "entailment"),
        ("q", "e", "entailment"),
        ("r", "c", "contradiction"),
        ("p", "u", "-"),
    ]
    rows: list[dict[str, object]] = [
        {"premise": p, "hypothesis": h, "label": label} for p, h, label in said
    ]
    file = Path(write_rows(tmp_path / "nli.jsonl", rows))
    found = NliFile(file).load()
    assert [*zip(*found.columns, strict=True)] == [
        ("p", "e1", "c1"),
        ("p", "e2", "c2"),
        ("p", "e3", "c1"),
    ]
    positives = NliFile(file, negatives=False).load()
    assert positives.shape == "positives"
    assert [*zip(*positives.columns, strict=True)][-1] == ("q", "e")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("p", "h", "entails"), "line 1, column 'label': 'entails'.*allowed: entailment, neutral"),
        (("p", "h", True), "True is no label"),
        (("p", "h", 3), "3 is no label"),
        (("p", "", 0), "line 1, column 'hypothesis': the text is empty"),
        (("p", "h", 0), "none of its 1 premises has both.*negatives: false"),
    ],
)
def test_inference_faults(tmp_path: Path, row: tuple[object, ...], words: str) -> None:
    """What is no inference is refused with its place and what is allowed."""
    named = dict(zip(("premise", "hypothesis", "label"), row, strict=True))
    file = write_rows(tmp_path / "nli.jsonl", [named])
    with pytest.raises(DataError, match=words):
        NliFile(Path(file)).load()


def test_inference_from_a_file_without_a_header(tmp_path: Path) -> None:
    """NLI files come as tabs without a header too; names and positions do not mix."""
    path = tmp_path / "nli.tsv"
    path.write_text("entailment\tp\te\ncontradiction\tp\tc\n")
    found = load_data(
        section(
            nli={"file": str(path), "premise": 1, "hypothesis": 2, "label": 0},
            dev=write_rows(tmp_path / "d.jsonl", [{"text_1": "a", "text_2": "b", "label": 1}]),
        )
    )
    assert found.train.negatives == (["c"],)
    with pytest.raises(DataError, match="all positions"):
        NliFile(path, premise=1).load()


def test_same_label_pairs_hold_labels_out(labelled_texts: str) -> None:
    """Train pairs have one label, of the chosen half; test has texts of the other half alone; dev
    has texts of the chosen half that train never sees.
    """
    spec = section(same_label={"file": labelled_texts, "labels": 0.5, "pairs": 60})
    splits = load_data(spec)
    train = {text for column in splits.train.columns for text in column}
    trained = {text[0] for text in train}
    assert len(splits.train) == 60
    assert len(trained) == 3
    assert all(a[0] == b[0] for a, b in zip(*splits.train.columns, strict=True))
    dev, test = ({*pairs.text_1, *pairs.text_2} for pairs in (splits.dev, splits.test))
    assert not dev & train
    assert {text[0] for text in dev} == trained
    assert {text[0] for text in test} == set("abcdef") - trained
    for pairs in (splits.dev, splits.test):
        same = [a[0] == b[0] for a, b in zip(pairs.text_1, pairs.text_2, strict=True)]
        assert same == (pairs.label == 1).tolist()
    assert load_data(spec).digest() == splits.digest()
    assert load_data(spec.model_copy(update={"seed": 1})).digest() != splits.digest()


def test_same_label_by_name_and_shape(labelled_texts: str, dev_file: str) -> None:
    """Labels are chosen by name; as triplets a negative has another label; a dev file stands in."""
    source = {"file": labelled_texts, "labels": ["b", "d"]}
    splits = load_data(section(same_label=source, shape="triplets", dev=dev_file))
    (negatives,) = splits.train.negatives
    assert all(
        {a[0], n[0]} == {"b", "d"} for a, n in zip(splits.train.text_1, negatives, strict=True)
    )
    assert (len(splits.dev), splits.dev_is_cut) == (8, False)
    everything = load_data(section(same_label={"file": labelled_texts}))
    known = [{*p.text_1, *p.text_2} for p in (everything.train, everything.dev, everything.test)]
    assert not (known[0] & known[1]) | (known[0] & known[2]) | (known[1] & known[2])
    names = {finding.name for finding in audit(everything).findings}
    assert not {name for name in names if "leak" in name or "shared" in name}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"labels": ["a", "x"]}, "no text has the label 'x'"),
        ({"labels": ["a"]}, "1 labels to train on"),
        ({"labels": list("abcde")}, "1 held out"),
        ({"pairs": 10_000}, "10000 pairs are wanted"),
        ({"label": "lable"}, "no column 'lable'"),
    ],
)
def test_same_label_faults(labelled_texts: str, source: dict[str, object], words: str) -> None:
    """Unknown labels, too few of them and too many pairs are refused."""
    with pytest.raises(DataError, match=words):
        load_data(section(same_label={"file": labelled_texts, **source}))


def test_texts_of_two_labels_are_left_out(tmp_path: Path) -> None:
    """A text that stands under two labels would be its own negative."""
    rows: list[dict[str, object]] = [
        {"text": f"{label} {i}", "label": label} for label in "ab" for i in range(9)
    ]
    both: list[dict[str, object]] = [
        {"text": "Both!", "label": "a"},
        {"text": "both", "label": "b"},
    ]
    file = write_rows(tmp_path / "t.jsonl", rows + both)
    splits = SameLabel(Path(file)).split(0.3, 0)
    assert not [t for p in (splits.train, splits.dev) for t in p.text_1 if "oth" in t]


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 9))
def test_drawn_pairs_are_distinct(one: int, other: int, seed: int) -> None:
    """All pairs that there are can be drawn, none twice."""
    texts = {"a": [f"a{i}" for i in range(one)], "b": [f"b{i}" for i in range(other)]}
    most = one * (one - 1) // 2 + other * (other - 1) // 2
    found = draw_triplets(texts, most, Draw(seed), "t")
    assert len({frozenset(pair) for pair in zip(found.text_1, found.text_2, strict=True)}) == most


def test_texts_are_used_evenly() -> None:
    """No text is used again before every other text of its label was used."""
    texts = {label: [f"{label}{i}" for i in range(10)] for label in "ab"}
    found = draw_triplets(texts, 10, Draw(3), "t")
    assert len({*found.text_1, *found.text_2}) == 20


@given(st.text(max_size=60), st.integers(0, 99))
def test_noise_keeps_a_text(text: str, seed: int) -> None:
    """Noise leaves a text with a word in it, of the same letters or fewer, and is repeatable."""
    noise = WordNoise(0.5, 2, 0.3)
    found = noise.of(text, Draw(seed))
    assert found == noise.of(text, Draw(seed))
    assert bool(found.strip()) == bool(text.strip())
    assert not set(found.split() and "".join(found.split())) - set(text)


def test_noise_rates() -> None:
    """Words are deleted, and characters swapped, about as often as asked for."""
    text = " ".join(f"w{i}" for i in range(20_000))
    kept = WordNoise(0.1, 0, 0).of(text, Draw(0)).split()
    assert 0.89 < len(kept) / 20_000 < 0.91
    assert kept == sorted(kept, key=lambda word: int(word[1:]))
    letters = "abcdefghij" * 2000
    swapped = WordNoise(0, 0, 0.05).of(letters, Draw(0))
    moved = sum(one != other for one, other in zip(letters, swapped, strict=True))
    assert 0.08 < moved / 20_000 < 0.11
    assert WordNoise(0, 0, 0).of("as it  is", Draw(0)) == "as it is"


def test_noise_is_off_by_default_and_on_both_sides(labelled_texts: str) -> None:
    """`data.noise` changes both texts of train rows alone, always in the same way."""
    plain = load_data(section(same_label={"file": labelled_texts}))
    spec = section(same_label={"file": labelled_texts}, noise={"swap_characters": 0.5})
    loud = load_data(spec)
    assert plain.dev.digest() == loud.dev.digest()
    assert load_data(spec).digest() == loud.digest()
    for before, after in zip(plain.train.columns, loud.train.columns, strict=True):
        assert sum(a != b for a, b in zip(before, after, strict=True)) > len(before) / 2
    three = noisy(
        Pairs.unlabelled(["a b"] * 9, ["c d"] * 9, [["e f"] * 9]), WordNoise(0, 1, 0.9), 0
    )
    assert three.shape == "triplets"
    assert set(map("".join, map(str.split, three.negatives[0]))) <= {"ef", "fe"}


@pytest.mark.parametrize(
    ("section_text", "words"),
    [
        (
            "{same_label: {file: a, labels: 2.0}}",
            "data.same_label.labels is 2.0.*less than or equal",
        ),
        ("{text: {file: a}}", "give labelled pairs as `dev`"),
        ("{train: a, nli: {file: b}}", "here is train and nli"),
        ("{}", "here is none"),
        ("{nli: {file: a, negative: true}}", "did you mean 'negatives'"),
        ("{train: a, noise: {delete_words: 2}}", "data.noise.delete_words is 2"),
    ],
)
def test_sections_that_cannot_be(section_text: str, words: str) -> None:
    """Two sources, none, or a value out of bounds: refused with what is allowed."""
    with pytest.raises(SpecError, match=words):
        parse_spec(f"name: a\ndata: {section_text}\n")


def test_a_source_is_an_axis() -> None:
    """Points of one sweep may take their data from different sources."""
    text = """\
name: a
data: {dev: d.jsonl}
space:
  - data.train: [x.jsonl]
  - data.nli.file: [z.jsonl]
    data.noise.delete_words: [0.1, 0.2]
"""
    found = [trial.data for _, trial in parse_spec(text, folder=Path("f")).trials()]
    assert [data.train for data in found] == ["f/x.jsonl", None, None]
    assert [data.nli.file for data in found[1:] if data.nli] == ["f/z.jsonl"] * 2
