"""What importing sentence-transformers brings along for nothing is left out."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embft.execution import lighter_imports
from embft.execution.lighter_imports import import_sentence_transformers, imported_later
from embft.results.folders import TrialDir
from embft.system.speedups import missing
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


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A library of ours, in two modules, and who takes things from it when it is imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "made_up_heavy"
    package.mkdir()
    (package / "__init__.py").write_text("class Kind:\n    made = 1\n")
    (package / "part.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "made_up_user.py").write_text(
        "import made_up_heavy\nfrom made_up_heavy.part import twice\n"
        "from made_up_heavy import Kind\nmore: Kind | None = None\n"
    )
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("made_up_")]:
        del sys.modules[name]


def test_what_is_imported_later_is_itself_when_it_is_wanted(heavy: Path) -> None:
    """Functions, classes and what is asked of either; installed packages are found meanwhile."""
    assert heavy.is_dir()
    with imported_later("made_up_heavy", "made_up_heavy.part"):
        user = importlib.import_module("made_up_user")
        assert importlib.util.find_spec("made_up_heavy") is not None
    assert "made_up_heavy" not in sys.modules
    assert not isinstance(3, user.Kind)
    assert "made_up_heavy" not in sys.modules
    assert user.twice(4) == 8
    assert user.Kind.made == 1
    assert isinstance(user.Kind(), user.Kind)
    assert isinstance(user.made_up_heavy.Kind(), user.Kind)


def test_a_library_that_needs_more_of_them_gets_it(
    heavy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version that works with them while it is imported is imported as usual, and it is
    said that this took longer.
    """
    (heavy / "made_up_library.py").write_text(
        "import sys\nimport sklearn\nassert type(sklearn).__name__ == 'module', 'a stand'\n"
    )
    monkeypatch.setattr(lighter_imports, "_LIBRARY", "made_up_library")
    monkeypatch.setattr(lighter_imports, "_look_once", lambda: None)
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    import_sentence_transformers()
    assert "made_up_library" in sys.modules
    assert "AssertionError: a stand" in missing()["an import without scikit-learn and datasets"]
