"""Threads that wait give up their core soon, unless the user has said how they wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from embft.system.spinning import long_spins_inherited, spin_briefly

COMMAND = """\
import os, sys
from embft.cli.main import main
try:
    main(["--version"])
except SystemExit:
    print("torch" in sys.modules, os.environ["GOMP_SPINCOUNT"])
"""


@pytest.mark.parametrize(
    ("users", "wanted"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_the_users_choice_stays(
    users: dict[str, str], wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either variable is a choice; without one threads spin briefly."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    spin_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == wanted


def test_it_is_said_before_torch_is_there() -> None:
    """OpenMP reads it once, when torch is imported."""
    run = subprocess.run(
        [sys.executable, "-c", COMMAND],
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if k not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}},
    )
    assert run.stdout.splitlines()[-1] == "False 1000"


def test_what_looks_for_itself_does_not_inherit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm process, whose workers see who else needs the cores; the user's own number stays."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    spin_briefly()
    with long_spins_inherited():
        assert "GOMP_SPINCOUNT" not in os.environ
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    with long_spins_inherited():
        assert os.environ["GOMP_SPINCOUNT"] == "7"
