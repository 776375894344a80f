"""Results that can be trusted, through the command line: evaluators of the spec, and no test split.

A real sweep on a tiny model with every kind of evaluator, its objective one of theirs.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embft.data.build import load_data
from embft.errors import EmbftError
from embft.execution.evaluate import evaluate_model, read_evaluator
from embft.metrics.pairs import pair_metrics
from embft.planning.audit import audit_with
from embft.planning.plan import make_plan
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.results.scores import load_scores
from embft.spec import DataSpec, ModelSpec, load_spec
from embft.storage.seal import sealed, unsealed
from tests.helpers.commands import embft

_MINE = """\
import helper

def mine(context):
    return {"dev": {"words": helper.count(context.splits.dev)},
            "test": {"words": helper.count(context.splits.test)}}
"""
_HELPER = """\
def count(pairs):
    return sum(len(text.split()) for text in pairs.text_1)
"""


def _spec(folder: Path, tiny_model: Path, pair_files: Path, **more: str) -> Path:
    things = ["dogs", "cats", "tea", "coffee"]
    for name, start in (("texts", 0), ("others", 1)):
        rows = [
            f"i {verb} {thing} {i},{'pets' if thing in {'dogs', 'cats'} else 'drinks'}"
            for i, verb in enumerate(["like", "love", "hate"][start:])
            for thing in things
        ]
        (folder / f"{name}.csv").write_text("what,kind\n" + "\n".join(rows) + "\n")
    (folder / "graded.tsv").write_text(
        "one\ttwo\tscore\n"
        + "".join(f"i like {a}\twe like {b}\t{5.0 * (a == b)}\n" for a in things for b in things)
    )
    (folder / "my_metrics.py").write_text(_MINE)
    (folder / "helper.py").write_text(_HELPER)
    objective = more.get("objective", "v_measure")
    path = folder / "results.yaml"
    path.write_text(f"""\
name: results
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 2, batch_size: 8}}
space: {{train.learning_rate: [1e-3, 1e-2]}}
objective: {{metric: {objective}}}
evaluators:
  - my_metrics:mine
  - probe
  - clustering:
      {{data: texts.csv, dev: others.csv, text: what, label: kind, draws: 3, draw_size: 20}}
  - name: second
    clustering: {{data: others.csv, text: what, label: kind, draws: 2, draw_size: 20}}
  - classification: {{data: texts.csv, text: what, label: kind, samples_per_label: 2, draws: 3}}
  - sts: {{data: graded.tsv, columns: {{text_1: one, text_2: two, label: score}}}}
""")
    return path


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, pair_files: Path
) -> Iterator[Path]:
    """The folder of one finished sweep; the user's own files are gone by then."""
    home = tmp_path_factory.mktemp("results")
    _spec(home, tiny_model, pair_files)
    embft("sweep", "results.yaml", cwd=home)
    yield home / "results" / "results"
    shutil.rmtree(home)


def _completed(folder: Path) -> list[Completed]:
    found = [TrialDir(path.parent).result() for path in sorted(folder.glob("trials/*/result.json"))]
    return [result for result in found if isinstance(result, Completed)]


def _board(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "leaderboard.json").read_text())
    return content


@pytest.mark.slow
def test_every_evaluator_of_the_spec_gives_its_metrics(finished: Path) -> None:
    """The user's function runs in the worker with the module that it imports; labelled texts and
    graded pairs are scored; a name stands before its metrics; baseline and trials have them all.
    """
    results = _completed(finished)
    assert len(results) == 3
    for result in results:
        assert result.undefined.keys() <= {"kendall"}, result.undefined
        assert result.dev["words"] == result.test["words"] > 0
        assert {"v_measure", "v_measure_spread", "second_v_measure"} <= result.test.keys()
        assert "second_v_measure" not in result.dev, "it has no dev file"
        low, high = result.test_intervals["classification_accuracy"]
        assert low <= result.test["classification_accuracy"] <= high
        assert {"sts_spearman", "sts_pearson", "classification_f1"} <= result.test.keys()
        assert result.test_intervals["probe_spearman"][0] < result.test["probe_spearman"]


@pytest.mark.slow
def test_a_record_is_recomputed_from_its_scores(finished: Path) -> None:
    """Who has `scores.parquet` and the threshold gets every pair metric of the record to 1e-9."""
    for path in sorted(finished.glob("trials/*/result.json")):
        folder = TrialDir(path.parent)
        result = folder.result()
        assert isinstance(result, Completed)
        for split, (label, score) in load_scores(folder.scores_file).items():
            recorded = {"dev": result.dev, "test": result.test}[split]
            found = pair_metrics(score, label, result.threshold or 0.0)
            assert len(found) >= 11
            assert {name: recorded[name] for name in found} == pytest.approx(found, abs=1e-9)


