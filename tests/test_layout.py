"""The layout: which package may use which library, and what stays light.

Which package may import which other one is checked by import-linter: `make lint`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.helpers.commands import ROOT, program

PACKAGE = ROOT / "embft"
MOST_ENTRIES = 24  # at the top of the package: it reads like a table of contents
ONLY_IN = {
    "ray": {"scheduler"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "click": {"cli"},
    "numba": {"cli", "system", "training"},
}


def _libraries(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.name))
def test_each_heavy_library_has_one_home(path: Path) -> None:
    """As `ONLY_IN` says: Altair by report/ alone, click by cli/, and so on."""
    package = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for library, homes in ONLY_IN.items():
        if library in _libraries(path):
            assert package in homes


def test_the_package_reads_like_a_table_of_contents() -> None:
    """Few entries at the top, and each package says what it is for and what it does not do."""
    entries = [p for p in PACKAGE.iterdir() if p.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES
    for package in (p for p in entries if p.is_dir()):
        docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
        assert docstring
        assert len(docstring.splitlines()) >= 3


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "sweeps/quickstart.yaml"]])
def test_help_and_plan_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """`embft --help` and `embft plan` import no torch, no Ray, no Altair and no pandas."""
    extra = ["--results", str(tmp_path)] if arguments[0] == "plan" else []
    program("what_a_command_loads", cwd=ROOT, arguments=[*arguments, *extra])
