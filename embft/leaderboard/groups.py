"""Test pairs broken down by the columns that the spec names as groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embft.data.pairs import Pairs
from embft.leaderboard.pair_scores import Model, units_of
from embft.metrics.contrast import contrast, level_of_each
from embft.metrics.pairs import GroupRow, breakdown


def group_rows(model: Model, texts: Pairs, column: str) -> list[GroupRow]:
    """The breakdown of a model's test scores by a column; empty where labels are graded."""
    if not model.test.is_binary or len(texts) != len(model.test.label):
        return []
    threshold = model.test.threshold if model.test.threshold is not None else 0.5
    return breakdown(model.test.score, model.test.label, threshold, list(texts.groups[column]))


def extremes_differ(model: Model, texts: Pairs, column: str) -> bool | None:
    """Whether the groups of the highest and the lowest margin differ significantly, corrected for
    the number of couples of groups; None where that cannot be tested.
    """
    found = [(row.margin, row.group) for row in group_rows(model, texts, column)]
    found = [(margin, group) for margin, group in found if margin is not None]
    if len(found) < 2:
        return None
    group, label = np.asarray(texts.groups[column], dtype=str), model.test.label
    (_, low), (_, high) = min(found), max(found)
    terms = [
        (sign if value == 1 else -sign, (group == name) & (label == value))
        for name, sign in ((high, 1.0), (low, -1.0))
        for value in (1, 0)
    ]
    level = level_of_each(len(found) * (len(found) - 1) // 2)
    result = contrast(model.test.score, terms, units_of(texts, len(label)), level)
    return None if result is None else result.sign != 0


def shared_columns(columns: Sequence[str], texts: Pairs, most: int = 24) -> list[str]:
    """The group columns that the texts have, of at most `most` values each."""
    return [c for c in columns if c in texts.groups and 1 < len(set(texts.groups[c])) <= most]
