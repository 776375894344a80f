"""Any two models on the same test pairs: differences by metric and by group, and where they part.

Covers the trials that matter: the baseline and the best seed of the first configurations. Metric
differences are compared as the leaderboard compares with its leader, uncorrected for their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from embft.data.pairs import Pairs
from embft.leaderboard.before_after import shared_columns
from embft.leaderboard.labels import config_label, higher_is_better
from embft.leaderboard.pair_scores import Model, models, read_scores
from embft.leaderboard.rows import Leaderboard
from embft.metrics.bootstrap import BootstrapResult, bootstrap
from embft.metrics.comparison import compare
from embft.metrics.resampling import Resampling, Units, sampling_units

MOST_MODELS = 12
# Half of the leaderboard's: only the spread of the difference is used, and a report is made often.
_RESAMPLING = Resampling(resamples=500)


@dataclass(frozen=True)
class Difference:
    """First minus second, with a 95 % interval. name: a metric or a group's value.

    better: 1 where the first is better beyond doubt, -1 where the second is, 0 where neither.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    better: int


@dataclass(frozen=True)
class Versus:
    """Two models by their positions. apart: rows of the pairs on which they disagree most.

    groups: column -> differences of the margin within each value; empty for graded labels.
    """

    first: int
    second: int
    metrics: tuple[Difference, ...]
    groups: dict[str, tuple[Difference, ...]]
    apart: tuple[int, ...]


def comparable(board: Leaderboard, wanted: Sequence[str] = ()) -> list[Model]:
    """The models that can be compared pair by pair: the baseline, then by rank, then `wanted`."""
    found = models(board, MOST_MODELS)
    have = {model.row.trial for model in found}
    for row in board.rows:
        test = read_scores(row, "test") if row.trial in set(wanted) - have else None
        if test is not None and found and np.array_equal(found[0].test.label, test.label):
            label = config_label(row.params, board.axes)
            name = f"{label}, seed {row.seed}" if len(board.seeds) > 1 else label
            found.append(Model(name, label, row, read_scores(row, "dev"), test))
    return found


def versus(
    found: Sequence[Model], texts: Pairs | None, columns: Sequence[str], most: int = 8
) -> list[Versus]:
    """Every two of the models, each couple once, the earlier one first.

    `most` is how many of the pairs on which they disagree are kept.
    """
    units = sampling_units(texts.text_1, texts.text_2) if texts is not None else None
    resampled = [_resampled(model, units) for model in found]
    usable = shared_columns(columns, texts) if texts is not None else []
    result = []
    for i, j in itertools.combinations(range(len(found)), 2):
        first, second = found[i], found[j]
        gap = first.test.score - second.test.score
        result.append(
            Versus(
                first=i,
                second=j,
                metrics=metric_differences(resampled[i], resampled[j]),
                groups={
                    column: group_differences(first, second, texts.groups[column])
                    for column in usable
                    if texts is not None and first.test.is_binary
                },
                apart=tuple(int(k) for k in np.argsort(-np.abs(gap), kind="stable")[:most]),
            )
        )
    return result


def metric_differences(first: BootstrapResult, second: BootstrapResult) -> tuple[Difference, ...]:
    """First minus second in every metric that both have."""
    found = []
    for name, value in first.estimates.items():
        result = compare(first, second, name)
        if result is None:
            continue
        sign = 1 if higher_is_better(name) else -1
        better = sign * (int(result.low > 0) - int(result.high < 0))
        found.append(
            Difference(
                name, value, second.estimates[name], result.difference, result.low, result.high,
                better,
            )
        )  # fmt: skip
    return tuple(found)


def group_differences(first: Model, second: Model, values: Sequence[Any]) -> tuple[Difference, ...]:
    """First minus second in the margin of each group that has both labels twice.

    The margin's difference is a difference of two means of paired differences, so its interval is
    Welch's (1947).
    """
    names = np.asarray(values, dtype=str)
    found = []
    for name in sorted(set(names.tolist())):
        inside = names == name
        one, other = inside & (first.test.label == 1), inside & (first.test.label == 0)
        if min(one.sum(), other.sum()) < 2:
            continue
        gap = first.test.score - second.test.score
        low, high = _welch_interval(gap[one], gap[other])
        a, b = (
            float(m.test.score[one].mean() - m.test.score[other].mean()) for m in (first, second)
        )
        found.append(Difference(name, a, b, a - b, low, high, int(low > 0) - int(high < 0)))
    return tuple(found)


def _welch_interval(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """The 95 % interval of a difference of means, written out: scipy's takes a millisecond each."""
    gap = float(one.mean() - other.mean())
    errors = [float(part.var(ddof=1)) / len(part) for part in (one, other)]
    if sum(errors) == 0:
        return gap, gap
    squares = sum(e**2 / (len(p) - 1) for e, p in zip(errors, (one, other), strict=True))
    reach = float(special.stdtrit(sum(errors) ** 2 / squares, 0.975)) * float(np.sqrt(sum(errors)))
    return gap - reach, gap + reach


def _resampled(model: Model, units: Units | None) -> BootstrapResult:
    label, score = model.test.label, model.test.score
    threshold = 0.5 if model.test.threshold is None else model.test.threshold
    scheme = units if units is not None and len(units.unit) == len(label) else None
    token = (score.tobytes(), label.tobytes(), threshold)
    return _cached(token, _Drawn(scheme))


class _Drawn:
    """Units as a part of a cache's key: equal where they were made from as many pairs alike."""

    def __init__(self, units: Units | None) -> None:
        self.units = units
        self.key = None if units is None else (units.scheme, units.unit.tobytes())

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Drawn) and self.key == other.key


@lru_cache(maxsize=32)
def _cached(token: tuple[bytes, bytes, float], drawn: _Drawn) -> BootstrapResult:
    score, label = (np.frombuffer(part, dtype=np.float64) for part in token[:2])
    return bootstrap(score, label, token[2], drawn.units, _RESAMPLING)
