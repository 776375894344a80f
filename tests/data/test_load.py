"""Loading pairs from files: every format, every fault with its place, labels, splits, the cut."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embft.data.dev_split import split_dev
from embft.data.load import Columns, PairFile, load_pairs
from embft.data.pairs import Pairs
from embft.data.splits import build_splits
from embft.data.texts import normalise
from embft.errors import DataError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = ("text_1", "text_2", "label")
ROWS: list[dict[str, object]] = [
    {"text_1": "a red apple", "text_2": "un été", "label": 1, "kind": "fruit"},
    {"text_1": 'say "hi", now', "text_2": "tab\tand\nline", "label": 0, "kind": "talk"},
    {"text_1": "日本語", "text_2": "\u2028 separators \x85", "label": 1, "kind": "script"},
]

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def jsonl(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def delimited(mark: str) -> str:
    def quoted(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = [mark.join(ROWS[0]), *(mark.join(map(quoted, row.values())) for row in ROWS)]
    return "".join(line + "\r\n" for line in lines)


def fault(path: Path, columns: Columns | None = None, **options: object) -> str:
    """The message with which loading fails."""
    with pytest.raises(DataError) as caught:
        load_pairs(path, columns or Columns(), **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_formats_agree(write: Write, tmp_path: Path) -> None:
    """The same pairs come out of every format, zipped or not, with a byte order mark or without."""
    texts = {".jsonl": jsonl(ROWS), ".csv": delimited(","), ".tsv": delimited("\t")}
    paths = [write(f"plain{suffix}", text) for suffix, text in texts.items()]
    paths += [write(f"bom{suffix}", "\ufeff" + text) for suffix, text in texts.items()]
    paths += [
        write(f"zip{suffix}.gz", gzip.compress(text.encode())) for suffix, text in texts.items()
    ]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "pairs.parquet")
    loaded = [
        load_pairs(path, Columns(), ["kind"]) for path in [*paths, tmp_path / "pairs.parquet"]
    ]
    assert {pairs.digest() for pairs in loaded} == {loaded[0].digest()}
    assert loaded[0].text_1 == [row["text_1"] for row in ROWS]
    assert loaded[0].text_2 == [row["text_2"] for row in ROWS]
    assert loaded[0].label.tolist() == [1, 0, 1]
    assert loaded[0].groups == {"kind": ["fruit", "talk", "script"]}


def test_parquet_types(tmp_path: Path) -> None:
    """Dictionary-encoded and large strings, integers, floats and booleans are read alike."""
    table = pa.table(
        {
            "text_1": pa.array(["a", "b"]).dictionary_encode(),
            "text_2": pa.array(["c", "d"], pa.large_string()),
            "label": pa.array([True, False]),
        }
    )
    pq.write_table(table, tmp_path / "typed.parquet")
    pairs = load_pairs(tmp_path / "typed.parquet", Columns())
    assert (pairs.text_1, pairs.text_2, pairs.label.tolist()) == (["a", "b"], ["c", "d"], [1, 0])


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", b"text_1,text_2,label\na,b\xff,1\n", ["line 2", "byte 4", "0xff", "UTF-8"]),
        ("a.jsonl", "\ufeff".encode() + b"\xe9", ["line 1", "byte 4", "0xe9"]),
        ("a.csv", "text_1,text_2,label\n".encode("utf-16-le"), ["line 1", "NUL", "UTF-16"]),
        ("a.csv", b"\xff\xfe\xff", ["UTF-16", "byte"]),
        ("a.csv", b"text_1,text_2,label\na,b\0,1\n", ["line 2", "byte 4", "NUL"]),
        ("a.jsonl", b'{"text_1":"a\\u0000","text_2":"b","label":1}', ["line 1", "text_1", "NUL"]),
        ("a.jsonl", b'{"text_1":"a","text_2":"\\ud800","label":1}', ["line 1", "surrogate"]),
        ("a.jsonl", b"", ["no pairs"]),
        ("a.csv", b"", ["no pairs"]),
        ("a.csv", b"text_1,text_2,label\n", ["no pairs"]),
        ("a.csv", b"text_1,test_2,label\na,b,1\n", ["'text_2'", "did you mean 'test_2'", "label"]),
        ("a.csv", b"text_1;text_2;labl\na;b;1\n", ["'label'", "did you mean 'labl'"]),
        ("a.csv", b"text_1,text_2,label,label\na,b,1,1\n", ["'label' twice"]),
        ("a.csv", b"text_1,text_2,label\n\na,b,c,1\n", ["line 3", "4 fields", "has 3"]),
        ("a.csv", b'text_1,text_2,label\na,b,1\n"c,d,1\ne,f,1\n', ["line 3", "quote"]),
        ("a.csv", b"text_1,text_2,label\ra,b,1\r", ["line 1", "carriage return"]),
        ("a.jsonl", b'{"text_1":"a","text_2":"b","label":1}\n{"text_1":', ["line 2", "not a JSON"]),
        ("a.jsonl", b"\n[1]\n", ["record 1 (line 2)", "1 is JSON but no object"]),
        ("a.jsonl", b'{"text_1":"a","text_2":"b","label":1}\n[1]', ["line 2", "[1]", "no object"]),
        ("a.jsonl", b"[" * 100_000, ["line 1", "not a JSON"]),
        ("a.jsonl", b'{"text_1":"a","text_1":"b"}', ["line 1", "'text_1' occurs twice"]),
        ("a.jsonl", b'{"text_1":"a","label":1}', ["line 1", "'text_2'", "has: label, text_1"]),
        ("a.jsonl", b'{"text_1":.5,"text_2":"b","label":1}', ["line 1", "not a JSON"]),
        ("a.jsonl", b'{"text_1":0.5,"text_2":"b","label":1}', ["line 1", "'text_1'", "0.5 is no"]),
        ("a.jsonl", b'{"text_1":null,"text_2":"b","label":1}', ["line 1", "None is no text"]),
        ("a.csv", "text_1,text_2,label\na,\u00a0,1\n", ["line 2", "'text_2'", "empty"]),
        ("a.txt", b"a", ["'.txt'", ".jsonl, .csv"]),
        ("a", b"a", ["missing", ".parquet"]),
        ("a.parquet", b"PAR1 no PAR1", ["parquet"]),
        ("a.csv.gz", b"no zip", ["cannot be read"]),
        (
            "a.csv.gz",
            gzip.compress(b"text_1,text_2,label\na,b,1\n", mtime=0)[:-9],
            ["cannot be read"],
        ),
    ],
)
def test_faults(write: Write, name: str, content: str | bytes, parts: list[str]) -> None:
    """Each fault is refused with the file, its place, what was given and what is allowed."""
    path = write(name, content)
    message = fault(path)
    assert str(path) in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.parquet", "absent.csv.gz"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    """A file that is not there, or a folder, is the user's mistake, not a crash."""
    assert name in fault(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be read" in fault(tmp_path / "folder.csv")


@pytest.mark.parametrize("label", ["", "yes", "nan", "inf", "1e999", "1_0", "0,5", "0x1", "½", "١"])
def test_no_label(write: Write, label: str) -> None:
    """What is no finite number is no label, in csv as in JSON."""
    path = write("a.csv", f'text_1,text_2,label\na,b,1\na,b,"{label}"\n')
    assert f"line 3, column 'label': {label!r}" in fault(path)
    assert "line 3" in fault(path, label_range=(0, 5))


@pytest.mark.parametrize("label", ["null", "NaN", "-Infinity", "[1]", "{}", "1" + "0" * 400])
def test_no_json_label(write: Write, label: str) -> None:
    """JSON's other values, and numbers beyond all bounds, are no labels either."""
    path = write("a.jsonl", f'{{"text_1":"a","text_2":"b","label":{label}}}')
    assert "line 1, column 'label'" in fault(path)


def test_label_forms(write: Write) -> None:
    """Integers, decimals, signs, exponents and true or false are read as the numbers they are."""
    labels = ["1", "0.0", "+1", "1e0", " 1 ", "true", "False", "-0"]
    rows = "".join(f"a,b,{label}\n" for label in labels)
    pairs = load_pairs(write("a.csv", "text_1,text_2,label\n" + rows), Columns())
    assert pairs.label.tolist() == [1, 0, 1, 1, 1, 1, 0, 0]


def test_label_range(write: Write) -> None:
    """Graded labels are scaled to [0, 1]; outside the range, or without one, they are refused."""
    path = write("a.csv", "text_1,text_2,label\na,b,-1\na,b,3\na,b,1\n")
    pairs = load_pairs(path, Columns(), label_range=(-1, 3))
    assert pairs.label.tolist() == [0, 1, 0.5]
    message = fault(path)
    assert "line 2" in message
    assert "`data.label_range: [low, high]`" in message
    assert "from -1 to 3" in message
    assert "line 3, column 'label': '3' lies outside" in fault(path, label_range=(-1, 2))
    for wrong in [(3, -1), (0, float("inf")), (1, 1)]:
        assert "label_range" in fault(path, label_range=wrong)


def test_true_is_no_grade(write: Write) -> None:
    """On a scale other than 0 to 1, true would silently mean nearly the lowest grade."""
    path = write("a.jsonl", '{"text_1":"a","text_2":"b","label":true}')
    assert "True is no label" in fault(path, label_range=(0, 5))


def test_columns_and_groups(write: Write) -> None:
    """Columns go by the names given; groups become text, what is missing becomes empty."""
    rows: list[dict[str, object]] = [
        {"a": "x", "b": "y", "score": 1, "n": 3, "flag": True},
        {"a": "x", "b": "y", "score": 0, "n": None},
    ]
    path = write("a.jsonl", jsonl(rows))
    columns = Columns("a", "b", "score")
    pairs = load_pairs(path, columns, ["n", "flag"])
    assert pairs.groups == {"n": ["3", ""], "flag": ["True", ""]}
    assert "did you mean 'flag'" in fault(path, columns, groups=["flags"])
    assert "a column twice" in fault(path, Columns("a", "a", "score"))
    nested = write("b.jsonl", '{"text_1":"a","text_2":"b","label":1,"g":[1]}')
    assert "group column 'g': [1]" in fault(nested, groups=["g"])


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_without_header(write: Write, name: str) -> None:
    """Positions read a file without a header; with tabs, quotes are characters like any other."""
    path = write(name, 'news\t4.5\tHe said "no\tit\'s "so"\nforum\t0\ta\tb\textra\n')
    pairs = load_pairs(path, Columns(2, 3, 1), ["0"], (0, 5))
    assert pairs.text_1 == ['He said "no', "a"]
    assert pairs.text_2 == ['it\'s "so"', "b"]
    assert pairs.label.tolist() == [0.9, 0.0]
    assert pairs.groups == {"0": ["news", "forum"]}


def test_without_header_faults(write: Write) -> None:
    """Short rows, mixed names and positions, and formats that have names are refused."""
    path = write("a.csv", 'a,"b, c",1\nd,1\n')
    assert "line 2: 2 fields, but column 2" in fault(path, Columns(0, 1, 2))
    assert "'label' must be a position" in fault(path, Columns(0, 1))
    assert "'kind' must be a position" in fault(path, Columns(0, 1, 2), groups=["kind"])
    assert "-1 must be a position" in fault(path, Columns(-1, 0, 1))
    assert "positions" in fault(write("a.jsonl", "{}"), Columns(0, 1, 2))


def test_long_field(write: Write) -> None:
    """Ten megabytes in a field are read, and the limit of other csv readers is left as it was."""
    import csv

    before = csv.field_size_limit()
    path = write("a.csv", f"text_1,text_2,label\n{'x' * 10_000_000},b,1\n")
    assert len(load_pairs(path, Columns()).text_1[0]) == 10_000_000
    assert csv.field_size_limit() == before


def test_long_values_are_cut(write: Write) -> None:
    """A message shows at most sixty characters of a value."""
    path = write("a.csv", f"text_1,text_2,label\na,b,{'z' * 5000}\n")
    assert len(fault(path)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
records = st.dictionaries(st.sampled_from([*NAMES, "g"]), json_values).map(json.dumps)
cells = st.sampled_from(
    ["a", "1", "0", "0.5", '"', ",", "\t", "\n", "\r", "", "\ufeff", "é", "nan"]
)
contents = st.one_of(
    st.binary(max_size=200),
    st.lists(records, max_size=4).map("\n".join).map(str.encode),
    st.lists(cells, max_size=30).map("".join).map(lambda s: f"text_1,text_2,label,g\n{s}".encode()),
    st.lists(cells, max_size=30).map("".join).map(str.encode),
)
suffixes = st.sampled_from([".jsonl", ".csv", ".tsv", ".parquet", ".csv.gz"])


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=contents, suffix=suffixes, positions=st.booleans(), graded=st.booleans())
def test_any_bytes(
    tmp_path: Path, content: bytes, suffix: str, positions: bool, graded: bool
) -> None:
    """Whatever the bytes, loading gives sound pairs or a DataError that names the file."""
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(content)
    columns = Columns(0, 1, 2) if positions else Columns()
    groups = ["3"] if positions else ["g"]
    try:
        pairs = load_pairs(path, columns, groups, (-1, 1) if graded else None)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 - that it raises is not required
        return
    assert len(pairs) == len(pairs.text_2) == len(pairs.label) == len(pairs.groups[groups[0]]) > 0
    assert all(text.strip() for text in [*pairs.text_1, *pairs.text_2])
    assert ((pairs.label >= 0) & (pairs.label <= 1)).all()
    pairs.digest()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_damaged_parquet(tmp_path: Path, place: int, value: int) -> None:
    """One wrong byte in a parquet file gives pairs or a DataError, never another exception."""
    good = tmp_path / "good.parquet"
    if not good.exists():
        pq.write_table(pa.Table.from_pylist(ROWS * 20), good)
    content = bytearray(good.read_bytes())
    content[place % len(content)] = value
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(content)
    try:
        load_pairs(bad, Columns(), ["kind"])
    except DataError as error:
        assert "bad.parquet" in str(error)  # noqa: PT017 - that it raises is not required


def made_pairs(count: int, texts: int, seed: int = 0) -> Pairs:
    """Pairs of texts drawn from so many different ones."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, texts, (2, count))
    first, second = ([f"text {side} {i}" for i in row] for side, row in enumerate(drawn))
    return Pairs(first, second, rng.integers(0, 2, count).astype(float))


def known(pairs: Pairs) -> set[str]:
    return {normalise(text) for text in [*pairs.text_1, *pairs.text_2]}


def rows_of(pairs: Pairs) -> set[tuple[str, str]]:
    return set(zip(pairs.text_1, pairs.text_2, strict=True))


def test_cut_shares_no_text() -> None:
    """Where the pairs fall into groups without a common text, no text is on both sides."""
    pairs = made_pairs(500, 2000)
    train, dev = split_dev(pairs)
    assert not known(train) & known(dev)
    assert len(train) + len(dev) == len(pairs)
    assert 45 <= len(dev) <= 50
    for side in (train, dev):
        assert set(side.label.tolist()) == {0.0, 1.0}


def test_cut_of_what_hangs_together() -> None:
    """Where all pairs share texts, equal pairs at least stay on one side."""
    pairs = made_pairs(500, 15)
    train, dev = split_dev(pairs)
    assert known(train) & known(dev)
    assert not rows_of(train) & rows_of(dev)
    assert 25 <= len(dev) <= 50


@given(st.permutations(range(40)))
@settings(max_examples=20, deadline=None)
def test_cut_ignores_order(order: list[int]) -> None:
    """The same pairs in another order, or with their sides swapped, give the same dev."""
    pairs = made_pairs(40, 60)
    expected = rows_of(split_dev(pairs)[1])
    moved = pairs.take(order)
    assert rows_of(split_dev(moved)[1]) == expected
    swapped = split_dev(Pairs(moved.text_2, moved.text_1, moved.label))[1]
    assert rows_of(Pairs(swapped.text_2, swapped.text_1, swapped.label)) == expected


@pytest.mark.parametrize("count", [10, 11, 25])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_cut_of_few(count: int, fraction: float) -> None:
    """Even few pairs and odd fractions leave both labels on both sides."""
    label = (np.arange(count) % 2).astype(np.float64)
    pairs = Pairs([f"a{i}" for i in range(count)], [f"b{i}" for i in range(count)], label)
    for side in split_dev(pairs, fraction):
        assert set(side.label.tolist()) == {0.0, 1.0}


def test_cut_needs_pairs() -> None:
    """Too few pairs, or the same pair over and over, cannot be cut."""
    with pytest.raises(DataError, match="at least 10"):
        split_dev(made_pairs(9, 100))
    with pytest.raises(DataError, match="different pairs"):
        split_dev(Pairs(["a"] * 20, ["b"] * 20, np.ones(20)))


def test_splits(write: Write) -> None:
    """Which files are given decides which splits are cut or stand in, and the splits say so."""
    rows: list[dict[str, object]] = [
        {"text_1": f"a{i}", "text_2": f"b{i}", "label": i % 2} for i in range(40)
    ]
    parts = {"train": rows, "dev": rows[:4], "test": rows[4:10]}
    train, dev, test = (PairFile(write(f"{k}.jsonl", jsonl(v))) for k, v in parts.items())
    again = PairFile(f"{dev.files.files[0].path.parent}/./dev.jsonl")
    full = build_splits(train, dev, test)
    assert [len(full[name]) for name in ("train", "dev", "test")] == [40, 4, 6]
    assert (full.dev_is_cut, full.test_is_dev) == (False, False)
    alone = build_splits(train, dev_fraction=0.2)
    assert [len(alone[name]) for name in ("train", "dev", "test")] == [32, 8, 8]
    assert (alone.dev_is_cut, alone.test_is_dev) == (True, True)
    assert alone.test.digest() == alone.dev.digest()
    assert build_splits(train, None, test).dev_is_cut
    assert build_splits(train, dev).test_is_dev
    assert build_splits(train, dev, again).test_is_dev
    with pytest.raises(DataError, match=r"same file as `data\.train`"):
        build_splits(train, None, train)


def test_real_data() -> None:
    """The STS benchmark and the dating pairs load whole."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent")
    train, dev = (
        PairFile(DATA / "stsb" / f"sts-{name}.csv", Columns(5, 6, 4), ["0"], (0, 5))
        for name in ("train", "dev")
    )
    splits = build_splits(train, test=dev)
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [3375, 374, 1000]
    assert not known(splits.train) & known(splits.dev)
    dating = load_pairs(DATA / "dating" / "train.jsonl", Columns(), ["category"])
    assert len(dating) == 1195
    assert len(dating.groups["category"]) == 1195
