"""The report beside running trials: in this process, in one of its own, and never in the way."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from embft.report import background
from embft.report.background import write_in_background
from tests.helpers.leaderboards import lora_lr_plans, make_leaderboard, save_sweep

MANY = background._MANY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_sweep(make_leaderboard(tmp_path / "one", lora_lr_plans()[:2], pairs=(40, 40)))


def test_many_trials_are_reported_by_a_process_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is built in this process, and the page and the tables are there all the same."""

    def refuse(*_: Any) -> None:
        raise AssertionError("built in this process")

    monkeypatch.setattr(background, "_write", refuse)
    write_in_background(folder, MANY, Event())
    assert "</html>" in (folder / "report.html").read_text()
    assert (folder / "leaderboard.csv").exists()


def test_the_process_ends_when_the_sweep_does(folder: Path) -> None:
    """Whoever closes the view need not wait for a long report, and nothing is left running."""
    stop, before = Event(), set(psutil.Process().children())
    stop.set()
    write_in_background(folder, MANY, stop)
    assert not (folder / "report.html").exists()
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("trials", [1, MANY])
def test_what_hinders_a_report_is_logged(
    trials: int, folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A damaged plan ends no sweep."""
    (folder / "plan.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        write_in_background(folder, trials, Event())
    assert "the report could not be written yet" in caplog.text + capfd.readouterr().err
