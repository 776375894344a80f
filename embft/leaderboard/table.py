"""The ranked table as a reader sees it: a line for each configuration, then what did not complete.

Covers the means over seeds, the deltas to the baseline and the rank intervals in words. Ranks and
ties come from `Leaderboard`; nothing here ranks anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from embft.leaderboard.labels import config_label
from embft.leaderboard.rows import Group, Interval, Leaderboard, Row
from embft.metrics.comparison import Comparison
from embft.results.records import Completed, Failed, Pruned, Status

PROBE = "probe_spearman"


@dataclass(frozen=True)
class Line:
    """One line: a completed configuration with all of its seeds, the baseline, or another trial.

    rank: `1`, or two joined by a dash, or empty where there is none. score, interval: the objective
    on test. seeds: the objective of each seed, best on dev first. delta: score minus the
    baseline's. in_best_set, loss_high, to_recommended, to_base, detectable: as a group's. metrics:
    the test metrics. without_leaks: the objective on the test pairs that stand in no other split,
    where some do. probe_change: the probe of general English, minus the baseline's. seconds of
    training, memory in MB, size in bytes. All are means over seeds.
    """

    trial: str
    trials: tuple[str, ...]
    label: str
    status: Status
    params: Mapping[str, Any]
    rank: str = ""
    position: int | None = None
    is_baseline: bool = False
    in_best_set: bool = False
    recommended: bool = False
    score: float | None = None
    interval: Interval | None = None
    seeds: tuple[float, ...] = ()
    seed_names: tuple[int, ...] = ()
    delta: float | None = None
    loss_high: float | None = None
    to_recommended: Comparison | None = None
    to_base: Comparison | None = None
    detectable: float | None = None
    dev: float | None = None
    metrics: Mapping[str, float] | None = None
    without_leaks: float | None = None
    probe_change: float | None = None
    trainable: int | None = None
    seconds: float | None = None
    memory_mb: float | None = None
    size: float | None = None
    reason: str = ""


def scored(leaderboard: Leaderboard) -> Leaderboard:
    """The leaderboard without the configurations whose test score is undefined: they have no place
    in a chart, and stay rows without a rank.
    """
    groups = tuple(group for group in leaderboard.groups if math.isfinite(group.score))
    return (
        leaderboard
        if len(groups) == len(leaderboard.groups)
        else replace(leaderboard, groups=groups)
    )


def table_lines(leaderboard: Leaderboard) -> list[Line]:
    """Completed configurations by rank, the baseline where its score puts it, then the rest."""
    lines = [_group_line(leaderboard, group) for group in leaderboard.groups]
    for row in leaderboard.rows:
        if row.is_baseline:
            lines = _with_baseline(leaderboard, lines, _baseline_line(leaderboard, row))
    grouped = {row.trial for group in leaderboard.groups for row in group.rows}
    rest = [row for row in leaderboard.rows if row.trial not in grouped and not row.is_baseline]
    return lines + [_row_line(leaderboard, row) for row in rest]


def row_label(leaderboard: Leaderboard, row: Row) -> str:
    """A trial in words; of several baselines each says which it is."""
    if not row.is_baseline:
        return config_label(row.params, leaderboard.axes)
    several = sum(other.is_baseline for other in leaderboard.rows) > 1
    return "Baseline, not trained" + (
        f": {config_label(row.params, leaderboard.axes)}" if several else ""
    )


def rank_text(group: Group) -> str:
    """`3`, or `1` to `4` joined by a dash: the ranks that the configuration may have."""
    low, high = group.rank_low, group.rank_high
    return str(group.rank) if low >= high else f"{low}\N{EN DASH}{high}"


def baseline_score(row: Row | None, metric: str) -> float | None:
    """The base model's test score, or None."""
    return row.test.get(metric) if row else None


def mean_of(rows: Sequence[Row], pick: Callable[[Completed], float | None]) -> float | None:
    """The mean over the completed rows that have the value."""
    found = [pick(row.completed) for row in rows if row.completed]
    present = [value for value in found if value is not None]
    return fmean(present) if present else None


