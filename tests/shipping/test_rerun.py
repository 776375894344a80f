"""`embft verify TRIAL`: the record is run again elsewhere, and the sweep is left alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from embft.errors import EmbftError
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.shipping.rerun import run_again
from embft.storage.seal import sealed
from tests.helpers.commands import embft


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_trial_that_is_run_again_is_identical(sweep: dict[str, TrialDir], tmp_path: Path) -> None:
    """To the last digit of each pair, by the command and by the beginning of its key; nothing in
    the sweep's folder is written, and nothing is left elsewhere.
    """
    trial = sweep["lora"]
    results = trial.sweep.path.parent
    before = _state(results)
    ran = embft("verify", trial.key[:6], "--results", str(results), cwd=tmp_path)
    assert f"{trial.name}: identical" in ran.stdout
    assert "environment: the same" in ran.stdout
    assert _state(results) == before


def _edited(trial: TrialDir, folder: Path, shift: float) -> TrialDir:
    """A copy of the sweep in which the trial's record has another score and another version."""
    shutil.copytree(trial.sweep.path, folder)
    copy = TrialDir(folder / "trials" / trial.name)
    record = json.loads(copy.result_file.read_text())
    record.pop("seal")
    low, high = record["test_intervals"]["spearman"]
    record["test"]["spearman"] += shift
    record["test_intervals"]["spearman"] = [low + shift, high + shift]
    record["provenance"]["packages"]["torch"] = "1.0"
    copy.result_file.write_text(sealed(record))
    return copy


@pytest.mark.parametrize(("shift", "outcome"), [(1e-6, "inside the interval"), (5.0, "different")])
def test_another_score_is_told_with_what_changed(
    sweep: dict[str, TrialDir], tmp_path: Path, shift: float, outcome: str
) -> None:
    """Whether it lies in the interval, and what of the environment is another."""
    found = run_again(_edited(sweep["none"], tmp_path / "sweep", shift))
    assert found.outcome == outcome
    assert list(found.changed) == ["torch"]
    assert found.changed["torch"][0] == "1.0"


def test_what_cannot_be_run_again_says_why(sweep: dict[str, TrialDir], tmp_path: Path) -> None:
    """No result, no data, another base model."""
    copy = tmp_path / "sweep"
    shutil.copytree(sweep["none"].sweep.path, copy)
    trial = TrialDir(copy / "trials" / sweep["none"].name)
    shutil.rmtree(trial.sweep.data_folder)
    with pytest.raises(EmbftError, match="its data is not there"):
        run_again(trial)
    result = trial.result()
    assert isinstance(result, Completed)
    trial.result_file.unlink()
    with pytest.raises(EmbftError, match="it has not finished"):
        run_again(trial)
