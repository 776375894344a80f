"""Scores across the axes of the search space: cells for pairs of axes, effects of single axes.

Covers which axes vary, the heatmaps' cells, what changing one axis alone does, and the range that
a chart shows. Association over many trials is in `association.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from embft.leaderboard.labels import ordered_values, value_text
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.results.records import Status

_FIRST = ("train.lora.rank", "train.learning_rate")


@dataclass(frozen=True)
class Cell:
    """One cell of a heatmap. score: of the best-ranked configuration in it, on test.

    trials: all that fall into the cell. status: COMPLETED, else what the cell's trials are.
    """

    x: str
    y: str
    score: float | None
    interval: tuple[float, float] | None
    status: Status
    trial: str
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Swing:
    """How far the score moves when one axis changes and nothing else does.

    mean: over the settings of the other axes that were tried with several values of this one, the
    mean distance between best and worst score. settings: how many of them there are.
    """

    axis: str
    mean: float
    settings: int


def varying_axes(leaderboard: Leaderboard) -> tuple[str, ...]:
    """The axes on which the trials differ, in the spec's order."""
    rows = _trained(leaderboard)
    return tuple(
        axis
        for axis in leaderboard.axes
        if len(ordered_values(r.params.get(axis) for r in rows)) > 1
    )


def chart_axes(leaderboard: Leaderboard) -> tuple[str, ...]:
    """The varying axes without the method where a LoRA axis tells it already."""
    axes = varying_axes(leaderboard)
    shown = any(axis.startswith("train.lora.") for axis in axes)
    return tuple(axis for axis in axes if not (shown and axis == "train.method"))


def axis_pairs(leaderboard: Leaderboard) -> list[tuple[str, str]]:
    """Pairs of axes for heatmaps, rank by learning rate first; the first of a pair is vertical.

    Axes that are drawn from distributions have no cells.
    """
    axes = [axis for axis in chart_axes(leaderboard) if axis not in leaderboard.continuous]
    ordered = [axis for axis in _FIRST if axis in axes]
    ordered += [axis for axis in axes if axis not in ordered]
    return list(itertools.combinations(ordered, 2))


def axis_values(leaderboard: Leaderboard, axis: str) -> list[Any]:
    """The values of an axis in reading order; None (does not apply) last."""
    return ordered_values(row.params.get(axis) for row in _trained(leaderboard))


def axis_value_text(leaderboard: Leaderboard, axis: str, value: Any) -> str:
    """The value's text; a LoRA field that does not apply is called by the method."""
    if value is None and axis.startswith("train.lora."):
        rows = [row for row in _trained(leaderboard) if row.params.get(axis) is None]
        methods = {row.params.get("train.method") for row in rows} - {None, "lora"}
        return value_text(methods.pop()) if len(methods) == 1 else "no LoRA"
    return value_text(value)


def heatmap(leaderboard: Leaderboard, vertical: str, horizontal: str) -> list[Cell]:
    """The cells that the sweep has for two axes."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in _trained(leaderboard):
        y = axis_value_text(leaderboard, vertical, row.params.get(vertical))
        x = axis_value_text(leaderboard, horizontal, row.params.get(horizontal))
        found.setdefault((y, x), []).append(row)
    by_trial = {row.trial: group for group in leaderboard.groups for row in group.rows}
    return [_cell(y, x, rows, by_trial) for (y, x), rows in found.items()]


def swings(leaderboard: Leaderboard) -> list[Swing]:
    """Each varying axis with how far it moves the score on its own, the furthest first."""
    found = [swing for axis in varying_axes(leaderboard) if (swing := _swing(leaderboard, axis))]
    return sorted(found, key=lambda swing: -swing.mean)


def split_axis(leaderboard: Leaderboard, axis: str) -> str | None:
    """The axis that parts the trials into lines along `axis`: the method, where both vary."""
    method = "train.method"
    part = (
        method in varying_axes(leaderboard)
        and axis != method
        and not axis.startswith("train.lora.")
    )
    return method if part else None


def effect_points(
    leaderboard: Leaderboard, axis: str, split: str | None = None
) -> list[dict[str, Any]]:
    """A point for each completed trial: axis value, its text, test score; seeds stay apart.

    `part` is the text of the value on the axis `split`, or empty.
    """
    return [
        {
            "trial": row.trial,
            "value": row.params.get(axis),
            "text": axis_value_text(leaderboard, axis, row.params.get(axis)),
            "part": axis_value_text(leaderboard, split, row.params.get(split)) if split else "",
            "score": row.test[leaderboard.metric],
        }
        for group in leaderboard.groups
        for row in group.rows
        if leaderboard.metric in row.test
    ]


def best_per_value(
    leaderboard: Leaderboard, axis: str, split: str | None = None
) -> list[dict[str, Any]]:
    """The best-ranked configuration's score at each value of an axis, in each part."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for group in leaderboard.groups:
        value = group.params.get(axis)
        text = axis_value_text(leaderboard, axis, value)
        part = axis_value_text(leaderboard, split, group.params.get(split)) if split else ""
        point = {"text": text, "value": value, "part": part, "score": group.score}
        best.setdefault((part, text), point)
    order = {
        axis_value_text(leaderboard, axis, v): i
        for i, v in enumerate(axis_values(leaderboard, axis))
    }
    return sorted(best.values(), key=lambda point: order[point["text"]])