def test_scores_in_single_precision_are_still_read(tmp_path: Path) -> None:
    """Files of versions before 6 have them."""
    content = {"split": ["dev"] * 3, "row": [2, 0, 1], "label": [0.0, 1.0, 0.5]}
    scores = pa.array([0.3, 0.1, 0.2], pa.float32())
    pq.write_table(pa.table({**content, "score": scores}), tmp_path / "scores.parquet")
    label, score = load_scores(tmp_path / "scores.parquet")["dev"]
    assert label.tolist() == [1.0, 0.5, 0.0]
    assert score == pytest.approx([0.1, 0.2, 0.3], abs=1e-7)


@pytest.mark.slow
def test_an_evaluators_metric_chooses_the_epoch(finished: Path) -> None:
    """With v_measure as objective it is measured after each epoch, on dev's own file, and the best
    epoch is the first one with the highest.
    """
    for result in _completed(finished):
        if not result.spec.is_baseline:
            curve = [epoch.dev["v_measure"] for epoch in result.epochs]
            assert len(curve) == 2
            assert result.best_epoch == curve.index(max(curve)) + 1
            assert result.dev["v_measure"] == pytest.approx(max(curve), abs=1e-9)
    leaderboard = _board(finished)
    assert leaderboard["metric"] == "v_measure"
    # It leaves a value for each draw, so that configurations are compared by it as by any other.
    assert leaderboard["scope"] in {"trained models", "configurations"}


@pytest.mark.slow
def test_the_drop_on_the_probe_is_against_the_base_model(finished: Path) -> None:
    """Each trained row says how much of the probe's score it lost; the baseline has no drop."""
    with (finished / "leaderboard.csv").open(newline="") as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    base = rows.pop("baseline")
    assert base["test_probe_drop"] == ""
    for row in rows.values():
        drop = float(base["test_probe_spearman"]) - float(row["test_probe_spearman"])
        assert float(row["test_probe_drop"]) == pytest.approx(drop)


@pytest.mark.slow
def test_calibration_stands_in_the_record(finished: Path) -> None:
    """Brier score with its interval, and a reliability curve that holds every test pair."""
    for result in _completed(finished):
        low, high = result.test_intervals.get("brier", (0, 0))  # a perfect score has none
        assert 0 <= low <= result.test["brier"] <= high <= 1
        assert high > 0 or not result.spec.is_baseline
        assert sum(point["n"] for point in result.reliability) == 24
        assert {"welch_p", "false_positives"} <= result.test.keys()


@pytest.mark.slow
def test_the_winners_luck_is_said_where_there_is_no_test_split(
    tmp_path: Path, finished: Path
) -> None:
    """leaderboard.json has the estimate, and the cautions say it in words; for a metric of the
    pairs, whose scores can be cut into folds.
    """
    shutil.copytree(finished, tmp_path / "results" / "results")
    folder = tmp_path / "results" / "results"
    plan = folder / "plan.json"
    plan.write_text(sealed({**unsealed(plan), "metric": "spearman"}))
    embft("report", str(folder), cwd=tmp_path)
    leaderboard = _board(folder)
    found = leaderboard["optimism"]
    assert found["configurations"] == 2
    assert found["corrected"] == pytest.approx(found["naive"] - found["estimate"])
    assert any("cross-fitting" in sentence for sentence in leaderboard["warnings"])
    assert _board(finished)["optimism"] is None


