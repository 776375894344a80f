"""The same rows in every form that people's tools write: what they are does not depend on it."""

from __future__ import annotations

import bz2
import csv
import decimal
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from embft.data.load import Columns, load_pairs
from embft.data.nli import NliFile
from embft.data.same_label import SameLabel
from embft.data.unpaired import TextFile
from embft.errors import DataError

Rows = list[tuple[str, str, int]]
HEADER = ["text_1", "text_2", "label"]
PLAIN: Rows = [("a red apple", "un été", 1), ("tea, or coffee", "5 > 4", 0), ("日本語", "c", 1)]
QUOTED: Rows = [*PLAIN, ('say "hi", now', "it is so", 0), ('5" screen', '"quoted"', 1)]
BROKEN: Rows = [*QUOTED, ("two\nlines", "a\ttab", 1)]


def text(rows: Rows, mark: str, *, header: bool, quoting: int = csv.QUOTE_MINIMAL) -> str:
    """The rows as a program writes them."""
    out = io.StringIO()
    options = {"quotechar": None} if quoting == csv.QUOTE_NONE else {}
    writer = csv.writer(out, delimiter=mark, quoting=quoting, lineterminator="\n", **options)  # type: ignore[arg-type]
    writer.writerows([HEADER, *rows] if header else rows)
    return out.getvalue()


def read(path: Path, *, header: bool = True, **options: object) -> Rows:
    """The rows of a file."""
    columns = Columns() if header else Columns(0, 1, 2)
    pairs = load_pairs(path, columns, **options)  # type: ignore[arg-type]
    return list(zip(pairs.text_1, pairs.text_2, map(int, pairs.label), strict=True))


def fault(path: object, columns: Columns | None = None) -> str:
    with pytest.raises(DataError) as error:
        load_pairs(path, columns or Columns())  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("mark", [",", "\t", ";"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("rows", [PLAIN, QUOTED, BROKEN], ids=["plain", "quoted", "broken"])
def test_delimited_files_with_quoting(
    tmp_path: Path, rows: Rows, quoting: int, mark: str, header: bool
) -> None:
    """Whatever is quoted, and whether there is a header: the rows that were written are read."""
    path = tmp_path / ("a.tsv" if mark == "\t" else "a.csv")
    for end in ("\n", "\r\n"):
        content = text(rows, mark, header=header, quoting=quoting)
        path.write_bytes(content.encode() if end == "\n" else _with_crlf(rows, mark, header))
        assert read(path, header=header) == rows


def _with_crlf(rows: Rows, mark: str, header: bool) -> bytes:
    """As Excel ends lines; breaks inside texts stay as they are."""
    lines = [text([row], mark, header=False).removesuffix("\n") for row in rows]
    return "".join(
        f"{line}\r\n" for line in [*([mark.join(HEADER)] if header else []), *lines]
    ).encode()


BARE: Rows = [
    ('"No, you do not', "she said", 0),
    ("plain", "text", 1),
    ('it is 5"', 'he said "so"', 0),
    *[(f"row {i}", f"other {i}", i % 2) for i in range(10)],
    ('"Yes', 'ends in a quote"', 1),
    ('"all of it"', "quoted", 0),
]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
@pytest.mark.parametrize("header", [True, False])
def test_bare_quotes_between_tabs(tmp_path: Path, name: str, header: bool) -> None:
    """A file of tabs that is written without quoting: no row is swallowed by a quote in a text,
    wherever it stands, with a header as without.
    """
    path = tmp_path / name
    lines = ["\t".join(map(str, row)) for row in BARE]
    path.write_text("\n".join([*(["\t".join(HEADER)] if header else []), *lines]) + "\n")
    assert read(path, header=header) == BARE


def test_a_quote_that_opens_and_one_that_closes_ten_rows_on(tmp_path: Path) -> None:
    """The rows between them are rows, though quoting could be read so that they are one text."""
    rows: Rows = [(f"text {i}", f"other {i}", i % 2) for i in range(96)]
    rows[20] = ('"opens and never ends', "other", 0)
    rows[30] = ("text", 'ends here"', 1)
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(["\t".join(HEADER), *("\t".join(map(str, row)) for row in rows)]))
    assert read(path) == rows


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.sampled_from('ab "\',;\n'), min_size=1, max_size=6)] * 2,
                  st.integers(0, 1)),
        min_size=1, max_size=8,
    ),
    mark=st.sampled_from([",", "\t"]),
    header=st.booleans(),
)  # fmt: skip
def test_what_python_writes_is_read(tmp_path: Path, rows: Rows, mark: str, header: bool) -> None:
    """Any texts, written by Python's own writer with everything quoted, come back as they were."""
    rows = [(one + "x", other + "x", label) for one, other, label in rows]
    path = tmp_path / ("a.tsv" if mark == "\t" else "a.csv")
    path.write_text(text(rows, mark, header=header, quoting=csv.QUOTE_ALL), newline="")
    assert read(path, header=header) == rows


