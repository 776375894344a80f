"""Searches replayed from the recorded curves: real searchers, real schedulers, no training."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def replay() -> Any:
    """The benchmark."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("search")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_replays_are_those_of_their_seed(replay: Any) -> None:
    """Twice the same; ASHA trains fewer epochs of as many configurations, and prunes some."""
    found = replay.load()
    whole = len(found.means) * replay.EVALUATIONS
    grid, asha = (s for s in replay.STRATEGIES[:3] if s.grace in {0, 3})
    one, other = grid.replay(found, 1, whole), asha.replay(found, 1, whole)
    assert asha.replay(found, 1, whole) == other
    assert one.steps[-1].spent == whole
    assert len(one.steps) == len(other.steps) == len(found.means)
    assert other.steps[-1].spent < 0.6 * whole
    assert any(step.score is None for step in other.steps)
    assert one.choice(whole) is not None


def test_a_search_reaches_the_best_of_a_grid(replay: Any) -> None:
    """TPE with the real searcher, in a third of the grid's epochs."""
    found = replay.load()
    whole = len(found.means) * replay.EVALUATIONS
    strategy = next(s for s in replay.STRATEGIES if s.name == "TPE")
    run = strategy.replay(found, 0, round(0.35 * whole))
    assert run.first is not None
    assert run.first <= 0.35 * whole
    assert found.best_set[found.winner]
