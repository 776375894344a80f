"""The arithmetic of the benchmark that times decisions; what it runs is run by hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from embft.leaderboard.export import write_tables
from tests.helpers.leaderboards import lora_lr_plans, make_leaderboard, save_sweep

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def decision() -> Any:
    """The benchmark."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("decision")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_part_of_the_grid_stands_for_each_method(decision: Any) -> None:
    """The first, the last and those between; never more than there are."""
    whole = decision.WHOLE
    three = decision.some(whole, 3)
    assert three == [whole[0], whole[5], whole[10]]
    assert {point["method"] for point in three} == {"lora", "full"}
    assert decision.some(whole, 1) == whole[:1]
    assert decision.some(whole, 99) == whole


def test_the_whole_grid_is_extrapolated_by_method(decision: Any) -> None:
    """Its start once, and for each point the mean of its method: 9 LoRA trials, 2 full ones."""
    three = decision.some(decision.WHOLE, 3)
    assert decision.extrapolated(decision.WHOLE, three, [80.0, 100.0, 120.0], 320.0) == (
        20 + 9 * 90 + 2 * 120
    )
    one = decision.some(decision.WHOLE, 1)
    assert decision.extrapolated(decision.WHOLE, one, [80.0], 100.0) == 20 + 11 * 80


def test_of_two_trials_at_once_the_longer_is_what_was_waited_for(decision: Any) -> None:
    """Both ran from the start on; the whole grid keeps two busy all the time."""
    two = decision.some(decision.WHOLE, 2)
    found = decision.extrapolated(decision.WHOLE, two, [80.0, 120.0], 140.0, at_once=2)
    assert found == 20 + (9 * 80 + 2 * 120) / 2


def test_the_table_says_what_was_extrapolated_and_what_failed(decision: Any) -> None:
    """Each way is compared with the plain grid of as many trials at once."""
    ways = [
        decision.Way("plain", 1, 1070.0, None, None, None),
        decision.Way("ours", 1, 107.0, 12.0, "LoRA, rank 8, 0.002", 0.85, same=False),
        decision.Way("plain", 2, 600.0, None, None, None),
        decision.Way("ours", 2, 100.0, 12.0, "full, 0.0002", 0.85, same=True),
    ]
    measured = {1: 320.0, 2: 250.0}
    text = decision.shown(ways, measured, 3)
    assert "| plain | 1 | 1070 (extrapolated: 3 of 11 points took 320) |" in text
    assert "| ours | 1 | 107 | **10.0** | 12 | LoRA, rank 8, 0.002 | 0.850 | **no** |" in text
    assert "| plain | 2 | 600 (extrapolated: 3 of 11 points took 250) |" in text
    assert "| ours | 2 | 100 | **6.0** | 12 | full, 0.0002 | 0.850 | yes |" in text
    assert "extrapolated" not in decision.shown(ways, measured, 11)


def test_what_a_sweep_has_decided_is_read_from_its_folder(decision: Any, tmp_path: Path) -> None:
    """The recommended configuration, by every seed; and all that may be the best."""
    board = make_leaderboard(tmp_path, lora_lr_plans(), pairs=(60, 60))
    save_sweep(board)
    write_tables(board)
    way, records = decision.decided("ours", 1, 12.0, board.folder)
    chosen = board.recommended
    assert chosen is not None
    assert way.score == pytest.approx(chosen.score)
    assert way.epochs == sum(row.epochs[-1].epoch for row in board.rows if row.epochs)
    best = decision.may_be_best(records)
    assert way.decision in best
    assert len(best) == sum(bool(g.in_best_set) for g in (*board.bases, *board.groups))