def test_a_header_decides_nothing(tmp_path: Path) -> None:
    """Random texts with quotes, tabs between them: the rows are the same with it as without."""
    draw = random.Random(3)  # noqa: S311 - test data
    for _ in range(200):
        rows = [("".join(draw.choices('ab" ', k=5)) + "x", "y", 1) for _ in range(6)]
        body = "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (tmp_path / "with.tsv").write_text("\t".join(HEADER) + "\n" + body)
        (tmp_path / "without.tsv").write_text(body)
        found = read(tmp_path / "without.tsv", header=False)
        assert read(tmp_path / "with.tsv") == found
        assert len(found) == 6


def test_escaped_quotes(tmp_path: Path) -> None:
    """Spark and MySQL write a backslash before a quote in quotes."""
    path = tmp_path / "a.csv"
    path.write_text('text_1,text_2,label\n"say \\"hi\\", now",b,1\n"c","d \\"e\\"",0\n')
    assert read(path) == [('say "hi", now', "b", 1), ("c", 'd "e"', 0)]
    path.write_text('text_1,text_2,label\n"C:\\dir\\",b,1\nc,d,0\n')
    assert read(path) == [("C:\\dir\\", "b", 1), ("c", "d", 0)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text_1,text_2,label\na,b,1,\nc,d,0,\n", None),  # a separator at each line's end
        ("text_1,text_2,label,\na,b,1\nc,d,0\n", None),
        ("text_1,text_2,label\n\n\na,b,1\n   \nc,d,0\n", None),  # blank lines
        ("sep=;\ntext_1;text_2;label\na;b;1\nc;d;0\n", None),  # Excel's hint
        (" text_1 ,Text_2,LABEL\na,b,1\nc,d,0\n", None),  # spaces and case
        ("text_1|text_2|label\na|b|1\nc|d|0\n", None),
        ("\ufefftext_1,text_2,label\na,b,1\nc,d,0\n", None),
        ('"text_1","text_2","label"\na,b,1\nc,d,0\n', None),
        ("id,text_1,id,text_2,label\n1,a,2,b,1\n3,c,4,d,0\n", None),  # twice, and not wanted
        ("text_1,text_2,label\na,b,1\nc, or e,d,0\n", "line 3: 4 fields"),
        ("text_1,text_2,label\na,b,1\nc,d\n", "line 3: 2 fields"),
        ("Label,text_1,text_2,LABEL\n1,a,b,1\n", "'label' twice ('Label', 'LABEL')"),
        ("text_1,text_2,label\na,b,\"0,5\"\n", "numbers have a point"),
        ("text_1,text_2,label\na,b,\"1,000\"\n", "no comma between thousands"),
        ("text_1,text_2,label\na,b,NA\n", "'NA' is no label"),
        ("text_1,text_2,label\na,b,\n", "the label is missing"),
    ],
)  # fmt: skip
def test_headers_lines_and_labels(tmp_path: Path, content: str, words: str | None) -> None:
    """What is meant is clear, or the line and the reason are."""
    (tmp_path / "a.csv").write_text(content)
    if words is None:
        assert read(tmp_path / "a.csv") == [("a", "b", 1), ("c", "d", 0)]
    else:
        assert words in fault(tmp_path / "a.csv")


def test_a_comma_in_a_file_without_a_header(tmp_path: Path) -> None:
    """A text with an unquoted comma moves the columns behind it: refused, with its line."""
    (tmp_path / "a.csv").write_text("a,b,1\nc, or d,e,0\n")
    assert "line 2: 4 fields, but the first line has 3" in fault(
        tmp_path / "a.csv", Columns(0, 1, 2)
    )
    (tmp_path / "b.csv").write_text("one text, with a comma\nanother\n")
    with pytest.raises(DataError, match="line 2: 1 fields"):
        TextFile(tmp_path / "b.csv", 0).texts()


RECORDS = [dict(zip(HEADER, row, strict=True)) for row in BROKEN]


