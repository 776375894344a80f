"""What the columns of files are taken for, by what stands in them and by their names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from embft.data.recognise import Recognised, recognise, scale_of, split_names
from embft.data.table import column_names, read_table
from embft.errors import DataError

ONE = [f"how do i reset my password in the app number {i}" for i in range(40)]
TWO = [f"open the settings and choose a new word, case {i}" for i in range(40)]
THREE = [f"our shop is open from nine to five on day {i}" for i in range(40)]
SCORES = [round(i % 9 * 0.55, 2) for i in range(40)]
TOPICS = ["billing", "account", "opening hours", "shipping"] * 10


def of(folder: Path, name: str, columns: dict[str, Sequence[object]]) -> Recognised:
    """What a file of these columns is taken for, in the format of its name."""
    path, frame = folder / name, pd.DataFrame(columns)
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    elif name.endswith(".tsv"):
        frame.to_csv(path, index=False, sep="\t", header="bare" not in name)
    elif name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith(".feather"):
        frame.to_feather(path)
    elif "columns" in name:
        frame.to_json(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    return recognise({"train": read_table(str(path))})


FORMS = ["a.csv", "a.tsv", "a.parquet", "a.feather", "a.jsonl", "columns.json"]


@pytest.mark.parametrize("name", FORMS)
def test_graded_pairs_in_every_format(name: str, tmp_path: Path) -> None:
    """Names that say nothing: the texts are the texts, the label is what looks like a score."""
    found = of(
        tmp_path, name, {"nr": list(range(40)), "c1": ONE, "c2": TWO, "v": SCORES, "t": TOPICS}
    )
    assert (found.kind, found.text_1, found.text_2, found.label) == ("labelled", "c1", "c2", "v")
    assert found.label_range == (0, 5)
    assert found.groups == ("t",)


def test_a_file_without_a_header_has_positions(tmp_path: Path) -> None:
    found = of(tmp_path, "bare.tsv", {"v": SCORES, "c1": ONE, "c2": TWO})
    assert (found.text_1, found.text_2, found.label) == (1, 2, 0)


PAIRS: dict[str, Sequence[object]] = {"q": ONE, "d": TWO}
INFERENCE = ["entailment", "contradiction"] * 20
# Columns -> what a row is, its columns of texts, and its label.
ROWS: list[tuple[dict[str, Sequence[object]], str, str, str | None]] = [
    ({"question": ONE, "answer": TWO}, "positives", "question answer", None),
    ({"answer": TWO, "question": ONE}, "positives", "question answer", None),
    ({"anchor": ONE, "positive": TWO, "neg": THREE}, "triplets", "anchor positive neg", None),
    (
        {"query": ONE, "positive": TWO, "negative_1": THREE, "negative_2": ONE, "id": THREE},
        "triplets",
        "query positive negative_1 negative_2",
        None,
    ),
    ({"id": list(range(40)), "TextA": ONE, "text_b": TWO}, "positives", "TextA text_b", None),
    ({**PAIRS, "is_duplicate": [0, 1] * 20}, "labelled", "q d", "is_duplicate"),
    ({**PAIRS, "ok": [True, False] * 20}, "labelled", "q d", "ok"),
    ({**PAIRS, "year": [2019, 2020] * 20, "points": SCORES}, "labelled", "q d", "points"),
    ({"premise": ONE, "other": TWO, "gold": INFERENCE}, "nli", "premise other", "gold"),
    ({"title": ONE, "intent": TOPICS}, "same_label", "title", "intent"),
    ({"words": ONE, "class": [1, 2, 3, 4] * 10}, "same_label", "words", "class"),
    ({"words": ONE}, "text", "words", None),
]


@pytest.mark.parametrize(("columns", "kind", "texts", "label"), ROWS)
def test_what_a_row_is(
    columns: dict[str, Sequence[object]],
    kind: str,
    texts: str,
    label: str | None,
    tmp_path: Path,
) -> None:
    found = of(tmp_path, "a.csv", columns)
    assert (found.kind, found.texts, found.label) == (kind, tuple(texts.split()), label)


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [
        (0.2, 4.8, (0, 5)), (1, 5, (1, 5)), (0, 1, (0, 1)), (0.1, 0.9, (0, 1)), (2, 4, (1, 4)),
        (-0.7, 0.9, (-1, 1)), (3, 97, (0, 100)), (-3.5, 812.2, (-4, 813)),
    ],
)  # fmt: skip
def test_scales(low: float, high: float, scale: tuple[float, float]) -> None:
    assert scale_of(low, high) == scale


def test_the_scale_is_that_of_all_files(tmp_path: Path) -> None:
    """A test file may have labels that train has not."""
    for name, most in (("train", 4), ("test", 7)):
        labels = [i % (most + 1) for i in range(40)]
        pd.DataFrame({"a": ONE, "b": TWO, "score": labels}).to_csv(tmp_path / f"{name}.csv")
    tables = {name: read_table(str(tmp_path / f"{name}.csv")) for name in ("train", "test")}
    assert recognise(tables).label_range == (0, 10)


def test_which_file_is_which() -> None:
    """By their names, else in the order given."""
    assert split_names(["x/my_test.csv", "x/my_train.csv"]) == {
        "train": "x/my_train.csv",
        "test": "x/my_test.csv",
    }
    assert split_names(["a-valid.csv", "train.csv"])["dev"] == "a-valid.csv"
    assert split_names(["a.csv", "b.csv"]) == {"train": "a.csv", "dev": "b.csv"}
    assert split_names(["latest.csv"]) == {"train": "latest.csv"}
    with pytest.raises(DataError, match="4 files were given"):
        split_names(list("abcd"))


def test_what_cannot_be_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column holds a text in every row; its columns: n"):
        of(tmp_path, "a.csv", {"n": [1, 2, 3]})
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no rows"):
        read_table(str(tmp_path / "empty.jsonl"))


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,b\nx y,z\n", ["a", "b"]),
        ("A first text here,another\nA second one,more\n", [0, 1]),
        ("text,0\nother,1\n", [0, 1]),
        ('q;a\n"one; two";three\n', ["q", "a"]),
        ("sep=;\nq;a\none;two\n", ["q", "a"]),
        ("left\tright\nI said, no\tyes, we did\n", ["left", "right"]),
        ("yes\tno\nno\tno\nyes\tyes\n", [0, 1]),
    ],
)
def test_headers(content: str, columns: list[str | int], tmp_path: Path) -> None:
    """Names or positions, whatever separates the fields."""
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert column_names(path) == columns


def test_records_that_lack_a_field(tmp_path: Path) -> None:
    """A field that only some records have is a column with missing values, and no text of pairs."""
    path = tmp_path / "a.jsonl"
    rows: list[dict[str, str]] = [
        {"a": one, "b": two, **({"note": "a long note on it"} if i % 2 else {})}
        for i, (one, two) in enumerate(zip(ONE, TWO, strict=True))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert recognise({"train": read_table(str(path))}).texts == ("a", "b")