def mean_metrics(rows: Sequence[Row], split: str = "test") -> dict[str, float]:
    """The mean over rows of every metric that all of them have."""
    tables = [getattr(row, split) for row in rows if row.completed]
    names = [name for name in tables[0] if all(name in t for t in tables)] if tables else []
    return {name: fmean(table[name] for table in tables) for name in names}


def _group_line(leaderboard: Leaderboard, group: Group) -> Line:
    base, rows = baseline_score(leaderboard.baseline_of(group.best), leaderboard.metric), group.rows
    trainable = mean_of(rows, lambda done: done.trainable_parameters)
    return Line(
        trial=group.best.trial,
        trials=tuple(row.trial for row in rows),
        label=config_label(group.params, leaderboard.axes),
        status=Status.COMPLETED,
        params=group.params,
        rank=rank_text(group),
        position=group.rank,
        in_best_set=bool(group.in_best_set),
        recommended=group.recommended,
        score=group.score,
        interval=group.interval,
        seeds=tuple(row.test[leaderboard.metric] for row in rows if leaderboard.metric in row.test),
        seed_names=tuple(row.seed for row in rows),
        delta=None if base is None else group.score - base,
        loss_high=group.loss_high,
        to_recommended=group.to_recommended,
        to_base=group.to_base,
        detectable=group.detectable,
        dev=group.dev_score,
        metrics=mean_metrics(rows),
        without_leaks=mean_of(rows, lambda done: done.test_without_leaks.get(leaderboard.metric)),
        probe_change=_probe_change(leaderboard, rows),
        trainable=None if trainable is None else round(trainable),
        seconds=mean_of(rows, lambda done: done.timings.train),
        memory_mb=mean_of(rows, lambda done: done.peak_memory_mb),
        size=mean_of(rows, lambda done: done.artifact_bytes),
    )


def _probe_change(leaderboard: Leaderboard, rows: Sequence[Row]) -> float | None:
    """How much of general English was lost (below 0): what the probe gives now, minus before."""
    base = baseline_score(leaderboard.baseline_of(rows[0]), PROBE)
    now = mean_of(rows, lambda done: done.test.get(PROBE))
    return None if base is None or now is None else now - base


def _baseline_line(leaderboard: Leaderboard, row: Row) -> Line:
    group = next((base for base in leaderboard.bases if base.best is row), None)
    return Line(
        trial=row.trial,
        trials=(row.trial,),
        label=row_label(leaderboard, row),
        status=row.status,
        params=row.params,
        is_baseline=True,
        score=row.test.get(leaderboard.metric),
        interval=row.test_intervals.get(leaderboard.metric),
        dev=row.dev.get(leaderboard.metric),
        metrics=row.test,
        without_leaks=mean_of([row], lambda done: done.test_without_leaks.get(leaderboard.metric)),
        memory_mb=mean_of([row], lambda done: done.peak_memory_mb),
        trainable=0 if row.completed else None,
        reason=_reason(row),
        in_best_set=bool(group and group.in_best_set),
        recommended=bool(group and group.recommended),
        loss_high=group.loss_high if group else None,
        to_recommended=group.to_recommended if group else None,
        detectable=group.detectable if group else None,
    )


def _with_baseline(leaderboard: Leaderboard, lines: list[Line], base: Line) -> list[Line]:
    if base.dev is None:
        return [*lines, base]
    sign = 1 if leaderboard.mode == "max" else -1
    better = sum(line.dev is not None and sign * line.dev >= sign * base.dev for line in lines)
    return [*lines[:better], base, *lines[better:]]


def _row_line(leaderboard: Leaderboard, row: Row) -> Line:
    return Line(
        trial=row.trial,
        trials=(row.trial,),
        label=row_label(leaderboard, row),
        status=row.status,
        params=row.params,
        seed_names=(row.seed,),
        reason=_reason(row),
    )


def _reason(row: Row) -> str:
    result = row.result
    if isinstance(result, Failed):
        return result.message or result.reason
    return result.reason if isinstance(result, Pruned) else ""
