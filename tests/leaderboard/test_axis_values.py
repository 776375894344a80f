"""Axes whose values are mappings, lists, paths or long texts: a short name for each."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from embft.cli.tables import leaderboard_table
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.labels import config_label
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.spec import SweepSpec, load_spec, parse_spec
from embft.spec.names import distinct_names, folder_name, value_name
from tests.helpers.commands import embft

# What Python and JSON write of a mapping, also escaped in a page.
_PYTHON = re.compile(r"\{(['\"]|&#39;|&quot;|&#34;)\w+(['\"]|&#39;|&quot;|&#34;): ")


@pytest.mark.parametrize(
    ("value", "name", "folder"),
    [
        ({"name": "cosent", "temperature": 0.05}, "cosent (temperature 0.05)",
         "cosent+temperature=0.05"),
        ({"rank": 8, "alpha": 16}, "rank 8, alpha 16", "rank=8+alpha=16"),
        ({"file": "a/b/test.csv", "columns": {"label": "score"}},
         "test.csv (columns [label score])", "test.csv+columns=label=score"),
        (["query", "value"], "query, value", "query+value"),
        ([0, 5.0], "0, 5", "0+5"),
        ({}, "defaults", ""),
    ],
)  # fmt: skip
def test_names_are_words(value: object, name: str, folder: str) -> None:
    """Mappings and lists in words, and in the name of a folder."""
    assert (value_name(value), folder_name(value)) == (name, folder)


def test_names_tell_values_apart() -> None:
    """Of paths as much as it takes; long texts at either end; what is left gets a number."""
    paths = distinct_names("model.base", ["/data/one/model", "/data/two/model"])
    assert list(paths.values()) == ["one/model", "two/model"]
    texts = ["Represent this text for the search of passages: {text}" + end for end in ("a", "b")]
    assert len(set(distinct_names("model.template", [t * 3 for t in texts]).values())) == 2
    shards = [[f"{i}.csv" for i in range(20)], [f"{i}.csv" for i in range(20) if i != 9]]
    assert list(distinct_names("data.train", shards).values()) == [
        "0.csv, 1.csv and 18 more", "0.csv, 1.csv and 17 more",
    ]  # fmt: skip
    mined = [{"number": 3}, {"number": 3, "margin": None}, {"number": 5}]
    assert list(distinct_names("data.negatives", mined).values()) == [
        "number 3", "number 3, margin none", "number 5",
    ]  # fmt: skip
    alike = [[f"{i}.csv" for i in (*range(19), last)] for last in (30, 40)]
    assert list(distinct_names("data.train", alike).values()) == [
        "0.csv, 1.csv and 18 more (1)", "0.csv, 1.csv and 18 more (2)",
    ]  # fmt: skip


def _spec(train: str, space: str) -> SweepSpec:
    return parse_spec(f"name: a\ndata: {{train: a.jsonl}}\ntrain: {train}\nspace:\n  {space}\n")


def test_a_mapping_is_merged_into_the_section() -> None:
    """What an axis does not name stays; a name alone is the short form of a mapping."""
    section = "{lora: {alpha: 4}, loss: {name: cosent, temperature: 0.1}, method: lora}"
    lora = "train.lora: [{rank: 2}, {rank: 4, alpha: 8}]"
    spec = _spec(section, f"{{{lora}, train.loss: [angle, cosent]}}")
    found = [(t.train.lora.rank, t.train.lora.alpha, t.train.loss) for _, t in spec.trials()]
    assert {(rank, alpha) for rank, alpha, _ in found} == {(2, 4.0), (4, 8.0)}
    assert {loss.temperature for *_, loss in found} == {0.1}


def test_sections_as_axes_give_the_same_trials_as_their_fields() -> None:
    """However a point is written it is the same trial, and comes once."""
    points = [
        "{train.lora: [{rank: 2}], train.method: [lora]}",
        "{train.lora.rank: [2], train: [{method: lora}]}",
        "{data: [{train: a.jsonl}], train: [{lora: {rank: 2}, method: lora}]}",
    ]
    spec = _spec("{}", f"[{', '.join(points)}]")
    assert len(list(spec.trials())) == 1


@pytest.mark.slow
def test_no_python_is_shown_anywhere(tmp_path: Path, tiny_model: Path, pair_files: Path) -> None:
    """Losses with parameters, adapters, noise, data and a wording as axes: on the terminal, in the
    table, the recommendation, Markdown, page and the names of folders there are words.
    """
    shutil.copy(pair_files / "dev.jsonl", tmp_path / "other.jsonl")
    (tmp_path / "s.yaml").write_text(f"""\
name: shapes
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 1, batch_size: 16, learning_rate: 1e-2}}
space:
  - train.method: [lora]
    train.lora: [{{rank: 2, target_modules: [value, query]}}]
  - train.loss: [{{name: contrastive, margin: 0.4}}]
    data.noise: [{{delete_words: 0.2}}]
  - data: [{{train: other.jsonl}}]
    model.template: ["Represent: {{text}}"]
""")
    printed = embft("sweep", "s.yaml", cwd=tmp_path).stdout
    for arguments in (["plan", "s.yaml"], ["leaderboard", "results/shapes"],
                      ["report", "results/shapes", "--format", "md"]):  # fmt: skip
        printed += embft(*arguments, cwd=tmp_path).stdout
    folder = tmp_path / "results" / "shapes"
    page = (folder / "report.html").read_text()
    table = (folder / "leaderboard.csv").read_text()
    assert not _PYTHON.search(printed + table)
    assert not re.search(r"\{('|&#39;)\w+('|&#39;): ", page)
    assert "contrastive (margin 0.4)" in printed
    assert "contrastive (margin 0.4)" in page
    names = {row["train.loss"] for row in csv.DictReader(io.StringIO(table))}
    assert "contrastive (margin 0.4)" in names
    trials = json.loads((folder / "leaderboard.json").read_text())["trials"]
    assert {"name": "contrastive", "margin": 0.4} in [row["train.loss"] for row in trials]
    assert any("loss=contrastive+margin=0.4" in path.name for path in folder.glob("trials/*"))


def test_a_narrow_terminal_shows_whole_words(
    tmp_path: Path, tiny_model: Path, pair_files: Path
) -> None:
    """Where axes have no room side by side they share a column, and no base is cut to `/tm…`."""
    (tmp_path / "one").symlink_to(tiny_model)
    (tmp_path / "two").symlink_to(tiny_model)
    (tmp_path / "s.yaml").write_text(f"""\
name: bases
data: {{train: {pair_files}/train.jsonl}}
space: {{model.base: [{tmp_path}/one, {tiny_model}], model.pooling: [mean, weighted_mean],
  train.learning_rate: [1e-3, 1e-2], train.schedule: [constant, linear],
  train.loss: [cosine_similarity, cosent]}}
""")
    plan = make_plan(load_spec(tmp_path / "s.yaml"), tmp_path / "results")
    prepare(plan, retry_failed=False)
    leaderboard = build_leaderboard(tmp_path / "results" / "bases")
    console = Console(width=80, record=True)
    console.print(leaderboard_table(leaderboard, 80))
    text = console.export_text()
    assert "…" not in text
    assert "configuration" in text
    assert str(tmp_path) not in text
    assert "weighted_mean" in config_label(leaderboard.rows[-1].params, leaderboard.axes)
