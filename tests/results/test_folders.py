"""The names of files below `results/` have one owner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from embft.results.folders import SweepDir, TrialDir, _Named
from tests.helpers.commands import ROOT

PACKAGE = ROOT / "embft"
OWNED = [*vars(SweepDir).values(), *vars(TrialDir).values()]
NAMES = {each.name for each in OWNED if isinstance(each, _Named)} | {"report.html", "report.md"}


def joined_by_hand(source: str) -> Iterator[str]:
    """The names below `results/` that this code spells out as a path.

    A name with a dot in it, wherever it stands alone; any name, behind a slash of `pathlib` or as
    the beginning of a relative path.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            first, slash, _ = node.value.partition("/")
            if first in NAMES and ("." in first or (slash and " " not in node.value)):
                yield node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            right = node.right
            text = ast.unparse(right).lstrip("f").strip("'\"")
            if isinstance(right, ast.Constant | ast.JoinedStr) and text.split("/")[0] in NAMES:
                yield text


@pytest.mark.parametrize(
    "source",
    [
        'folder / "trials" / name',
        'folder / f"trials/{name}"',
        'glob("trials/*")',
        'read(folder, "plan.json")',
        'model = trial / "model"',
        'path.with_name("report.html")',
    ],
)
def test_what_counts_as_joined_by_hand(source: str) -> None:
    """So that the next test can fail."""
    assert list(joined_by_hand(source))


@pytest.mark.parametrize("source", ['plan["trials"]', "folder.trials_folder", '"in data/ or so"'])
def test_a_word_alone_is_no_path(source: str) -> None:
    """Keys of records, and prose, may have the same words."""
    assert not list(joined_by_hand(source))


def test_nobody_else_knows_the_names_of_files_below_results() -> None:
    """`SweepDir` and `TrialDir` own them: a file that is renamed is renamed in one place."""
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "results"
        and (names := list(joined_by_hand(path.read_text())))
    }
    assert not found


def test_the_two_folders_lead_to_each_other(tmp_path: Path) -> None:
    """A sweep finds its trials by name and by key, a trial its sweep."""
    sweep = SweepDir(tmp_path / "some")
    trial = sweep.trial("rank=8,seed=42-0123456789ab")
    assert sweep.trials_by_key() == {}
    trial.path.mkdir(parents=True)
    (sweep.trials_folder / ".half.1.tmp").mkdir()
    assert sweep.trials_by_key() == {"0123456789ab": trial}
    assert trial.sweep == sweep
    assert list(sweep.torn()) == [sweep.trials_folder / ".half.1.tmp"]


def test_a_trial_that_measures_belongs_to_its_sweep(tmp_path: Path) -> None:
    """It reads the sweep's frozen data and obeys its mark to stop."""
    sweep = SweepDir(tmp_path)
    assert sweep.measuring("0123456789ab").sweep == sweep
    assert sweep.measuring("0123456789ab").key == "0123456789ab"
