"""The Borda scores of a sweep's trials, where several metrics together are its objective.

A trial is compared, task by task, with the other configurations' means over seeds. The score of a
configuration is the mean of its trials'. How sure that is says `metrics/borda.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from embft.leaderboard.labels import higher_is_better
from embft.leaderboard.rows import Row
from embft.metrics.borda import beaten
from embft.metrics.metric import BORDA
from embft.metrics.weighted import FloatArray


def with_borda(rows: Sequence[Row], tasks: Sequence[str]) -> list[Row]:
    """The rows, those that completed with a Borda score on each split on which all of their tasks
    have a value.
    """
    dev, test = (borda_by_task(rows, tasks, split) for split in ("dev", "test"))
    return [
        replace(
            row,
            derived_dev={**row.derived_dev, **_mean(dev, row)},
            derived={**row.derived, **_mean(test, row)},
        )
        for row in rows
    ]


def _mean(found: Mapping[str, FloatArray], row: Row) -> dict[str, float]:
    return {BORDA: float(found[row.trial].mean())} if row.trial in found else {}


def borda_by_task(rows: Sequence[Row], tasks: Sequence[str], split: str) -> dict[str, FloatArray]:
    """The share of the other configurations that each trial beats in each task (T,), by trial."""
    values = {row.trial: found for row in rows if (found := _values(row, tasks, split)) is not None}
    configurations: dict[str, list[str]] = {}
    for row in rows:
        if row.trial in values:
            configurations.setdefault(row.configuration, []).append(row.trial)
    if not configurations:
        return {}
    means = [np.mean([values[t] for t in group], axis=0) for group in configurations.values()]
    others = np.stack(means, axis=1)
    return {
        trial: beaten(values[trial], others, own)
        for own, group in enumerate(configurations.values())
        for trial in group
    }


def _values(row: Row, tasks: Sequence[str], split: str) -> FloatArray | None:
    """The values of the tasks (T,), turned so that higher is better; None where one is missing."""
    scores = row.dev if split == "dev" else row.test
    if any(task not in scores for task in tasks):
        return None
    return np.array([scores[t] if higher_is_better(t) else -scores[t] for t in tasks])
