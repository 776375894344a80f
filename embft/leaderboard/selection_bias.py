"""The selection bias of the leader's score, where the pairs that chose it are those reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embft.leaderboard.pair_scores import pairs_digest, read_scores, read_texts, units_of
from embft.leaderboard.rows import Group
from embft.metrics.optimism import Folds, Optimism, cross_fit_optimism
from embft.metrics.pair_definitions import PAIR_METRICS

_MOST = 2 * 10**8  # scores weighed; with more, folds are drawn fewer times


def selection_bias(groups: Sequence[Group], metric: str) -> Optimism | None:
    """The optimism of choosing among these configurations by their mean over seeds, on dev.

    None with fewer than two of the leader's data, for a metric that is not one of the pairs, and
    where scores are missing on disk.
    """
    same = [group for group in groups if _pairs(group) == _pairs(groups[0])]
    if len(same) < 2 or metric not in PAIR_METRICS:
        return None
    rows = [(number, row) for number, group in enumerate(same) for row in group.rows]
    found = [read_scores(row, "dev") for _, row in rows]
    tables = [table for table in found if table is not None]
    if len(tables) < len(rows):
        return None
    label = tables[0].label
    folds = Folds(
        repeats=int(np.clip(_MOST // (5 * len(rows) * len(label)), 1, 10)),
        units=units_of(read_texts(rows[0][1], "dev"), len(label)),
    )
    bias = cross_fit_optimism(
        np.stack([table.score for table in tables]),
        label,
        metric,
        [table.threshold or 0.0 for table in tables],
        folds,
        [number for number, _ in rows],
    )
    return bias if bias is not None and np.isfinite(bias.optimism) else None


def _pairs(group: Group) -> str:
    return pairs_digest(group.best, "dev")
