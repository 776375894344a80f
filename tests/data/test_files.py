"""Lists, patterns and folders as data: shards of one set, each read once, whatever their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embft.data.audit import audit
from embft.data.build import load_data
from embft.data.files import DataFiles
from embft.data.load import Columns, PairFile, load_pairs
from embft.data.pairs import Pairs, Splits
from embft.errors import DataError
from embft.evaluation.labelled import read_labelled
from embft.spec import DataSpec, parse_spec

ROWS: list[dict[str, Any]] = [
    {"text_1": f"a {i}", "text_2": f"b {i}", "label": i % 2, "kind": "xyz"[i % 3]}
    for i in range(30)
]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder with the rows in three files of two formats."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number, name in enumerate(("a.jsonl", "b.jsonl")):
        part = ROWS[number * 10 : number * 10 + 10]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    lines = [",".join(map(str, row.values())) for row in ROWS[20:]]
    (folder / "c.csv").write_text("\n".join([",".join(ROWS[0]), *lines]))
    return folder


def rows(pairs: Pairs) -> list[str]:
    return list(pairs.text_1)


EXPECTED = [row["text_1"] for row in ROWS]


def test_a_list_is_a_set_of_shards(shards: Path) -> None:
    """In whatever order they are named, and however often: each once, in the order of the names."""
    given = [shards / "c.csv", shards / "a.jsonl", shards / "." / "b.jsonl", shards / "a.jsonl"]
    pairs = load_pairs(given, Columns(), ["kind"])
    assert rows(pairs) == EXPECTED
    assert pairs.digest() == load_pairs(given[::-1], Columns(), ["kind"]).digest()
    (shards / "z.jsonl").symlink_to(shards / "a.jsonl")
    assert len(load_pairs([*given, shards / "z.jsonl"], Columns())) == 30


def test_a_pattern(shards: Path) -> None:
    """As a shell would read it, and what stands there as it is written is no pattern."""
    assert rows(load_pairs(shards / "*.jsonl", Columns())) == EXPECTED[:20]
    assert rows(load_pairs(shards.parent / "**" / "*.[jc]s*", Columns())) == EXPECTED
    with pytest.raises(DataError, match=r"\*\.tsv: no file has such a name.*a\.jsonl, b\.jsonl"):
        load_pairs(shards / "*.tsv", Columns())
    odd = shards.parent / "[old]"
    odd.mkdir()
    (odd / "a.jsonl").write_bytes((shards / "a.jsonl").read_bytes())
    assert rows(load_pairs(odd / "a.jsonl", Columns())) == EXPECTED[:10]
    assert rows(load_pairs(odd / "*.jsonl", Columns())) == EXPECTED[:10]


def test_a_folder_of_partitions(tmp_path: Path) -> None:
    """What Spark, Hive and Arrow write: the folders' names are columns of their rows."""
    folder = tmp_path / "set"
    pq.write_to_dataset(pa.Table.from_pylist(ROWS), folder, partition_cols=["kind", "label"])
    (folder / "_SUCCESS").touch()
    (folder / ".crc").touch()
    pairs = load_pairs(folder, Columns(), ["kind"])
    found = zip(pairs.text_1, pairs.groups["kind"], pairs.label, strict=True)
    assert sorted(found) == sorted((r["text_1"], r["kind"], float(r["label"])) for r in ROWS)
    missing = folder / "kind=__HIVE_DEFAULT_PARTITION__" / "label=1"
    missing.mkdir(parents=True)
    pq.write_table(pa.table({"text_1": ["p"], "text_2": ["q"]}), missing / "a.parquet")
    odd = folder / "kind=a%2Fb" / "label=1"
    odd.mkdir(parents=True)
    pq.write_table(pa.table({"text_1": ["r"], "text_2": ["s"]}), odd / "a.parquet")
    assert {"", "a/b"} < set(load_pairs(folder, Columns(), ["kind"]).groups["kind"])


def test_a_folder_of_the_datasets_library(tmp_path: Path) -> None:
    """`save_to_disk` writes Arrow files and two that describe them; several sets are no one set."""
    from datasets import Dataset, DatasetDict

    Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    assert sorted(rows(load_pairs(tmp_path / "one", Columns()))) == sorted(EXPECTED)
    DatasetDict({"train": Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match=r"two: .*has folders in it \(train\)\. Give one"):
        load_pairs(tmp_path / "two", Columns())


def test_folders_that_are_no_set(shards: Path, tmp_path: Path) -> None:
    """Nothing of a folder is left out in silence, and no other set is read along."""
    with pytest.raises(DataError, match="its files have several formats"):
        load_pairs(shards, Columns())
    (shards / "c.csv").unlink()
    assert rows(load_pairs(shards, Columns())) == EXPECTED[:20]
    (shards / "README.md").touch()
    with pytest.raises(DataError, match=r"README\.md is no data file"):
        load_pairs(shards, Columns())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no data files"):
        load_pairs(tmp_path / "empty", Columns())
    with pytest.raises(DataError, match=r"has folders in it \(empty, pairs\)"):
        load_pairs(tmp_path, Columns())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("https://example.org/a.csv", "an address is not read: download the file"),
        ("hf://datasets/a/b.parquet", "an address is not read"),
        ("a\0b.csv", "cannot be read"),
        ("x" * 300 + ".csv", "cannot be read"),
        ("~nobody-there/a.csv", "cannot be read"),
        ("absent/*.csv", "no file has such a name"),
    ],
)
def test_paths_that_cannot_be(given: str, words: str) -> None:
    """One clear message."""
    with pytest.raises(DataError) as error:
        load_pairs(given, Columns())
    assert words in str(error.value)


