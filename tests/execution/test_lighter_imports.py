"""What importing sentence-transformers brings along for nothing is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

from embft.results.folders import TrialDir
from tests.helpers.commands import program


def test_workers_import_no_more_than_they_need(tiny_model: Path) -> None:
    """No scikit-learn, datasets and pandas, nor does opening a model need them; they are there as
    soon as something calls them.
    """
    program("what_workers_import", arguments=[str(tiny_model)])


def test_a_trial_imports_nothing_heavy(copied: dict[str, TrialDir]) -> None:
    """Neither its training nor its scores, which every trial would pay for."""
    for folder in copied.values():
        folder.result_file.unlink()
        folder.trained_file.unlink(missing_ok=True)
        shutil.rmtree(folder.model_folder, ignore_errors=True)
    program("what_a_trial_imports", arguments=[str(each.path) for each in copied.values()])
