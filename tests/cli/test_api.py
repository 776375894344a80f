"""The Python interface: instant to import, and the same numbers as the commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import embft
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.results.scores import load_scores
from tests.helpers.commands import ROOT, Ask, program, results_of, warm_program

NOTEBOOK = ROOT / "docs" / "python.ipynb"


def test_import_loads_nothing() -> None:
    """`import embft` is as fast as Python: no other module of it, and no other package."""
    assert json.loads(program("what_import_loads", cwd=ROOT)) == []
    with pytest.raises(AttributeError, match="no attribute 'sweeep'"):
        embft.sweeep  # noqa: B018 - the access is what is tested


def test_the_leaderboard_is_leaderboard_csv(sweep: dict[str, TrialDir], ask: Ask) -> None:
    """The same rows, columns and numbers; the package of that name is still one."""
    folder = sweep["lora"].sweep.path
    rows = list(csv.DictReader(ask("leaderboard", folder, "--format", "csv").splitlines()))
    frame = embft.leaderboard(folder)
    assert list(frame.columns) == list(rows[0])
    assert list(frame["trial"]) == [row["trial"] for row in rows]
    assert "baseline" in set(frame["trial"])
    numbers = [float(row["test_spearman"]) for row in rows]
    assert list(frame["test_spearman"]) == pytest.approx(numbers)
    import embft.leaderboard.build as package

    assert package.build_leaderboard(folder).name == "shipped"
    with pytest.raises(embft.EmbftError, match="no sweep's results"):
        embft.leaderboard(folder / "trials")


def test_scores_are_the_records(sweep: dict[str, TrialDir]) -> None:
    """Each pair's texts, label and cosine, from which the record's metrics come."""
    trial = sweep["lora"]
    frame = embft.scores(trial.short, results_of(sweep))
    known = load_scores(trial.scores_file)
    for split in ("dev", "test"):
        own = frame[frame["split"] == split]
        assert np.array_equal(own["score"], known[split][1])
        assert np.array_equal(own["label"], known[split][0])
    ranks = frame[frame["split"] == "test"][["label", "score"]].rank()
    result = trial.result()
    assert isinstance(result, Completed)
    assert np.corrcoef(ranks.T)[0, 1] == pytest.approx(result.test["spearman"])
    only = embft.scores(trial.path, split="test")
    assert set(only["split"]) == {"test"}
    assert only["text_1"].str.startswith("i ").all()


def test_the_model_is_the_trials(sweep: dict[str, TrialDir]) -> None:
    """By its short name, with its template: cosines of plain texts are those of the record."""
    trial = sweep["lora"]
    model = embft.load_model(trial.short, results_of(sweep))
    pairs = embft.scores(trial.short, results_of(sweep), split="test").head(4)
    one, two = (model.encode(list(pairs[name])) for name in ("text_1", "text_2"))
    cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert cosines == pytest.approx(pairs["score"].to_numpy(), abs=1e-4)
    with pytest.raises(embft.EmbftError):
        embft.load_model("0123abcd", results_of(sweep))


def test_charts_are_those_of_the_report(sweep: dict[str, TrialDir], tmp_path: Path) -> None:
    """Altair objects that draw what `--charts` writes."""
    import altair as alt
    import vl_convert

    from embft.leaderboard.build import build_leaderboard
    from embft.report.chart import export_svg
    from embft.report.export import all_charts

    folder = sweep["lora"].sweep.path
    charts = embft.charts(folder)
    exported = all_charts(build_leaderboard(folder))
    assert list(charts) == [chart.key for chart in exported]
    chosen = next(chart for chart in exported if chart.key == "epochs")
    drawn = charts["epochs"]
    assert isinstance(drawn, alt.LayerChart)
    svg = vl_convert.vegalite_to_svg(drawn.to_dict())
    assert svg.count("<path") == export_svg(chosen).count("<path")
    drawn.save(str(tmp_path / "epochs.html"))
    assert (tmp_path / "epochs.html").stat().st_size > 1000


def test_plan_and_errors(sweep: dict[str, TrialDir], tmp_path: Path) -> None:
    """What a user can correct is an EmbftError with the command's own message."""
    results = results_of(sweep)
    path = tmp_path / "spec.yaml"
    path.write_text(sweep["lora"].sweep.spec_file.read_text())
    spec = embft.load_spec(path)
    plan = embft.plan(spec, results)
    assert plan.pending() == ()
    assert {trial.folder.path for trial in plan.trials} >= {trial.path for trial in sweep.values()}
    assert embft.plan(path, results).trials == plan.trials
    path.write_text(path.read_text() + "seeds: [1]\n")
    with pytest.raises(embft.EmbftError, match="load it again"):
        embft.sweep(spec, results)
    path.write_text("name: x\nmodels: {}\n")
    with pytest.raises(embft.EmbftError, match="unknown field 'models'"):
        embft.load_spec(path)


def test_what_a_sweep_refuses_is_raised(
    sweep: dict[str, TrialDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's message, and what it printed."""
    path = tmp_path / "spec.yaml"
    path.write_text(sweep["lora"].sweep.spec_file.read_text())
    with pytest.raises(embft.EmbftError, match="--tracker"):
        embft.sweep(path, results_of(sweep), trackers=["jsonnl"])
    assert "--tracker" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a busy machine a real sweep takes minutes
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Every cell, in order, in a process of its own: with a real sweep of two trials."""
    shown = warm_program("notebook", str(NOTEBOOK), cwd=tmp_path)
    assert json.loads(shown.splitlines()[-1]) == {"rows": 3, "embeddings": 3}
    assert "[3/3]" in shown
    assert (tmp_path / "results" / "notebook" / "report.html").exists()
