"""Whatever a spec and a data file hold: a valid plan, or an error of one screen. Never a traceback.

Each case goes through the command line, as a user's files do.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embft.cli.main import main
from embft.spec.space import axis_names

SHORT, LONG = 120, 5000
_quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
short = settings(max_examples=SHORT, deadline=None, suppress_health_check=_quiet)
long = settings(max_examples=LONG // 2, deadline=None, suppress_health_check=_quiet)


def plan(folder: Path) -> tuple[int, str]:
    """`embft plan` on the folder's spec: exit status and output. Anything unforeseen is raised."""
    found = CliRunner().invoke(
        main,
        ["plan", str(folder / "spec.yaml"), "--results", str(folder / "results")],
        catch_exceptions=False,
    )
    return found.exit_code, found.output


def answered(folder: Path) -> None:
    """The command ends with a plan, or with one screen of an error."""
    code, output = plan(folder)
    assert code in {0, 2}, output
    assert "Traceback" not in output
    if code == 2:
        assert "embft: " in output or "Usage: " in output
        assert len(output.splitlines()) <= 24
        assert len(output) <= 2000


# Specs: every field, with values that fit, nearly fit and do not fit.
odd: st.SearchStrategy[object] = st.sampled_from([
    None, True, 0, -1, 1, 2, 1e309, "", " ", "~", "no", "2e-5", "1_000", "\x00", "\u202e",
    "\x1b[31m", "../../etc", "/dev/zero", "~nobody/x", "a" * 300, [], {}, [[]], [None], {"a": 1},
    "=1+1", "é", "\ud800", 10**400, "12:30:45", float("nan"), "lora", "spearman", "dating", "full",
])  # fmt: skip
values = st.one_of(odd, st.integers(), st.floats(), st.text(max_size=20), st.lists(odd, max_size=3))
axes = st.sampled_from(axis_names()) | st.text(max_size=10)
sections = {
    name: st.dictionaries(
        st.sampled_from([a.split(".")[1] for a in axis_names() if a.startswith(f"{name}.")])
        | st.text(max_size=8),
        values,
        max_size=4,
    )
    for name in ("data", "model", "train")
}
specs = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "../x", "a/b", ".", "", "CON", "a" * 200]) | values},
    optional={
        **{name: section | values for name, section in sections.items()},
        "space": st.dictionaries(axes, st.lists(values, max_size=4) | values, max_size=3) | values,
        "seeds": st.lists(st.integers(), max_size=3) | values,
        "objective": st.dictionaries(st.sampled_from(["metric", "mode"]), values) | values,
        "resources": st.dictionaries(st.sampled_from(["memory", "concurrent_trials"]), values),
        "evaluators": st.lists(odd, max_size=2),
        "description": values,
    },
)
marks = "abc: -[]{}\n\t#&*!|>'\"0123456789.e_~,%@`?<=\x00\x1b\ufeff\u202e\ud800"
texts = st.one_of(
    st.text(alphabet=marks, max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")),
    st.binary(max_size=200),
    st.integers(1, 3000).map(lambda n: b"a: " + b"[" * n),
    st.integers(1, 3000).map(lambda n: b"- " * n),
    st.integers(1, 40).map(lambda n: b"a: &a [1]\n" + b"".join(b"k%d: *a\n" % i for i in range(n))),
)


def _yaml(content: object) -> bytes:
    try:
        return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return json.dumps(content).encode()


def fuzz_spec(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spec.yaml").write_bytes(content)
    answered(tmp_path)


# Data: rows that are right, with one thing wrong with them.
def rows(kind: str, count: int) -> list[str]:
    pairs = [(f"text {i}, quoted", f"other {i}", i % 2) for i in range(count)]
    if kind == "jsonl":
        return [json.dumps(dict(zip(("text_1", "text_2", "label"), p, strict=True))) for p in pairs]
    mark = {"csv": ",", "tsv": "\t"}[kind]
    return [
        mark.join(("text_1", "text_2", "label")),
        *(mark.join((f'"{a}"', f'"{b}"', str(label))) for a, b, label in pairs),
    ]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


spoil: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda raw: raw,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "Latin-1": lambda raw: raw.replace(b"text", "t\u00e9xt".encode("latin-1")),
    "a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "a byte order mark inside": lambda raw: raw.replace(b"text 3", b"\xef\xbb\xbftext 3"),
    "NUL": lambda raw: raw.replace(b"text 2", b"te\x00t"),
    "an escaped NUL": lambda raw: raw.replace(b"text 2", b"te\\u0000t"),
    "half a surrogate": lambda raw: raw.replace(b"text 2", b"\\ud800"),
    "a raw surrogate": lambda raw: raw.replace(b"text 2", _bytes("\ud800")),
    "a lone quote": lambda raw: raw.replace(b'"', b"", 1),
    "ragged rows": lambda raw: raw.replace(b",1", b",1,1"),
    "a label NaN": lambda raw: raw.replace(b"1\n", b"NaN\n").replace(b"1}", b"NaN}"),
    "a label beyond all": lambda raw: raw.replace(b"1}", b"1e999}").replace(b"1\n", b"1e999\n"),
    "carriage returns": lambda raw: raw.replace(b"\n", b"\r"),
    "both line ends": lambda raw: raw.replace(b"\n", b"\r\n"),
    "depth": lambda raw: raw + b'{"text_1": ' + b"[" * 50_000,
    "cut": lambda raw: raw[: len(raw) * 2 // 3],
    "empty": lambda _: b"",
    "blank lines": lambda raw: raw.replace(b"\n", b"\n\n \n"),
    "one line twice as a header": lambda raw: raw.split(b"\n", 1)[0] + b"\n" + raw,
    "no end": lambda raw: raw.rstrip(),
    "control characters": lambda raw: raw.replace(b"other", b"\x1b[31m\x07\xe2\x80\xae"),
    "markup": lambda raw: raw.replace(b"other", b"</script><script>alert(1)</script>"),
    "10 MB in a line": lambda raw: raw.replace(b"other 1", b"o" * 10_000_000),
}


def fuzz_data(tmp_path: Path, kind: str, faults: list[str], cut: int, zipped: bool) -> None:
    raw = _bytes("\n".join(rows(kind, 24)) + "\n")
    for fault in faults:
        try:
            raw = spoil[fault](raw)
        except UnicodeDecodeError:
            continue
    raw = raw[: len(raw) - cut]
    name = f"train.{kind}" + (".gz" if zipped else "")
    (tmp_path / name).write_bytes(gzip.compress(raw, 1) if zipped else raw)
    (tmp_path / "spec.yaml").write_text(
        f"name: a\ndata: {{train: {name}}}\nmodel: {{base: {os.environ['EMBFT_FUZZ_MODEL']}}}\n"
    )
    answered(tmp_path)


@pytest.fixture(autouse=True)
def _model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBFT_FUZZ_MODEL", str(tiny_model))


kinds = st.sampled_from(["jsonl", "csv", "tsv"])
faults = st.lists(st.sampled_from(sorted(set(spoil) - {"10 MB in a line"})), min_size=1, max_size=3)
heavier = st.lists(st.sampled_from(sorted(spoil)), min_size=1, max_size=3)
cuts = st.sampled_from([0, 0, 0, 1, 2, 17])


@short
@given(specs.map(_yaml) | texts)
def test_any_spec(tmp_path: Path, content: bytes) -> None:
    """Fields with impossible values, bytes that are no YAML, depth, aliases, odd characters."""
    fuzz_spec(tmp_path, content)


@short
@given(kinds, faults, cuts, st.booleans())
def test_any_data(tmp_path: Path, kind: str, faults: list[str], cut: int, zipped: bool) -> None:
    """Encodings, marks, quotes, ragged rows, labels, depth, damage, in every text format."""
    fuzz_data(tmp_path, kind, faults, cut, zipped)


def test_ten_megabytes_in_a_line(tmp_path: Path) -> None:
    """A long line is a line."""
    fuzz_data(tmp_path, "jsonl", ["10 MB in a line"], 0, zipped=False)
    assert plan(tmp_path)[0] == 0


@pytest.mark.long
@long
@given(specs.map(_yaml) | texts)
def test_any_spec_long(tmp_path: Path, content: bytes) -> None:
    """As above, 2,500 cases."""
    fuzz_spec(tmp_path, content)


@pytest.mark.long
@long
@given(kinds, heavier, cuts, st.booleans())
def test_any_data_long(
    tmp_path: Path, kind: str, faults: list[str], cut: int, zipped: bool
) -> None:
    """As above, 2,500 cases, long lines among them."""
    fuzz_data(tmp_path, kind, faults, cut, zipped)
