"""Pairs that are too many for lists: they lie in a file, and nothing said of them differs."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embft.data import column, dev_split, pairs, texts
from embft.data.audit import audit, drop_leaked, near
from embft.data.column import GrowingColumns, TextColumn, Values, arrow, repeated, write_columns
from embft.data.dev_split import split_dev
from embft.data.load import Columns, load_pairs
from embft.data.pairs import Pairs, Splits, write_jsonl
from embft.data.shapes import as_labelled, to_shape
from embft.data.texts import different, text_ids
from embft.data.word_noise import WordNoise, noisy
from embft.errors import DataError
from embft.spec.shape import Shape
from tests.helpers.commands import program


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows are many."""
    for module in (column, dev_split, near, pairs, texts):
        monkeypatch.setattr(module, "PART", 7)


def _pairs(count: int, seed: int = 0, *, triplets: bool = False) -> Pairs:
    """Pairs in lists, some of them equal, nearly equal, without a word, or very long."""
    rng = random.Random(seed)  # noqa: S311 - data, no secret
    words = [f"word{i}" for i in range(40)]
    made = [" ".join(rng.choices(words, k=rng.randint(4, 9))) for _ in range(count)]
    for row in range(0, count, 9):
        made[row] = rng.choice([made[row // 2], made[row // 2].upper() + "!", "?!", "é " * 99])
    other = [rng.choice(made) for _ in made]
    groups = {"kind": rng.choices("abc", k=count), "a 'b'": rng.choices(["", "ü"], k=count)}
    if triplets:
        return Pairs.unlabelled(made, other, [rng.sample(made, count)], groups)
    return Pairs(made, other, np.array([rng.random() < 0.4 for _ in made], float), groups)


def _in_file(given: Pairs, folder: Path) -> Pairs:
    """The same, loaded from a file of the user's."""
    write_jsonl(given, folder / "given.jsonl")
    names = Columns() if given.labelled else Columns(label=None, negatives=["text_3"])
    found = load_pairs(folder / "given.jsonl", names, list(given.groups))
    assert all(isinstance(each, TextColumn) for each in (*found.columns, *found.groups.values()))
    return found


def _content(given: Pairs) -> tuple[object, ...]:
    groups = {name: list(values) for name, values in given.groups.items()}
    return given.shape, [list(each) for each in given.columns], given.label.tolist(), groups


def test_columns_are_what_arrow_makes_of_them() -> None:
    """Texts, numbers of each type, and parts of an array; booleans are other bytes there."""
    import pyarrow as pa

    numbers = np.arange(12, dtype=np.int32).reshape(3, 4)
    some = (numbers[:, 1], numbers[0][::-1], numbers[:0, 0], np.array([0.5], np.float32))
    for values in (["a", "ü€", ""], *some):
        assert arrow(values).equals(pa.array(values))
    assert arrow([]).equals(pa.array([], pa.string()))
    assert repeated("a", 3).to_pylist() == ["a"] * 3
    with pytest.raises(TypeError, match="an array of bool"):
        arrow(np.array([True, False]))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("count", [6, 7, 8, 14, 100])
@pytest.mark.parametrize("triplets", [False, True])
def test_a_digest_is_over_the_content(tmp_path: Path, count: int, triplets: bool) -> None:
    """One and the same however the pairs are held: the one of a single JSON text."""
    given = _pairs(count, triplets=triplets)
    rows = zip(*given.columns, *([] if triplets else [given.label.tolist()]), strict=True)
    text = "triplets" if triplets else ""
    text += "".join(json.dumps(row) for row in rows) + json.dumps(
        dict(sorted(given.groups.items()))
    )
    assert given.digest() == hashlib.sha256(text.encode()).hexdigest()
    given.write(tmp_path / "a.parquet")
    assert Pairs.opened(tmp_path / "a.parquet").digest() == given.digest()
    assert Pairs.read(tmp_path / "a.parquet").digest() == given.digest()
    if count >= 7:
        assert _in_file(given, tmp_path).digest() == given.digest()


def test_few_pairs_are_written_as_arrow_writes_them(tmp_path: Path) -> None:
    """To the byte; no pairs too."""
    import pyarrow as pa

    for count in (0, 50):
        texts = [f"text {i}" for i in range(count)]
        columns: dict[str, Values] = {"text_1": texts, "label": np.ones(count)}
        write_columns(tmp_path / "ours", columns)
        theirs = {"text_1": pa.array(texts, pa.string()), "label": np.ones(count)}
        pq.write_table(pa.table(theirs), tmp_path / "theirs")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("triplets", [False, True])
def test_what_is_made_of_pairs_in_a_file(tmp_path: Path, triplets: bool) -> None:
    """Chosen rows, the dev split, noise and other shapes are those of pairs in lists."""
    given = _pairs(100, triplets=triplets)
    found = _in_file(given, tmp_path)
    rows = np.random.default_rng(0).integers(0, 100, 60)
    assert _content(found.take(rows)) == _content(given.in_memory().take(rows))
    assert found.take(rows).digest() == given.take(rows).digest()
    assert found.take([]).text_1 == []
    assert [_content(side) for side in split_dev(found)] == [_content(s) for s in split_dev(given)]
    assert _content(noisy(found, WordNoise(), 3)) == _content(noisy(given, WordNoise(), 3))
    assert isinstance(noisy(found, WordNoise(), 3).text_1, TextColumn)
    assert _content(to_shape(found, Shape.POSITIVES)) == _content(to_shape(given, Shape.POSITIVES))
    if triplets:
        assert _content(as_labelled(found)) == _content(as_labelled(given))
    else:
        assert _content(to_shape(found, Shape.TRIPLETS)) == _content(
            to_shape(given, Shape.TRIPLETS)
        )


@pytest.mark.parametrize("triplets", [False, True])
def test_the_audit_of_pairs_in_a_file(
    tmp_path: Path, triplets: bool, request: pytest.FixtureRequest
) -> None:
    """It finds what it finds in lists, and drops the same rows."""
    train, dev = _pairs(300, triplets=triplets), _pairs(60, seed=1)
    dev = Pairs([*dev.text_1, *train.text_1[:5]], [*dev.text_2, *train.text_2[:5]], np.ones(65))
    splits = Splits(train, dev, dev, test_is_dev=True)
    asked = {"token_lengths": lambda t: [len(x.split()) for x in t], "max_tokens": 50}
    whole = audit(splits, **asked)  # type: ignore[arg-type]
    assert {f.name for f in whole.findings} >= {"leak_dev_from_train", "overlong_texts"}
    request.getfixturevalue("small_parts")
    pairs = _in_file(train, tmp_path)
    named = audit(Splits(pairs, dev, dev, test_is_dev=True), **asked)  # type: ignore[arg-type]
    assert "given.jsonl, line" in json.dumps(named.to_json())
    in_file = Splits(replace(pairs, origin=None), dev, dev, test_is_dev=True)
    found = audit(in_file, **asked)  # type: ignore[arg-type]
    assert found.to_json() == whole.to_json()
    assert _content(drop_leaked(in_file, found).train) == _content(drop_leaked(splits, whole).train)


@pytest.mark.usefixtures("small_parts")
def test_a_graded_label_is_named_with_its_line(tmp_path: Path) -> None:
    """The first of them, after the parts before it are in the file."""
    rows = [{"text_1": "a", "text_2": "b", "label": label} for label in [1, 0] * 20]
    rows[30]["label"], rows[33]["label"] = 0.25, 3
    lines = ["", *map(json.dumps, rows)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 32, column 'label': 0\.25 .* run from 0 to 3"):
        load_pairs(tmp_path / "a.jsonl", Columns())


@pytest.mark.parametrize("group", [1, 5, 64, 100_000])
def test_a_column_is_read_whatever_its_row_groups(tmp_path: Path, group: int) -> None:
    """A file that others wrote, in one row group or in hundreds, an empty one among them."""
    import pyarrow as pa

    texts = [f"text {i}" for i in range(1000)]
    with pq.ParquetWriter(tmp_path / "a", pa.schema([("text", pa.string())])) as writer:
        writer.write_table(pa.table({"text": texts[:300]}), group)
        writer.write_table(pa.table({"text": pa.array([], pa.string())}))
        writer.write_table(pa.table({"text": texts[300:]}), group)
    found = TextColumn(pq.ParquetFile(tmp_path / "a"), "text")
    rows = np.random.default_rng(0).integers(0, 1000, 200).tolist()
    assert found.take(rows) == [found[row] for row in rows] == [texts[row] for row in rows]
    assert (list(found), found[::-3], found[-1]) == (texts, texts[::-3], "text 999")


@pytest.mark.usefixtures("small_parts")
def test_texts_are_numbered_as_they_appear() -> None:
    """Over all columns, and the different ones come in the order of their numbers."""
    drawn = np.random.default_rng(0).integers(0, 60, (2, 100))
    columns = [list(map(str, row)) for row in drawn.tolist()]
    seen: dict[str, int] = {}
    wanted = [[seen.setdefault(text, len(seen)) for text in each] for each in columns]
    growing = GrowingColumns(2)
    for row in zip(*columns, strict=True):
        growing.append(row)
    for given in (columns, growing.finished()):
        ids = text_ids(*given)
        assert [each.tolist() for each in ids] == wanted
        assert [text for part in different(given, ids) for text in part] == list(seen)


def _peak_mb(folder: Path, count: int) -> float:
    """The most memory of a process that loads, digests, audits and writes so many pairs."""
    with (folder / "a.jsonl").open("w") as file:
        for i in range(count):
            row = {"text_1": f"{i} " + "one " * 60, "text_2": f"{i} " + "two " * 60}
            file.write(json.dumps({**row, "label": i % 2}) + "\n")
    return int(program("load_many_pairs", cwd=folder)) / (1e6 if sys.platform == "darwin" else 1e3)


@pytest.mark.long
def test_memory_hardly_grows_with_the_pairs(tmp_path: Path) -> None:
    """Another 140,000 pairs of 480 bytes cost a third of their 67 MB at most, where as strings
    and normalised they would take three times as much.
    """
    assert _peak_mb(tmp_path, 280_000) - _peak_mb(tmp_path, 140_000) < 22
