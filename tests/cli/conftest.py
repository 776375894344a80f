"""Commands in the test's own process, and a finished sweep to give them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.results.folders import SweepDir, TrialDir
from tests.helpers.commands import Ask


@pytest.fixture
def ask() -> Ask:
    """Runs a command and gives what it printed."""

    def run(*arguments: object, status: int = 0) -> str:
        ran = CliRunner().invoke(main, list(map(str, arguments)))
        assert ran.exit_code == status, ran.output
        return ran.output

    return run


@pytest.fixture
def copied(sweep: dict[str, TrialDir], tmp_path: Path) -> dict[str, TrialDir]:
    """The finished sweep once more, to be changed."""
    folder = sweep["lora"].sweep.path
    shutil.copytree(folder, tmp_path / "results" / folder.name)
    copy = SweepDir(tmp_path / "results" / folder.name)
    return {method: copy.trial(trial.name) for method, trial in sweep.items()}