def visible_range(
    values: Sequence[float], higher_is_better: bool
) -> tuple[float | None, float | None]:
    """Where a chart may cut the worse side off, so that a diverged trial crushes nothing.

    The fence lies three interquartile ranges outside the quartiles (Tukey, 1977, "far out"); None
    where nothing lies beyond it. Needs five values.
    """
    if len(values) < 5:
        return None, None
    low, high = np.percentile(values, [25, 75])
    reach = 3 * max(float(high - low), 1e-9)
    if higher_is_better:
        return (float(low - reach), None) if min(values) < low - reach else (None, None)
    return (None, float(high + reach)) if max(values) > high + reach else (None, None)


def leading_range(leaderboard: Leaderboard) -> tuple[float, float] | None:
    """The scores and intervals of the better half of the configurations and of all that are tied,
    with a margin on the worse side; None where nothing has completed.

    Charts that compare configurations show this range: what learned nothing would crush the
    differences that matter, and is drawn at the edge instead.
    """
    half = -(-len(leaderboard.groups) // 2)
    best = [group for i, group in enumerate(leaderboard.groups) if i < half or group.in_best_set]
    if not best:
        return None
    ends = [end for group in best for end in (group.score, *(group.interval or ()))]
    low, high, scores = min(ends), max(ends), [group.score for group in leaderboard.groups]
    margin = 0.5 * (high - low) or 0.05
    if leaderboard.mode == "max":
        return max(low - margin, min([*scores, low])), high
    return low, min(high + margin, max([*scores, high]))


def _trained(leaderboard: Leaderboard) -> list[Row]:
    return [row for row in leaderboard.rows if not row.is_baseline]


def _cell(y: str, x: str, rows: Sequence[Row], by_trial: Mapping[str, Group]) -> Cell:
    groups = [by_trial[row.trial] for row in rows if row.trial in by_trial]
    best = min(groups, key=lambda group: group.rank) if groups else None
    return Cell(
        x=x,
        y=y,
        score=best.score if best else None,
        interval=best.interval if best else None,
        status=Status.COMPLETED if best else rows[0].status,
        trial=best.best.trial if best else rows[0].trial,
        trials=tuple(row.trial for row in rows),
    )


def _swing(leaderboard: Leaderboard, axis: str) -> Swing | None:
    ranges = [
        max(scores) - min(scores) for scores in _settings(leaderboard, axis) if len(scores) > 1
    ]
    return Swing(axis, fmean(ranges), len(ranges)) if ranges else None


def _settings(leaderboard: Leaderboard, axis: str) -> Iterator[list[float]]:
    """The scores of the configurations that differ in this axis alone."""
    found: dict[str, list[float]] = {}
    for group in leaderboard.groups:
        others = {name: value for name, value in group.params.items() if name != axis}
        found.setdefault(repr(sorted(others.items())), []).append(group.score)
    yield from found.values()
