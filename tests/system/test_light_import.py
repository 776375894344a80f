"""What a library brings along for nothing is left out, and is there when it is wanted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embft.system.light_import import import_without, imported_later
from embft.system.speedups import missing


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


def test_a_library_that_needs_more_of_them_gets_it(heavy: Path) -> None:
    """Another version that works with them while it is imported is imported as usual, and it is
    said that this took longer.
    """
    library = heavy / "made_up_library"
    library.mkdir()
    (library / "__init__.py").write_text("")
    (library / "tune.py").write_text(
        "import made_up_library.other\nimport made_up_heavy\n"
        "assert type(made_up_heavy).__name__ == 'module', 'a stand'\n"
    )
    (library / "other.py").write_text("import made_up_heavy\nheavy = made_up_heavy\n")
    import_without("made_up_library.tune", "made_up_heavy")
    assert sys.modules["made_up_library.other"].heavy is sys.modules["made_up_heavy"]
    said = missing()["an import of made_up_library.tune without made_up_heavy"]
    assert said == "AssertionError: a stand"
