"""Learning curves: the test score by rows of training data, and what more of them would bring.

Made of sweeps with `data.fraction` as an axis: a curve for each setting of the other axes. Where
there are sizes enough, a power law is fitted through the scores, and read off at twice the rows;
its uncertainty is that of the test units and of the seeds. What lies beyond the most rows is an
extrapolation all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from embft.leaderboard.axes import varying_axes
from embft.leaderboard.labels import config_label
from embft.leaderboard.pair_scores import read_scores, train_rows
from embft.leaderboard.resampled import Draw, Drawn
from embft.leaderboard.rows import Group, Interval, Leaderboard
from embft.metrics.best import seed_table
from embft.metrics.bootstrap import spread
from embft.metrics.ceilings import ceiling
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.metrics.power_law import FEWEST_SIZES, Gain, fit, gain
from embft.metrics.registry import metric
from embft.metrics.resampling import Resampling
from embft.metrics.seed_variance import seed_variance
from embft.metrics.weighted import FloatArray

AXIS = "data.fraction"
MOST_CURVES = 6
_RESAMPLES = 500
_LAW_POINTS = 40
_MISFIT = 0.05


@dataclass(frozen=True)
class LearningPoint:
    """One configuration: its trials, its rows of train, and its objective on test."""

    trials: tuple[str, ...]
    rows: int
    score: float
    interval: Interval | None


@dataclass(frozen=True)
class LearningCurve:
    """The sizes of one setting of the other axes, the smallest first.

    law: rows and scores of the fitted power law, up to where it is read off; empty without one.
    gain: what that brings, in the direction in which the metric gets better. reason: why there is
    none. label: the setting in words, empty where nothing else varies.
    """

    label: str
    points: tuple[LearningPoint, ...]
    law: tuple[tuple[float, float], ...] = ()
    gain: Gain | None = None
    reason: str = ""

    @property
    def most(self) -> LearningPoint:
        """The point with the most rows."""
        return self.points[-1]


def learning_curves(leaderboard: Leaderboard) -> list[LearningCurve]:
    """A curve for each setting with two sizes or more, that of the recommended one first."""
    if AXIS not in varying_axes(leaderboard):
        return []
    found: dict[str, list[tuple[int, Group]]] = {}
    for group in leaderboard.groups:
        rows = train_rows(group.best)
        if rows is not None and np.isfinite(group.score) and not group.is_base:
            others = {name: value for name, value in group.params.items() if name != AXIS}
            found.setdefault(repr(sorted(others.items())), []).append((rows, group))
    sizes = [sorted(each, key=lambda point: point[0]) for each in found.values()]
    curves = [each for each in sizes if len({rows for rows, _ in each}) > 1]
    curves.sort(key=lambda each: not any(group.recommended for _, group in each))
    return [_curve(leaderboard, each) for each in curves[:MOST_CURVES]]


def _curve(leaderboard: Leaderboard, sizes: Sequence[tuple[int, Group]]) -> LearningCurve:
    axes = [axis for axis in leaderboard.axes if axis != AXIS]
    points = tuple(
        LearningPoint(tuple(r.trial for r in group.rows), rows, group.score, group.interval)
        for rows, group in sizes
    )
    label = config_label(sizes[0][1].params, axes) if axes else ""
    curve = LearningCurve(label, points)
    count = len({rows for rows, _ in sizes})
    if count < FEWEST_SIZES:
        return _without(curve, f"that takes {FEWEST_SIZES} sizes of train, and there are {count}")
    groups = [group for _, group in sizes]
    drawn = _drawn(leaderboard.metric, groups)
    if drawn is None:
        return _without(curve, "the values of single pairs or units, which it needs, are not there")
    return _fitted(leaderboard, curve, groups, drawn)


def _without(curve: LearningCurve, reason: str) -> LearningCurve:
    return LearningCurve(curve.label, curve.points, reason=reason)


def _drawn(name: str, groups: Sequence[Group]) -> list[Drawn] | None:
    """Each one's resamples on test, of the same units; None where they are not on disk."""
    draw = Draw(name, Resampling(_RESAMPLES, only=(name,), intervals=False, linear=True))
    found = [drawn for group in groups if (drawn := draw.of(group.rows, "test"))]
    same = len(found) == len(groups) and len({drawn.on for drawn in found}) == 1
    return found if same else None


def _fitted(
    leaderboard: Leaderboard, curve: LearningCurve, groups: Sequence[Group], drawn: Sequence[Drawn]
) -> LearningCurve:
    """The curve with its law and what it promises, or why it promises nothing."""
    sign = 1.0 if leaderboard.mode == "max" else -1.0
    rows = np.array([float(point.rows) for point in curve.points])
    scores = sign * np.array([point.score for point in curve.points])
    highest = _highest(leaderboard, groups[0], sign)
    of_seeds, freedom = _seeds(leaderboard.metric, groups)
    strayed = sign * _strayed(leaderboard.metric, drawn)
    found = gain(rows, scores, strayed, of_seeds, freedom, highest)
    if found is None or found.p_value < _MISFIT:
        return _without(curve, "the scores stray from a power law by more than chance explains")
    places = np.geomspace(rows.min(), found.factor * rows.max(), _LAW_POINTS)
    law = sign * fit(rows, scores[None], highest).at(places)[0]
    return LearningCurve(
        curve.label, curve.points, tuple(zip(places.tolist(), law.tolist(), strict=True)), found
    )


def _highest(leaderboard: Leaderboard, group: Group, sign: float) -> float | None:
    """The best that a score can be, turned so that higher is better; None without a bound."""
    name = leaderboard.metric
    if sign < 0:
        low = metric(name).bounds[0]
        return None if low is None else -low
    scores = read_scores(group.best, "test") if name in PAIR_METRICS else None
    return ceiling(name, None if scores is None else scores.label)


def _seeds(name: str, groups: Sequence[Group]) -> tuple[float | None, int]:
    """What seeds add to the variance of each score, with its degrees of freedom."""
    by_seed = [[row.test[name] for row in group.rows] for group in groups]
    seeds = [[row.seed for row in group.rows] for group in groups]
    found = seed_variance(seed_table(by_seed, seeds))
    if found is None:
        return None, 0
    share = fmean(1 / len(values) for values in by_seed)
    return found.pooled * share, max(round(float(found.own_freedom.max())), 1)


def _strayed(name: str, drawn: Sequence[Drawn]) -> FloatArray:
    """The errors (R, k) of the scores over resamples of the test units."""
    columns = []
    for each in drawn:
        result = each.result
        samples = result.samples[name]
        real = spread(samples, result.pair_samples.get(name), result.excess)
        columns.append(real * (samples - result.estimates[name]))
    table = np.stack(columns, axis=1)
    kept: FloatArray = table[np.isfinite(table).all(axis=1)]
    return kept