@pytest.mark.parametrize(
    "written",
    [
        lambda: "".join(json.dumps(r) + "\n" for r in RECORDS),
        lambda: json.dumps(RECORDS),
        lambda: json.dumps(RECORDS, indent=2),
        lambda: "\n".join(json.dumps(r, indent=1) for r in RECORDS),
        lambda: "\n\n".join(json.dumps({**r, "id": 1}) for r in RECORDS) + "\n\n",
        lambda: json.dumps([{"Label" if k == "label" else k: v for k, v in r.items()}
                            for r in RECORDS]),
        lambda: pd.DataFrame(RECORDS).to_json(),
        lambda: pd.DataFrame(RECORDS).to_json(orient="records"),
        lambda: pd.DataFrame(RECORDS).to_json(orient="records", lines=True),
        lambda: json.dumps({name: [r[name] for r in RECORDS] for name in HEADER}, indent=1),
        lambda: "\ufeff" + json.dumps(RECORDS),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".ndjson"])
def test_forms_of_json(tmp_path: Path, written: Callable[[], str], suffix: str) -> None:
    """Lines, a list, objects over several lines, columns: whatever the suffix says."""
    (tmp_path / f"a{suffix}").write_text(written())
    assert read(tmp_path / f"a{suffix}") == BROKEN


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"text_1": "a", "text_2": "b", "label": 1}', "closing ] is missing"),
        ('[{"text_1": "a", "text_2": "b", "label": 1} {"a": 1}]', "a comma is missing"),
        ('[{"text_1": "a", "text_2": "b", "label": 1}] {}', "something follows"),
        (
            '[\n {"text_1": "a", "text_2": "b", "label": 1},\n {"text_1": "a"}\n]',
            "record 2: no col",
        ),
        (
            '[\n {"text_1": "a", "text_2": "b", "label": 1},\n {"text_1": oh}\n]',
            "record 2 (line 3)",
        ),
        ('{"data": [{"text_1": "a"}], "version": 1}', "seem to stand under 'data'"),
        ('{"text_1": ["a", "b"], "text_2": ["c"], "label": [1, 0]}', "rows cannot be known"),
        ('{"text_1": {"0": "a"}, "text_2": {"1": "b"}, "label": {"0": 1}}', "different rows"),
        ('{"text_1": ["a"], "text_2": "b", "label": 1}', "['a'] is no text; a row has one text"),
        ('{"text_1": {"en": "a"}, "text_2": "b", "label": 1}', "is no text; a row has one text"),
        ('{"text_1": null, "text_2": "b", "label": 1}', "the text is missing"),
        ('{"text_1": true, "text_2": "b", "label": 1}', "True is no text"),
    ],
)
def test_json_that_cannot_be_meant(tmp_path: Path, content: str, words: str) -> None:
    """The place and the reason."""
    (tmp_path / "a.json").write_text(content)
    assert words in fault(tmp_path / "a.json")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda raw: bytes(pa.compress(raw, "zstd", asbytes=True)),
}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("form", [".jsonl", ".csv", ".parquet"])
def test_packed_files_by_content(tmp_path: Path, suffix: str, form: str) -> None:
    """Packed files are unpacked, with the suffix that says so or without it."""
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "plain.parquet")
    plain = {
        ".jsonl": "".join(json.dumps(r) + "\n" for r in RECORDS).encode(),
        ".csv": text(BROKEN, ",", header=True).encode(),
        ".parquet": (tmp_path / "plain.parquet").read_bytes(),
    }[form]
    for name in (f"a{form}{suffix}", f"b{form}"):
        (tmp_path / name).write_bytes(PACKED[suffix](plain))
        assert read(tmp_path / name) == BROKEN


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-be"])
@pytest.mark.parametrize("mark", [",", "\t"])
def test_encodings_with_a_mark(tmp_path: Path, encoding: str, mark: str) -> None:
    """What Excel saves as Unicode text is UTF-16; a byte order mark says which."""
    path = tmp_path / ("a.tsv" if mark == "\t" else "a.csv")
    content = text(BROKEN, mark, header=True)
    start = "\ufeff" if encoding == "utf-16-be" else ""
    path.write_bytes((start + content).encode(encoding))
    assert read(path) == BROKEN


