"""The house: who imports whom, and what stays light."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from commands import python

PACKAGE = Path(__file__).parent.parent / "embft"

# Each part of the house and the parts below it that it may import.
_GROUND = {"errors", "embft"}
_SPEC = _GROUND | {"spec"}
_TRIAL = _SPEC | {"files", "paths", "seal", "trial"}
_DATA = _GROUND | {"data"}
_METRICS = _GROUND | {"metrics"}
ALLOWED = {
    "errors": set(),
    "spec": _SPEC | {"metrics"},
    "paths": set(),
    "seal": _GROUND,
    "trial": _TRIAL | {"lock", "seal"},
    "frozen": _TRIAL | _DATA | {"base_model", "seal"},
    "scores_file": _DATA | {"files"},
    "data": _DATA,
    "metrics": _METRICS,
    "provenance": _TRIAL,
    "files": set(),
    "memory": set(),
    "lock": _GROUND | {"files"},
    "tiny_decoder": _DATA,
    "plain": set(),
    "console": {"plain"},
    "safety": _GROUND | {"seal"},
    "base_model": _SPEC | {"safety", "seal", "tiny_decoder"},
    "evaluator_files": _TRIAL | _DATA | {"frozen"},
    "token_layout": set(),
    "models": _TRIAL | {"capacity", "packing", "safety", "token_layout"},
    "packing": set(),
    "token_cache": _GROUND | {"files", "memory", "seal"},
    "linear": set(),
    "encoding": _DATA | {"linear", "memory", "packing", "token_cache"},
    "stopping": set(),
    "compilation": {"evaluation", "fused", "report"},
    "fused": {"encoding", "fused", "packing"},
    "training": _TRIAL | _DATA | {"encoding", "fused", "memory", "stopping", "token_cache"},
    "evaluation": _TRIAL
    | _DATA
    | _METRICS
    | {"compilation", "encoding", "evaluator_files", "token_layout"},
    "worker": _TRIAL
    | _DATA
    | {
        "base_model",
        "encoding",
        "evaluation",
        "evaluator_files",
        "failure",
        "frozen",
        "models",
        "provenance",
        "scores_file",
        "seal",
        "stopping",
        "token_cache",
        "training",
    },
    "standalone": _TRIAL
    | _DATA
    | _METRICS
    | {"base_model", "evaluation", "evaluator_files", "models", "safety"},
    "meanwhile": {"failure", "memory", "report"},
    "maps": _TRIAL | _DATA | {"capacity", "evaluation", "frozen", "memory", "standalone"},
    "watch": {"memory"},
    "failure": _TRIAL | {"watch"},
    "template": {"memory", "worker"},
    "launch_server": _TRIAL | {"failure", "launcher", "watch"},
    "launcher": _TRIAL | {"failure", "lock", "memory", "watch", "worker"},
    "merge": _TRIAL | _DATA | {"base_model", "encoding", "models", "standalone"},
    "sources": _SPEC | _DATA,
    "synthesis": _TRIAL | _DATA | {"base_model"},
    "index": _TRIAL,
    "capacity": _GROUND,
    "key": _SPEC | {"seal"},
    "artifacts": _TRIAL,
    "estimate": _SPEC | {"capacity", "memory", "plan"},
    "measure": _TRIAL | {"capacity", "estimate", "key", "launcher", "lock", "plan", "watch"},
    "plan": _TRIAL
    | _DATA
    | _METRICS
    | {
        "base_model",
        "capacity",
        "evaluator_files",
        "frozen",
        "index",
        "key",
        "memory",
        "seal",
        "sources",
    },
    "prefixes": _TRIAL | {"key", "plan"},
    "ray_settings": set(),
    "cluster": _SPEC | {"capacity", "failure", "memory"},
    "sweep": _TRIAL
    | {"cluster", "failure", "launch_server", "launcher", "lock", "memory", "plan", "watch"},
    "view": _TRIAL | {"estimate", "plan"},
    "terminal": _TRIAL | _DATA | {"estimate", "leaderboard", "plan", "standalone"},
    "leaderboard": _TRIAL
    | _DATA
    | _METRICS
    | {"frozen", "leaderboard", "lock", "memory", "plain", "plan", "scores_file", "seal"},
    "report": _TRIAL | _DATA | _METRICS | {"leaderboard", "report"},
}
ONLY_IN = {
    "ray": {"cluster", "sweep"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "click": {"cli", "cli_commands", "cli_data"},
    "numba": {"compilation", "fused"},
}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _part(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """Each part imports only the parts below it; the three columns never import each other."""
    part = _part(path)
    if part in {"cli", "cli_commands", "cli_data", "__init__"}:
        return
    ours = {name.split(".")[1] for name in _imports(path) if name.startswith("embft.")}
    inner = {p.stem for p in PACKAGE.iterdir()} | {"embft"}
    assert part in ALLOWED, f"say in ALLOWED what {part} may import"
    assert (ours & inner) - {part} <= ALLOWED[part]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_heavy_library_has_one_home(path: Path) -> None:
    """As `ONLY_IN` says: Altair by report/ alone, click by the cli, and so on."""
    roots = {name.split(".")[0] for name in _imports(path)}
    for library, homes in ONLY_IN.items():
        if library in roots:
            assert _part(path) in homes


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_read_at_a_sitting(path: Path) -> None:
    """No module has grown past 380 lines."""
    assert len(path.read_text().splitlines()) <= 380


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "sweeps/quickstart.yaml"]])
def test_help_and_plan_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """`embft --help` and `embft plan` import no torch, no Ray, no Altair and no pandas."""
    extra = ["--results", str(tmp_path)] if arguments[0] == "plan" else []
    code = (
        "import sys\nfrom embft.cli.main import main\n"
        f"try: main({arguments + extra!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'altair', 'pandas', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    python(code, cwd=PACKAGE.parent)
