"""Trackers by name: the package's, a user's own, and what is said where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from embft.errors import EmbftError
from embft.trackers import jsonl
from embft.trackers.find import find_tracker, names
from tests.helpers.commands import embft

OWN = """\
from embft.results.observer import Observer

class Own(Observer):
    pass

class NoServer(Observer):
    def __init__(self):
        raise ConnectionError("nobody answers")

other = dict
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a module of the user's."""
    (tmp_path / "own_tracker.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_tracker", raising=False)
    return tmp_path


def test_a_tracker_is_a_module_of_the_package() -> None:
    """Nothing else lists it."""
    assert "jsonl" in names()
    assert "find" not in names()
    assert isinstance(find_tracker("jsonl"), jsonl.Tracker)


def test_a_users_tracker_stands_in_the_working_directory(own: Path) -> None:
    """It is found there, and the path is left as it was."""
    before = list(sys.path)
    assert type(find_tracker("own_tracker:Own")).__name__ == "Own"
    assert sys.path == before
    assert own.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json", "did you mean 'jsonl'"),
        ("own_tracker:Onw", "AttributeError"),
        ("own_tracker:NoServer", "ConnectionError: nobody answers"),
        ("own_tracker:other", "derived from"),
        ("nowhere:Own", "No module named 'nowhere'"),
    ],
)
def test_a_tracker_that_is_none_is_refused(name: str, said: str, own: Path) -> None:
    """Before anything runs, with what was given and what there is."""
    with pytest.raises(EmbftError, match=f"--tracker {name}.*{said}"):
        find_tracker(name)
    assert own.exists()


def test_the_command_says_so_before_the_sweep(own: Path, tiny_spec: str) -> None:
    """Exit status 2, one line, and no results folder."""
    (own / "tiny.yaml").write_text(tiny_spec)
    run = embft("sweep", "tiny.yaml", "--tracker", "mlfow", cwd=own, check=2, warm=False)
    assert "--tracker mlfow" in run.stderr
    assert "jsonl" in run.stderr
    assert not (own / "results").exists()