LABELS = {
    "bool": pa.array([True, False]),
    "int8": pa.array([1, 0], pa.int8()),
    "int64": pa.array([1, 0], pa.int64()),
    "uint8": pa.array([1, 0], pa.uint8()),
    "uint64": pa.array([1, 0], pa.uint64()),
    "float16": pa.array(np.array([1, 0], np.float16)),
    "float32": pa.array([1, 0], pa.float32()),
    "float64": pa.array([1, 0], pa.float64()),
    "decimal": pa.array([decimal.Decimal("1.00"), decimal.Decimal(0)], pa.decimal128(5, 2)),
    "decimal256": pa.array([decimal.Decimal(1), decimal.Decimal(0)], pa.decimal256(40, 0)),
    "words": pa.array(["1", "0"]),
    "points": pa.array(["1.0", "0.0"]),
    "truth": pa.array(["True", "false"]),
    "large": pa.array([" 1", "0 "], pa.large_string()),
    "category": pa.array(["1", "0"]).dictionary_encode(),
    "numbers": pa.array([1, 0]).dictionary_encode(),
    "bytes": pa.array([b"1", b"0"]),
}
TEXTS = {
    "string": pa.array(["7", "b"]),
    "large": pa.array(["7", "b"], pa.large_string()),
    "view": pa.array(["7", "b"], pa.string_view()),
    "bytes": pa.array([b"7", b"b"]),
    "category": pa.array(["7", "b"]).dictionary_encode(),
}


def _write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
@pytest.mark.parametrize("label", LABELS)
def test_labels_of_every_type(tmp_path: Path, label: str, suffix: str) -> None:
    """Whatever type they were written in: 1 is 1 and 0 is 0, in each of Arrow's files."""
    table = pa.table({"text_1": ["a", "c"], "text_2": ["b", "d"], "label": LABELS[label]})
    _write(tmp_path / f"a{suffix}", table)
    assert read(tmp_path / f"a{suffix}") == [("a", "b", 1), ("c", "d", 0)]


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_of_every_type(tmp_path: Path, kind: str) -> None:
    """Texts, categories and bytes are the texts that they hold; whole numbers are texts too."""
    _write(tmp_path / "a.feather", pa.table({"text_1": TEXTS[kind], "text_2": ["c", "d"],
                                             "label": [1, 0]}))  # fmt: skip
    assert read(tmp_path / "a.feather") == [("7", "c", 1), ("b", "d", 0)]
    numbers = pa.table({"text_1": [7, 8], "text_2": ["c", "d"], "label": [1, 0]})
    _write(tmp_path / "b.parquet", numbers)
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(r) + "\n" for r in numbers.to_pylist()))
    (tmp_path / "b.csv").write_text("text_1,text_2,label\n7,c,1\n8,d,0\n")
    rows = [read(tmp_path / f"b{suffix}") for suffix in (".parquet", ".jsonl", ".csv")]
    assert rows == [[("7", "c", 1), ("8", "d", 0)]] * 3


def test_grades_are_the_same_in_every_precision(tmp_path: Path) -> None:
    """4.2 as a short float, a decimal, a long float and text is one number, so one trial."""
    grades = {
        "half": pa.array(np.array([4.2, 0.1], np.float16)),
        "short": pa.array([4.2, 0.1], pa.float32()),
        "long": pa.array([4.2, 0.1]),
        "exact": pa.array([decimal.Decimal("4.20"), decimal.Decimal("0.10")]),
        "words": pa.array(["4.2", "1e-1"]),
    }
    digests = set()
    for name, labels in grades.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(
            pa.table({"text_1": ["a", "c"], "text_2": ["b", "d"], "label": labels}), path
        )
        digests.add(load_pairs(path, Columns(), label_range=(0, 5)).digest())
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("label", pa.array([1, None], pa.int64()), "row 2, column 'label': None is no label; the"),
        ("label", pa.array([1.0, float("nan")]), "row 2, column 'label': nan is no label; the"),
        ("label", pa.array([[1], [0]]), "[1] is no label"),
        ("text_1", pa.array(["a", None]), "row 2, column 'text_1': None is no text; the text is"),
        ("text_1", pa.array([["a"], ["b"]]), "['a'] is no text; a row has one text"),
        ("text_1", pa.array([{"en": "a"}, {"en": "b"}]), "is no text; a row has one text"),
        ("text_1", pa.array([0, 1], pa.date32()), "is no text; it is a time"),
        ("text_1", pa.array([0, 1], pa.timestamp("ns")), "is no text; it is a time"),
        ("text_1", pa.array([1.5, 2.5]), "1.5 is no text"),
        ("text_1", pa.array([True, False]), "True is no text"),
        ("text_1", pa.array([b"\xff", b"b"]), "bytes that are not UTF-8"),
    ],
)
def test_values_that_mean_nothing_of_the_kind(
    tmp_path: Path, column: str, values: pa.Array, words: str
) -> None:
    """Missing, nested and other values are refused with their row and the reason."""
    table = {"text_1": ["a", "c"], "text_2": ["b", "d"], "label": [1, 0], column: values}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    assert words in fault(tmp_path / "a.parquet")


