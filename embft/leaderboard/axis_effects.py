"""Whether an axis moves the score at all, and whether it matters more than another one.

Tests what the charts across the axes say, so that by chance alone at most 5 % of leaderboards say
something false: of each axis with Holm's correction over the axes that vary, of two axes by bounds
that hold for all the pairs that are drawn. Scores are those on test, a seed each; see
`metrics/effects.py` for the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from embft.leaderboard.axes import chart_axes, varying_axes
from embft.leaderboard.rows import Leaderboard
from embft.metrics.comparison import holm
from embft.metrics.effects import Effect, block_effects
from embft.metrics.weighted import IntArray

SIGNIFICANCE = 0.05
_MOST_VALUES = 100


def axis_p_values(leaderboard: Leaderboard) -> dict[str, float]:
    """For each axis that can be tested, the p-value of no effect, corrected by Holm."""
    found = {axis: _effects(leaderboard, [axis]) for axis in varying_axes(leaderboard)}
    tested = {axis: effects[0].p_value for axis, effects in found.items() if effects}
    return dict(zip(tested, holm(list(tested.values())), strict=True)) if tested else {}


def mattering(leaderboard: Leaderboard, one: str, other: str) -> str | None:
    """The one of two axes that matters significantly more, `neither`, or None where untested.

    The scores' variance that goes with one lies above the other's by one-sided bounds of 5 % each,
    over the number of pairs of axes that have a chart.
    """
    pairs = max(len(list(combinations(chart_axes(leaderboard), 2))), 1)
    effects = _effects(leaderboard, [one, other], 1 - 2 * SIGNIFICANCE / pairs)
    if effects is None:
        return None
    first, second = effects
    if first.low > second.high:
        return one
    return other if second.low > first.high else "neither"


def _effects(
    leaderboard: Leaderboard, axes: Sequence[str], confidence: float = 1 - SIGNIFICANCE
) -> list[Effect] | None:
    """The effects of these axes where nothing else changes, or None where they cannot be tested."""
    rows = [
        row for group in leaderboard.groups for row in group.rows if leaderboard.metric in row.test
    ]
    score = np.array([row.test[leaderboard.metric] for row in rows])
    values = [_numbered([repr(row.params.get(axis)) for row in rows]) for axis in axes]
    rest = [
        repr(sorted((k, repr(v)) for k, v in row.params.items() if k not in axes)) for row in rows
    ]
    block = _numbered(rest)
    kept = np.isfinite(score) & _varies(block, values)
    values = [value[kept] for value in values]
    if not kept.any() or max(len(np.unique(value)) for value in values) > _MOST_VALUES:
        return None
    return block_effects(score[kept], values, block[kept], confidence)


def _varies(block: IntArray, values: Sequence[IntArray]) -> np.ndarray:
    """Whether anything changes in the block that a score belongs to: others say nothing."""
    points = np.unique(np.stack([block, *values]), axis=1)
    return np.bincount(points[0])[block] > 1


def _numbered(texts: Sequence[str]) -> IntArray:
    return np.unique(texts, return_inverse=True)[1].astype(np.int64)
