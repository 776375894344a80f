"""A name in a spec or on the command line that matches nothing is refused, with that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from embft.cli.data import check_breakdown, given_splits
from embft.data.pairs import Splits
from embft.errors import EmbftError
from embft.planning.plan import make_plan
from embft.spec import load_spec, parse_spec

FILES = {
    "pairs.jsonl": '{"text_1": "a %d", "text_2": "b %d", "label": %d, "kind": "x"}\n',
    "labelled.jsonl": '{"text": "a %d b %d", "label": "%d"}\n',
}


@pytest.mark.parametrize(
    ("given", "name", "meant"),
    [
        ("data: {train: pairs.jsonl, groups: [kind, knid]}", "knid", "kind"),
        ("data: {train: pairs.jsonl, columns: {label: lable}}", "lable", "label"),
        ("data: {train: pairs.jsonl, dev: {file: pairs2.jsonl, groups: [kin]}}", "kin", "kind"),
        ("data: {same_label: {file: labelled.jsonl, labels: ['0', '1', '10']}}", "10", "0, 1, 2"),
        ("data: {same_label: {file: labelled.jsonl, text: txt}}", "txt", "text"),
        ("data: {train: pairs.jsonl}\n"
         "evaluators: [{clustering: {data: labelled.jsonl, labels: ['0', '1', two]}}]", "two",
         "0, 1, 2"),
        ("data: {train: pairs.jsonl}\n"
         "evaluators: [{classification: {data: labelled.jsonl, label: lab}}]", "lab", "label"),
        ("data: {train: pairs.jsonl}\nevaluators: [collapse, retrival]", "retrival", "retrieval"),
        ("data: {train: pairs.jsonl}\nobjective: {metric: spearmann}", "spearmann", "spearman"),
    ],
)  # fmt: skip
def test_a_name_that_matches_nothing_is_refused(
    tmp_path: Path, tiny_model: Path, given: str, name: str, meant: str
) -> None:
    """By the plan, with that name and what there is, also where others of its list match."""
    for file, line in FILES.items():
        text = "".join(line % (i, i * 7, i % (2 if "pairs" in file else 3)) for i in range(40))
        (tmp_path / file).write_text(text)
    (tmp_path / "pairs2.jsonl").write_text((tmp_path / "pairs.jsonl").read_text())
    (tmp_path / "s.yaml").write_text(f"name: a\n{given}\nmodel: {{base: {tiny_model}}}\n")
    with pytest.raises(EmbftError) as error:
        make_plan(load_spec(tmp_path / "s.yaml"), tmp_path / "results")
    assert f"{name!r}" in str(error.value)
    assert meant in str(error.value)


def test_a_breakdown_by_no_column_is_refused(splits: Splits) -> None:
    """Also where the data is a spec's, whose groups are its own."""
    with pytest.raises(EmbftError, match="no group column 'knid'"):
        check_breakdown(splits, ["knid"])
    with pytest.raises(EmbftError, match="--data"):
        check_breakdown(None, ["kind"])


def test_what_would_not_be_used_is_refused(tmp_path: Path, pair_files: Path) -> None:
    """Columns for files that are not there, and options beside a spec that says it all."""
    with pytest.raises(EmbftError, match="groups would not be used"):
        parse_spec("name: a\ndata: {nli: {file: x.jsonl}, groups: [kind]}")
    (tmp_path / "s.yaml").write_text(f"name: a\ndata: {{train: {pair_files}/train.jsonl}}\n")
    with pytest.raises(EmbftError, match="leave --columns and --label-range out"):
        given_splits((tmp_path / "s.yaml",), (0.0, 5.0), ("text_1", "text_2", "label"))
