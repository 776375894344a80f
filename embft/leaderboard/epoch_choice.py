"""What choosing the best of several evaluations adds to a dev score, where trials differ in it.

Each trial keeps the weights of its best evaluation on dev. Evaluations stray by chance, so that the
best of twenty equal ones scores higher than a single one without being better. Test, on which no
evaluation was chosen, has none of this.

The bias is that of the largest of so many normal deviates (Blom, 1958) as there are evaluations
within three standard deviations of the best: those far behind were no candidates. The standard
deviation is that of a single evaluation about the course of its trial, from second differences over
the latter half of the curves (Gasser, Sroka and Jennen-Steinmetz, 1986), pooled over all trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.rows import Leaderboard, Row
from embft.metrics.weighted import FloatArray

_CANDIDATES = 3.0
# Smaller differences between trials are not printed, and none is warned of.
_LEAST = 0.0005


@dataclass(frozen=True)
class EpochChoice:
    """One trial: how many evaluations it chose from, and by how much that flatters its dev score.

    bias is 0 or more, whichever way the metric goes.
    """

    trial: str
    evaluations: int
    bias: float


def epoch_choices(
    rows: Iterable[Row], metric: str, *, higher: bool
) -> tuple[float, list[EpochChoice]]:
    """The standard deviation of an evaluation, and each trained trial's choice.

    The deviation is NaN, and with it each bias of several, where no trial has three evaluations.
    """
    curves = {row.trial: curve for row in rows if len(curve := _curve(row, metric, higher))}
    deviation = _deviation(list(curves.values()))
    return deviation, [
        EpochChoice(trial, len(curve), _bias(curve, deviation)) for trial, curve in curves.items()
    ]


def epoch_choice_warning(leaderboard: Leaderboard) -> Iterator[str]:
    """Say so where trials chose from different numbers of evaluations, and what that adds."""
    deviation, found = epoch_choices(
        leaderboard.rows, leaderboard.metric, higher=leaderboard.mode == "max"
    )
    if len({choice.evaluations for choice in found}) < 2:
        return
    most, least = (pick(found, key=lambda choice: choice.bias) for pick in (max, min))
    counts = [choice.evaluations for choice in found]
    between = f"between {min(counts)} and {max(counts)} evaluations"
    if np.isnan(deviation):
        yield (
            f"Trials kept the best of {between} on dev, and the best of more is flattered more. By "
            "how much cannot be said: no trial has three evaluations."
        )
    elif most.bias - least.bias >= _LEAST:
        yield (
            f"Trials kept the best of {between} on dev. Chance alone adds about "
            f"{number(most.bias)} to the dev {metric_label(leaderboard.metric)} of the one with "
            f"{most.evaluations}, and {number(least.bias)} to that of the one with "
            f"{least.evaluations}: compare these on test, or evaluate all equally often."
        )


def _curve(row: Row, metric: str, higher: bool) -> FloatArray:
    """The dev scores of a completed trial's evaluations, turned so that higher is better."""
    if row.completed is None or row.is_baseline:
        return np.zeros(0)
    sign = 1.0 if higher else -1.0
    return np.array([sign * e.dev[metric] for e in row.epochs if metric in e.dev])


def _deviation(curves: Sequence[FloatArray]) -> float:
    """Of a single evaluation about its trial's course; NaN where no curve bends."""
    bends = [np.diff(curve, 2)[max(len(curve) // 2 - 1, 0) :] for curve in curves if len(curve) > 2]
    if not bends:
        return float("nan")
    return float(np.sqrt(np.mean(np.concatenate(bends) ** 2) / 6))


def _bias(curve: FloatArray, deviation: float) -> float:
    if len(curve) < 2:
        return 0.0
    candidates = int((curve >= curve.max() - _CANDIDATES * deviation).sum())
    largest = float(special.ndtri((max(candidates, 1) - 0.375) / (max(candidates, 1) + 0.25)))
    return deviation * largest