def test_what_an_evaluator_reads_is_part_of_the_key(
    tmp_path: Path, tiny_model: Path, pair_files: Path
) -> None:
    """An edited module, a module that it imports, or an edited file makes other trials; the files'
    place does not.
    """

    def keys(folder: Path) -> list[str]:
        spec = _spec(folder, tiny_model, pair_files)
        return [t.key for t in make_plan(load_spec(spec), tmp_path / "none").trials]

    def edited(name: str, file: str, text: str) -> list[str]:
        folder = tmp_path / name
        folder.mkdir()
        spec = _spec(folder, tiny_model, pair_files)
        with (folder / file).open("a") as into:
            into.write(text)
        return [t.key for t in make_plan(load_spec(spec), tmp_path / "none").trials]

    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    same = keys(tmp_path / "here")
    assert keys(tmp_path / "there") == same
    for name, file, text in (
        ("module", "my_metrics.py", "# another\n"),
        ("imported", "helper.py", "# another\n"),
        ("data", "texts.csv", "i like films,films\n"),
        ("dev", "others.csv", "i like films,films\n"),
    ):
        assert not set(edited(name, file, text)) & set(same), name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("my_metrics:mine", "my_metric:mine", "did you mean 'my_metrics'"),
        ("my_metrics:mine", "my_metrics:min", "has no 'min'; did you mean 'mine'"),
        ("texts.csv, dev", "text.csv, dev", "text.csv: cannot be read"),
        (
            "text: what, label: kind, draws: 3",
            "text: what, label: kin, draws: 3",
            "no column 'kin'",
        ),
        ("name: second", "name: 2nd", "evaluators.3.name"),
        ("metric: v_measure", "metric: v_mesure", "did you mean 'v_measure'"),
        ("dev: others.csv, ", "", "with its own `dev` file"),
        ("name: second\n    clustering", "clustering", "give each a `name`"),
    ],
)
def test_a_faulty_evaluator_is_refused_when_planned(  # noqa: PLR0917 - fixtures are arguments
    tmp_path: Path, tiny_model: Path, pair_files: Path, old: str, new: str, message: str
) -> None:
    """`embft plan` ends with status 2 and says what is wrong, before anything runs."""
    spec = _spec(tmp_path, tiny_model, pair_files)
    content = spec.read_text()
    assert old in content
    if "v_m" in old + new or not new:  # a user's function could give any metric
        content = content.replace("  - my_metrics:mine\n", "")
    spec.write_text(content.replace(old, new))
    run = embft("plan", "results.yaml", cwd=tmp_path, check=2)
    assert message in " ".join(run.stderr.split()), run.stderr
    assert "Traceback" not in run.stderr


def test_evaluate_takes_a_specs_evaluators_and_labelled_texts_alone(
    tmp_path: Path, tiny_model: Path, pair_files: Path
) -> None:
    """`embft evaluate` runs what the spec names, and files of labelled texts without any pairs."""
    _spec(tmp_path, tiny_model, pair_files)
    run = embft(
        "evaluate", str(tiny_model), "--data", "results.yaml", "--format", "json", cwd=tmp_path
    )
    metrics = {(row["split"], row["metric"]): row["value"] for row in json.loads(run.stdout)}
    assert {("dev", "v_measure"), ("test", "words"), ("test", "sts_spearman")} <= metrics.keys()
    entry = "{clustering: {data: texts.csv, text: what, label: kind, draws: 3, draw_size: 20}}"
    alone = embft(
        "evaluate", str(tiny_model), "--evaluator", entry, "--format", "json", cwd=tmp_path
    )
    found = {row["metric"]: row["value"] for row in json.loads(alone.stdout)}
    assert found["v_measure"] == pytest.approx(metrics["test", "v_measure"], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{clusterin: {data: x}}", "clusterin: Extra inputs"),
        ("clustrs", "did you mean 'clusters'"),
        ("{clustering: {data: [}}", "Write it as in a spec"),
        ("[1]", "Write it as in a spec"),
    ],
)
def test_an_entry_on_the_command_line_is_checked(text: str, message: str) -> None:
    """What is no entry of a spec is refused with what is allowed."""
    with pytest.raises(EmbftError, match=message):
        read_evaluator(text)


def test_an_entry_that_needs_pairs_is_refused_without_them(tiny_model: Path) -> None:
    """Without --data only evaluators with data of their own can run."""
    with pytest.raises(EmbftError, match="'clusters' needs pairs"):
        evaluate_model(str(tiny_model), None, [read_evaluator("clusters")])


def test_the_audit_counts_tokens_as_the_model_does(tiny_model: Path, pair_files: Path) -> None:
    """Texts beyond the spec's own limit are found with the base model's tokenizer."""
    splits = load_data(DataSpec(train=f"{pair_files}/train.jsonl", dev=f"{pair_files}/dev.jsonl"))
    short = audit_with(splits, ModelSpec(base=str(tiny_model), max_tokens=6)).find("overlong_texts")
    assert short is not None
    assert short.details["max_tokens"] == 6
    assert short.examples[0]["tokens"] > 6
    for model in (ModelSpec(base=str(tiny_model)), None):
        assert audit_with(splits, model).find("overlong_texts") is None
