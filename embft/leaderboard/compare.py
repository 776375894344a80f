"""Any two models on the same test pairs: differences by metric and by group, and where they part.

Covers the trials that matter: the baseline and the best seed of the first configurations. The
intervals of one couple hold together over its metrics, and over its groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from embft.data.pairs import Pairs
from embft.leaderboard.groups import shared_columns
from embft.leaderboard.labels import config_label, higher_is_better
from embft.leaderboard.pair_scores import Model, models, read_scores
from embft.leaderboard.rows import Leaderboard
from embft.metrics.bootstrap import BootstrapResult, bootstrap
from embft.metrics.contrast import contrast, level_of_each
from embft.metrics.joint import compare_all
from embft.metrics.resampling import Resampling, Units, independent_pairs, sampling_units

MOST_MODELS = 12
# Half of the leaderboard's: only the spread of the difference is used, and a report is made often.
_RESAMPLING = Resampling(resamples=500)


@dataclass(frozen=True)
class Difference:
    """First minus second, with its interval. name: a metric or a group's value.

    better: 1 where the first is significantly better, -1 where the second is, 0 where neither.
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


def comparable(leaderboard: Leaderboard, wanted: Sequence[str] = ()) -> list[Model]:
    """The models that can be compared pair by pair: the baseline, then by rank, then `wanted`."""
    found = models(leaderboard, MOST_MODELS)
    have = {model.row.trial for model in found}
    for row in leaderboard.rows:
        test = read_scores(row, "test") if row.trial in set(wanted) - have else None
        if test is not None and found and np.array_equal(found[0].test.label, test.label):
            label = config_label(row.params, leaderboard.axes)
            name = f"{label}, seed {row.seed}" if len(leaderboard.seeds) > 1 else label
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
                    column: group_differences(
                        first, second, texts.groups[column], units, len(usable)
                    )
                    for column in usable
                    if texts is not None and first.test.is_binary
                },
                apart=tuple(int(k) for k in np.argsort(-np.abs(gap), kind="stable")[:most]),
            )
        )
    return result


def differences(first: Model, second: Model, texts: Pairs | None) -> dict[str, Difference]:
    """First minus second on the same test pairs, by metric, as `metric_differences`."""
    units = sampling_units(texts.text_1, texts.text_2) if texts is not None else None
    one, two = (_resampled(model, units) for model in (first, second))
    return {difference.name: difference for difference in metric_differences(one, two)}


def metric_differences(first: BootstrapResult, second: BootstrapResult) -> tuple[Difference, ...]:
    """First minus second in every metric that both have, intervals for all of them together."""
    found = []
    for name, result in compare_all(first, second).items():
        sign = 1 if higher_is_better(name) else -1
        better = sign * (int(result.low > 0) - int(result.high < 0))
        found.append(
            Difference(
                name, first.estimates[name], second.estimates[name], result.difference, result.low,
                result.high, better,
            )
        )  # fmt: skip
    return tuple(found)


def group_differences(
    first: Model, second: Model, values: Sequence[Any], units: Units | None = None, columns: int = 1
) -> tuple[Difference, ...]:
    """First minus second in the margin of each group that has both labels in two units at least.

    values (n,): each pair's group; units: what hangs together among the pairs, None where nothing
    does. The intervals hold together over the groups, and over so many columns of groups.
    """
    names, group = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    level = level_of_each(len(names) * columns)
    drawn = units or independent_pairs(len(group))
    found = []
    for number, name in enumerate(names.tolist()):
        rows = np.flatnonzero(group == number)
        label, inside = first.test.label[rows], drawn.of(rows)
        terms = [(1.0, label == 1), (-1.0, label == 0)]
        one, two = first.test.score[rows], second.test.score[rows]
        result = contrast(one - two, terms, inside, level)
        if result is None:
            continue
        a, b = (float(v[label == 1].mean() - v[label == 0].mean()) for v in (one, two))
        found.append(Difference(name, a, b, a - b, result.low, result.high, result.sign))
    return tuple(found)


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
