"""The spec of one trial runs that trial from where it is saved, with its sweep's other fields."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import write_tables
from embft.leaderboard.one_trial import Seen, one_trial_yaml
from embft.planning.plan import make_plan
from embft.results.folders import SweepDir
from embft.spec import load_spec, parse_spec
from tests.helpers.trials import run_whole

SPEC = """\
name: study
description: Which rate?
data:
  train: ../pairs/train.jsonl
  dev: {file: ../pairs/dev.jsonl}
  test: ../pairs/test.jsonl
  groups: [kind]
model: {base: ../base}
train: {epochs: 1, batch_size: 24}
space: {train.learning_rate: [1e-3, 1e-2]}
seeds: [1, 2]
objective: {metric: auc, tolerance: 0.5, prefer: training}
resources: {memory: 20GiB, timeout: 1h}
artifacts: {keep: "top:3"}
evaluators:
  - {sts: {data: ../pairs/test.jsonl, label_range: [0, 1]}}
  - {function: "mine:score", folder: ../code}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, pair_files: Path) -> Path:
    """A folder with data, base, a user's evaluator and a spec whose sweep was run elsewhere."""
    home = tmp_path_factory.mktemp("project")
    shutil.copytree(pair_files, home / "pairs")
    shutil.copytree(tiny_model, home / "base")
    for name in ("specs", "code", "elsewhere"):
        (home / name).mkdir()
    (home / "code/mine.py").write_text("def score(context):\n    return {'one': 1.0}\n")
    (home / "specs/study.yaml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home / "elsewhere")
        run_whole(make_plan(load_spec(Path("../specs/study.yaml")), Path("out")))
        write_tables(build_leaderboard(Path("out/study")))
    return home


def test_the_recommended_spec_runs_from_where_it_is_saved(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the recommended trials, by their keys, whatever the current folder; nothing in it is
    absolute; what the sweep's spec says beside its trials is in it.
    """
    sweep = SweepDir(project / "elsewhere/out/study")
    recommended = build_leaderboard(sweep.path).recommended
    assert recommended is not None
    monkeypatch.chdir(tmp_path)
    spec = load_spec(sweep.recommended_file)
    plan = make_plan(spec, tmp_path)
    wanted = {row.folder.key for row in recommended.rows}
    assert {trial.key for trial in plan.trials if not trial.spec.is_baseline} == wanted - {
        trial.key for trial in plan.trials if trial.spec.is_baseline
    }
    text = sweep.recommended_file.read_text()
    assert str(project) not in text
    assert not re.search(r"[ :'\"]/[a-z]", text)
    original = load_spec(project / "specs/study.yaml")
    for section in ("description", "objective", "resources", "artifacts"):
        assert getattr(spec, section) == getattr(original, section)


def test_a_trials_spec_is_of_the_folder_that_it_is_meant_for(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`embft show --format spec > one.yaml` in another folder, from a moved project."""
    moved = tmp_path / "moved"
    shutil.copytree(project, moved)
    for row in build_leaderboard(moved / "elsewhere/out/study").rows:
        (tmp_path / "here").mkdir(exist_ok=True)
        saved = tmp_path / "here/one.yaml"
        monkeypatch.chdir(saved.parent)
        shown = row.spec_yaml_in(None)  # as `embft show --format spec` prints it
        assert "train: ../moved/pairs/train.jsonl" in shown
        assert f"base: {project / 'base'}" in shown  # as the sweep found it
        saved.write_text(row.spec_yaml_in(Path.cwd()))
        monkeypatch.chdir(tmp_path)
        keys = {trial.key for trial in make_plan(load_spec(saved), tmp_path / "out").trials}
        assert row.folder.key in keys
        assert str(moved) not in saved.read_text()


def test_a_linked_results_folder_leads_back_to_the_files(tmp_path: Path) -> None:
    """`..` from a folder behind a link is where the link leads to; a linked file keeps its name."""
    (tmp_path / "far/away/results").mkdir(parents=True)
    (tmp_path / "home/pairs").mkdir(parents=True)
    (tmp_path / "stored").write_text("here")
    (tmp_path / "home/pairs/train.csv").symlink_to(tmp_path / "stored")
    (tmp_path / "home/results").symlink_to(tmp_path / "far/away/results")
    (tmp_path / "home/results/mine").mkdir()
    folder = tmp_path / "home/results/mine"
    path = Seen(tmp_path / "home", folder) / "pairs/train.csv"
    assert (folder / path).read_text() == "here"
    assert path.endswith("train.csv")
    assert Seen(folder, folder) / "~mine.csv" == "./~mine.csv"


@pytest.mark.parametrize("text", ["1e3", "0x1F", "1_000", "true", "yes", "12:30:45", "null", "~x"])
def test_texts_that_look_like_numbers_stay_texts(text: str) -> None:
    """By our reader, which follows YAML 1.2, whatever the library's writer takes them for."""
    given = parse_spec(
        f"name: a\ndata: {{train: f, columns: {{text_1: {text!r}, text_2: 'b'}}}}\n"
        "model: {template: '\U0001f642 {text}'}\n"
    )
    ((_, trial),) = given.trials()
    again = parse_spec(one_trial_yaml(trial, "a" * 100))
    assert [other for _, other in again.trials()] == [trial]
    assert len(again.name) == 100


def test_a_sweep_without_its_spec_still_has_its_trials(project: Path, tmp_path: Path) -> None:
    """Sweeps of older versions, and those whose spec was damaged, lack what only it says."""
    folder = tmp_path / "study"
    shutil.copytree(project / "elsewhere/out/study", folder)
    (folder / "spec.yaml").write_text("[")
    text = build_leaderboard(folder).recommended_yaml
    assert text is not None
    assert "resources" not in yaml.safe_load(text)