def test_files_of_several_splits(shards: Path) -> None:
    """A file in train and in dev is refused, however it is named; dev as test is reported."""
    listed = tuple(str(shards / name) for name in ("a.jsonl", "b.jsonl"))
    with pytest.raises(DataError, match=r"a\.jsonl: `data\.dev` is the same file as `data\.train`"):
        load_data(DataSpec(train=listed, dev=str(shards / "*.jsonl")))
    dev = (str(shards / "b.jsonl"), str(shards / "c.csv"))
    same = load_data(DataSpec(train=str(shards / "a.jsonl"), dev=dev, test=dev[::-1]))
    assert same.test_is_dev
    with pytest.raises(DataError, match=r"`data\.dev` and in `data\.test`, which have other files"):
        load_data(DataSpec(train=str(shards / "a.jsonl"), dev=dev, test=str(shards / "c.csv")))


def test_lists_in_a_spec() -> None:
    """Wherever a spec names a file it may name several; one in a list is that one."""
    spec = parse_spec("""\
name: a
data:
  train: [b.csv, a.csv, b.csv, "~/c.csv"]
  dev: {file: [d.csv]}
  test: "t/*.csv"
space: {data.train: [a.csv, [b.csv, a.csv]]}
evaluators: [{clustering: {data: [x.csv, y.csv]}}]
""", folder=Path("/specs"))  # fmt: skip
    one, two = [trial for _, trial in spec.trials()]
    assert (one.data.train, two.data.train) == ("/specs/a.csv", ("/specs/a.csv", "/specs/b.csv"))
    assert (one.data.test, one.data.split("dev").file) == ("/specs/t/*.csv", "/specs/d.csv")  # type: ignore[union-attr]
    assert spec.evaluators[0].files == {"data": ("/specs/x.csv", "/specs/y.csv")}
    assert parse_spec("name: a\ndata: {train: [a.csv]}").points[0].data.train == "a.csv"


def test_texts_with_labels_in_shards(tmp_path: Path) -> None:
    """Evaluators and sources of other forms read several files too."""
    for name in ("a", "b"):
        text = "".join(f'{{"text": "{name} {i}", "label": {i % 2}}}\n' for i in range(8))
        (tmp_path / f"{name}.jsonl").write_text(text)
    table = read_labelled(str(tmp_path / "*.jsonl"))
    assert len(table.texts) == 16
    made = load_data(DataSpec.model_validate_json(json.dumps(
        {"same_label": {"file": [f"{tmp_path}/b.jsonl", f"{tmp_path}/a.jsonl"]}}
    )))  # fmt: skip
    assert made.train.text_1
    assert str(DataFiles([f"{i}.csv" for i in range(9)])) == (
        "0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 4 more"
    )


def test_findings_name_file_and_line(tmp_path: Path) -> None:
    """A text into which rows have run, a long one and a missing one, each with its line, also after
    a part of the rows was set aside.
    """
    lines = [f"row number {i},other {i},{i % 2}" for i in range(300)]
    lines[50], lines[60] = '"opens and never ends,b,1', 'ends here",b,0'
    lines[70], lines[80] = "NULL,b,1", f"{'long ' * 40},b,0"
    (tmp_path / "a.csv").write_text("\n".join(["text_1,text_2,label", *lines[:200]]))
    (tmp_path / "b.csv").write_text("\n".join(["text_1,text_2,label", *lines[200:], '"x\ny",b,1']))
    pairs = PairFile([tmp_path / "a.csv", tmp_path / "b.csv"]).load()
    assert len(pairs) == 291
    found = {
        f.name: f for f in audit(Splits(pairs.take(range(290, -1, -1)), pairs, pairs)).findings
    }
    train = [e["at"] for e in found["line_breaks"].examples if e["split"] == "train"]
    assert train == [f"{tmp_path}/b.csv, line 102", f"{tmp_path}/a.csv, line 52"]
    assert "a.csv, line 52" in found["line_breaks"].message
    assert str(tmp_path) not in found["line_breaks"].message
    assert "a.csv, line 82" in found["long_texts"].message
    assert "a.csv, line 72" in found["missing_texts"].message
    assert {found[n].severity for n in ("line_breaks", "long_texts", "missing_texts")} == {
        "warning"
    }
