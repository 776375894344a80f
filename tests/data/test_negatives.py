"""Any number of hard negatives in a row: read in every form, kept, and counted by the audit."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embft.data.audit import audit
from embft.data.build import load_data
from embft.data.load import Columns, load_pairs
from embft.data.pairs import Pairs, Splits
from embft.data.shapes import as_labelled
from embft.errors import DataError, SpecError
from embft.spec import DataSpec, parse_spec

ROWS: list[dict[str, object]] = [
    {"q": "a", "d": "yes a", "neg_1": "no 1", "neg_2": "no 2", "negs": ["no 1", "no 2"]},
    {"q": "b", "d": "yes b", "neg_1": "no 3", "neg_2": None, "negs": ["no 3"]},
    {"q": "c", "d": "yes c", "neg_1": "no 4", "neg_2": "no 5", "negs": ["no 4", "no 5"]},
]
WANTED = (["no 1", "no 3", "no 4"], ["no 2", "no 3", "no 5"])
Rows = Sequence[Mapping[str, object]]


def _jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _without_missing(path: Path, rows: Rows) -> Path:
    return _jsonl(path, [{k: v for k, v in row.items() if v is not None} for row in rows])


def _columns_of_json(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps({name: [row[name] for row in rows] for name in rows[0]}))
    return path


def _csv(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            )
    return path


def _parquet(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", _jsonl), ("a.jsonl", _without_missing), ("a.json", _columns_of_json),
        ("a.csv", _csv), ("a.parquet", _parquet),
    ],
)  # fmt: skip
@pytest.mark.parametrize("negatives", [["neg_1", "neg_2"], ["negs"]])
def test_negatives_are_read(tmp_path: Path, name: str, write: object, negatives: list[str]) -> None:
    """As columns and as a column of lists, in every format; a row with fewer repeats its own."""
    path = write(tmp_path / name, ROWS)  # type: ignore[operator]
    pairs = load_pairs(path, Columns("q", "d", None, negatives))
    assert pairs.shape == "triplets"
    assert pairs.negatives == WANTED


def test_negatives_by_position(tmp_path: Path) -> None:
    """A file without a header names them by position."""
    path = tmp_path / "a.tsv"
    path.write_text("a\tyes a\tno 1\tno 2\nb\tyes b\tno 3\t\n")
    assert load_pairs(path, Columns(0, 1, None, [2, 3])).negatives == (
        ["no 1", "no 3"],
        ["no 2", "no 3"],
    )


def test_a_text_in_brackets_is_a_text(tmp_path: Path) -> None:
    """Only a list of texts is taken for one."""
    rows = [{"q": "a", "d": "b", "n": "[see below]"}, {"q": "c", "d": "d", "n": "[1]"}]
    pairs = load_pairs(_jsonl(tmp_path / "a.jsonl", rows), Columns("q", "d", None, ["n"]))
    assert pairs.negatives == (["[see below]", "[1]"],)


@pytest.mark.parametrize(
    ("change", "negatives", "words"),
    [
        (
            {"neg_1": None},
            ["neg_1", "neg_2"],
            "line 2: the row has no negative in 'neg_1'",
        ),
        ({"negs": []}, ["negs"], r"line 2: the row has no negative in 'negs'"),
        ({"negs": ["x", ""]}, ["negs"], "line 2, column 'negs': the text is empty"),
        ({"negs": ["x", ["y"]]}, ["negs"], "line 2, column 'negs'"),
        ({"negs": ["x"] * 101}, ["negs"], "line 2: the row has 101 negatives; at most 100"),
        ({}, ["neg_1", "neg_1"], "names a column twice"),
        ({}, ["neg_1", "neg_3"], "no column 'neg_3'"),
    ],
)
def test_what_is_no_negative_is_refused(
    tmp_path: Path, change: dict[str, object], negatives: list[str], words: str
) -> None:
    """With its line and what to do."""
    rows = [ROWS[0], {**ROWS[1], **change}, ROWS[2]]
    with pytest.raises(DataError, match=words):
        load_pairs(_jsonl(tmp_path / "a.jsonl", rows), Columns("q", "d", None, negatives))


def test_negatives_of_a_spec(tmp_path: Path) -> None:
    """One name or a list; beside them no label, and no `text_3`."""
    path = _jsonl(tmp_path / "a.jsonl", [{**ROWS[i % 3], "q": f"q{i}"} for i in range(30)])
    columns: dict[str, object] = {"text_1": "q", "text_2": "d"}
    for given in ("negs", ["neg_1", "neg_2"]):
        spec = DataSpec.model_validate_json(
            json.dumps(
                {
                    "train": str(path),
                    "dev": str(path) + "x",
                    "columns": {**columns, "negatives": given},
                }
            )
        )
        assert DataSpec.model_validate_json(spec.model_dump_json()) == spec
        spec = spec.model_copy(update={"dev": None})
        assert len(load_data(spec).train.negatives) == 2
    for wrong, words in (
        ("negatives: n, label: l", "triplets .* have no label"),
        ("negatives: n, text_3: m", "keep negatives alone"),
        ("negatives: []", "negatives"),
    ):
        with pytest.raises(SpecError, match=words):
            parse_spec(f"name: a\ndata: {{train: t, columns: {{{wrong}}}}}\n")


def _triplets() -> Pairs:
    return Pairs.unlabelled(
        ["a", "a", "b", "c"],
        ["p", "q", "r", "s"],
        [["Q!", "x", "y", "z"], ["x", "z", "y", "y"]],
    )


def test_negatives_are_kept(tmp_path: Path) -> None:
    """Written, opened, taken and rated, each of a row's negatives stays with its row."""
    pairs = _triplets()
    pairs.write(tmp_path / "a.parquet")
    for found in (Pairs.opened(tmp_path / "a.parquet"), Pairs.read(tmp_path / "a.parquet")):
        assert found.digest() == pairs.digest()
        assert list(map(list, found.take([3, 0]).negatives)) == [["z", "Q!"], ["y", "x"]]
    assert pairs.column_sides == ("query", "document", "document", "document")
    rated = as_labelled(pairs)
    found_pairs = [*zip(rated.text_1, rated.text_2, rated.label.tolist(), strict=True)]
    assert [row for row in found_pairs if row[0] == "c"] == [
        ("c", "s", 1),
        ("c", "y", 0),
        ("c", "z", 0),
    ]


def test_the_audit_counts_negatives() -> None:
    """Rows with fewer, and negatives that another row has as the same anchor's positive."""
    dev = as_labelled(Pairs.unlabelled(["d", "e"], ["f", "g"]))
    found = audit(Splits(_triplets(), dev, dev))
    wrong, fewer = found.find("negatives_are_positives"), found.find("fewer_negatives")
    assert wrong is not None
    assert (wrong.count, wrong.total) == (1, 4)
    assert fewer is not None
    assert (fewer.count, fewer.details["rows_by_number"]) == (1, {"1": 1, "2": 3})
