"""Configurations as lines across all axes: the table of a parallel coordinates chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embft.leaderboard.axes import axis_value_text, axis_values, varying_axes
from embft.leaderboard.labels import axis_titles, metric_label, number
from embft.leaderboard.rows import Leaderboard

_MOST = 200


@dataclass(frozen=True)
class Parallel:
    """points: one for each configuration and axis, heights in [0, 1]. ticks: the axes' values."""

    titles: tuple[str, ...]
    points: tuple[dict[str, Any], ...]
    ticks: tuple[dict[str, Any], ...]


def parallel(leaderboard: Leaderboard) -> Parallel | None:
    """The first 200 configurations across the varying axes and the score; None for fewer than four
    configurations or two axes.
    """
    axes = varying_axes(leaderboard)
    if len(axes) < 2 or len(leaderboard.groups) < 4:
        return None
    groups = leaderboard.groups[:_MOST]
    titles = axis_titles(axes)
    goal = metric_label(leaderboard.metric)
    scores = [group.score for group in groups]
    low, high = min(scores), max(scores)
    heights = {
        axis: _heights(
            [axis_value_text(leaderboard, axis, v) for v in axis_values(leaderboard, axis)]
        )
        for axis in axes
    }
    points = []
    for group in groups:
        shared = {"trial": group.best.trial, "score": group.score}
        for axis in axes:
            text = axis_value_text(leaderboard, axis, group.params.get(axis))
            points.append({**shared, "axis": titles[axis], "height": heights[axis][text]})
        height = (group.score - low) / ((high - low) or 1.0)
        points.append({**shared, "axis": goal, "height": height})
    ticks = [
        {"axis": titles[axis], "height": height, "text": text}
        for axis in axes
        for text, height in heights[axis].items()
    ]
    ticks += [{"axis": goal, "height": float(i), "text": number((low, high)[i])} for i in (0, 1)]
    return Parallel((*titles.values(), goal), tuple(points), tuple(ticks))


def _heights(texts: list[str]) -> dict[str, float]:
    return {text: i / max(len(texts) - 1, 1) for i, text in enumerate(texts)}
