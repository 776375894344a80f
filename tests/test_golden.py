"""Results that an older embft wrote: `tests/golden/schema-N/` must load for ever."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from embft.errors import RecordError
from embft.leaderboard.build import build_leaderboard
from embft.report.output import write_outputs
from embft.seal import sealed, unsealed
from embft.trial import SCHEMA

GOLDEN = sorted((Path(__file__).parent / "golden").glob("schema-*/results/golden"))


@pytest.fixture(params=GOLDEN, ids=lambda folder: folder.parent.parent.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the results that one schema's version wrote."""
    target = tmp_path / "golden"
    shutil.copytree(request.param, target)
    return target


def test_older_results_load_and_are_reported(folder: Path) -> None:
    """Every trial is completed, the ranking is that of the scores, and the report is written."""
    board = build_leaderboard(folder)
    assert [row.status for row in board.rows] == ["completed"] * 4
    assert board.groups[0].dev_score == max(row.dev["spearman"] for row in board.rows[:3])
    write_outputs(folder)
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["plan.json", "trials/*/result.json"])
def test_newer_results_are_refused(folder: Path, name: str) -> None:
    """A record of a later schema is refused as that, and not as damaged."""
    path = sorted(folder.glob(name))[0]
    path.write_text(sealed({**unsealed(path), "schema_version": SCHEMA + 1, "new": "field"}))
    with pytest.raises(RecordError, match="newer embft"):
        build_leaderboard(folder)