def test_groups_of_every_type(tmp_path: Path) -> None:
    """Numbers, truth, times and missing values are names of groups; lists are none."""
    path = tmp_path / "a.parquet"
    columns = {
        "int": pa.array([1, None]), "day": pa.array([0, None], pa.date32()),
        "flag": pa.array([True, None]), "nan": pa.array([0.5, float("nan")]),
        "short": pa.array([0.1, None], pa.float32()), "kind": pa.array(["x", None]),
    }  # fmt: skip
    table = {"text_1": ["a", "c"], "text_2": ["b", "d"], "label": [1, 0], **columns}
    pq.write_table(pa.table(table), path)
    groups = load_pairs(path, Columns(), list(columns)).groups
    assert {name: list(values) for name, values in groups.items()} == {
        "int": ["1", ""], "day": ["1970-01-01", ""], "flag": ["True", ""], "nan": ["0.5", ""],
        "short": ["0.1", ""], "kind": ["x", ""],
    }  # fmt: skip


def test_class_labels_of_every_type(tmp_path: Path) -> None:
    """3 is the class 3 in every type: pandas makes floats of whole numbers beside missing ones."""
    for name, labels in {
        "a.parquet": pa.array([0, 1] * 8), "b.parquet": pa.array([0.0, 1.0] * 8),
        "c.parquet": pa.array(["0", "1"] * 8).dictionary_encode(),
        "d.parquet": pa.array([decimal.Decimal(0), decimal.Decimal(1)] * 8),
        "e.parquet": pa.array([0, 1] * 8, pa.uint8()),
    }.items():  # fmt: skip
        table = pa.table({"text": [f"text {i}" for i in range(16)], "label": labels})
        pq.write_table(table, tmp_path / name)
        assert set(SameLabel(tmp_path / name)._texts()) == {"0", "1"}
    table = pa.table({"text": ["a", "b"], "label": [0.5, 1.0]})
    pq.write_table(table, tmp_path / "f.parquet")
    with pytest.raises(DataError, match=r"row 1, column 'label': 0\.5 is no class label"):
        SameLabel(tmp_path / "f.parquet")._texts()


def test_inference_labels_beside_missing_ones(tmp_path: Path) -> None:
    """Floats of pandas, with NaN where there is no agreed label."""
    frame = pd.DataFrame({"premise": ["p", "p", "p"], "hypothesis": ["e", "c", "n"],
                          "label": [0, 2, None]})  # fmt: skip
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.json")
    for suffix in ("parquet", "csv", "json"):
        pairs = NliFile(tmp_path / f"a.{suffix}").load()
        assert (pairs.text_1, pairs.text_2, pairs.negatives) == (["p"], ["e"], (["c"],))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", b"PK\x03\x04....", "a workbook is not read: save its sheet as CSV"),
        ("a.csv", b"PK\x03\x04....", "it is a zip archive or a workbook"),
        ("a.csv", b"\xd0\xcf\x11\xe0....", "workbook of Excel"),
        ("a.jsonl", b"\x80\x04....", "a pickle, which could run code"),
        ("a.csv.gz", b"text_1,text_2,label\n", "take the suffix .gz away"),
        ("a.txt", b"a\n", "which is '.txt' here; allowed: .jsonl, .csv"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """Each is named, with what to do."""
    (tmp_path / name).write_bytes(content)
    assert words in fault(tmp_path / name)


def test_the_content_tells_binary_files(tmp_path: Path) -> None:
    """A parquet file without its suffix, or with another, is one."""
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "plain.parquet")
    for name in ("train", "train.csv", "train.arrow"):
        (tmp_path / name).write_bytes((tmp_path / "plain.parquet").read_bytes())
        assert read(tmp_path / name) == BROKEN


def test_a_parquet_column_that_is_there_twice(tmp_path: Path) -> None:
    """Refused by its name where it is wanted; of no matter where it is not."""
    columns = [pa.array(["a"]), pa.array(["b"]), pa.array([1]), pa.array([0])]
    pq.write_table(pa.table(columns, names=[*HEADER, "label"]), tmp_path / "a.parquet")
    assert "'label' twice" in fault(tmp_path / "a.parquet")
    assert "rename one of them" in fault(tmp_path / "a.parquet")
    pq.write_table(pa.table([*columns[:3], *columns[:2]], names=[*HEADER, "id", "id"]),
                   tmp_path / "b.parquet")  # fmt: skip
    assert read(tmp_path / "b.parquet") == [("a", "b", 1)]
    pq.write_table(pa.table([*columns[:3], pa.array([{"x": 1}])], names=[*HEADER, "text_1.raw"]),
                   tmp_path / "c.parquet")  # fmt: skip
    assert read(tmp_path / "c.parquet") == [("a", "b", 1)]
