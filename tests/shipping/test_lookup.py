"""One way to name a trial, for every command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.errors import EmbftError
from embft.leaderboard.lookup import find_trial, looked_up
from embft.results.folders import TrialDir


def test_a_trial_has_many_names(sweep: dict[str, TrialDir]) -> None:
    """Its folder, its name, its name's or its key's beginning, and names within a sweep's folder;
    a sweep's folder alone means what it recommends.
    """
    trial = sweep["lora"]
    folder, results = trial.sweep.path, trial.sweep.path.parent
    names = [str(trial.path), trial.name, trial.name[:12], trial.key, trial.key[:6]]
    names += [f"{folder}/{trial.key[:6]}", f"{folder}/lora"]
    assert {find_trial(name, results).path for name in names} == {trial.path}
    assert find_trial(f"{folder}/baseline", results).name.startswith("baseline")
    recommended = find_trial(str(folder), results)
    assert recommended == find_trial(f"{folder}/recommended", results)
    assert recommended.path in {each.path for each in sweep.values()}


def test_a_name_that_fits_several_or_none_says_so(sweep: dict[str, TrialDir]) -> None:
    results = sweep["lora"].sweep.path.parent
    with pytest.raises(EmbftError, match=r"fits 2 trials .*give more of the name, or its key"):
        find_trial("method=", results)
    mistyped = sweep["full"].name.replace("method", "metod")
    with pytest.raises(EmbftError, match=r"no trial 'metod=.*did you mean 'method=full"):
        find_trial(mistyped, results)
    for model in ("sentence-transformers/all-MiniLM-L6-v2", "tiny-llama", "lora", "."):
        assert looked_up(model, results) is None


def test_copies_of_a_trial_in_two_sweeps_are_one(
    sweep: dict[str, TrialDir], tmp_path: Path
) -> None:
    """The copy whose model is still there is taken."""
    for name in ("a", "b"):
        shutil.copytree(sweep["lora"].path, tmp_path / name / "trials" / sweep["lora"].name)
    (tmp_path / "a" / "trials" / sweep["lora"].name / "model-removed.json").write_text("{}")
    found = find_trial(sweep["lora"].key[:6], tmp_path)
    assert found.sweep.path == tmp_path / "b"


def test_evaluate_takes_a_key(sweep: dict[str, TrialDir]) -> None:
    trial = sweep["lora"]
    arguments = ["evaluate", trial.key[:6], "--evaluator", "probe", "--format", "json"]
    ran = CliRunner().invoke(main, [*arguments, "--results", str(trial.sweep.path.parent)])
    assert ran.exit_code == 0, ran.output
    assert "probe_spearman" in ran.output
