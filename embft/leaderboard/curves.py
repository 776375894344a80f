"""Scores by epoch, and score against cost: the points of two charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from embft.leaderboard.front import pareto_front
from embft.leaderboard.labels import config_label
from embft.leaderboard.rows import Leaderboard, Row
from embft.results.records import Completed, Status


@dataclass(frozen=True)
class CurvePoint:
    """One trial at one evaluation, after an epoch or between. score: objective on dev. chosen: the
    one that was kept. step: of the optimizer. pruned: the trial was stopped early.
    """

    trial: str
    label: str
    epoch: float
    step: int
    score: float
    loss: float | None
    chosen: bool
    recommended: bool
    pruned: bool = False


@dataclass(frozen=True)
class CostPoint:
    """One configuration. seconds of training, parameters trained: means over seeds.

    On the front: no other configuration is at least as good and cheaper, or better and as cheap.
    """

    trial: str
    trials: tuple[str, ...]
    label: str
    score: float
    interval: tuple[float, float] | None
    seconds: float
    parameters: float
    on_seconds_front: bool
    on_parameters_front: bool
    recommended: bool


def curve_rows(leaderboard: Leaderboard, most: int = 60) -> list[Row]:
    """The trials whose curves are drawn: those that came furthest up the leaderboard."""
    return [row for row in leaderboard.rows if row.epochs and not row.is_baseline][:most]


def curve_points(leaderboard: Leaderboard, rows: Sequence[Row]) -> list[CurvePoint]:
    """A point for each evaluation of these trials that has the objective."""
    shipped = leaderboard.shown
    leaders = {row.trial for row in shipped.rows} if shipped else set()
    return [
        CurvePoint(
            trial=row.trial,
            label=config_label(row.params, leaderboard.axes),
            epoch=epoch.epoch,
            step=epoch.step,
            score=epoch.dev[leaderboard.epoch_metric],
            loss=epoch.loss,
            chosen=bool(row.completed and row.completed.best_epoch == epoch.epoch),
            recommended=row.trial in leaders,
            pruned=row.status == Status.PRUNED,
        )
        for row in rows
        for epoch in row.epochs
        if leaderboard.epoch_metric in epoch.dev
    ]


def by_steps(epochs: Iterable[float]) -> bool:
    """Whether any of these evaluations came within an epoch."""
    return any(epoch % 1 for epoch in epochs)


def chosen_epochs(leaderboard: Leaderboard) -> list[tuple[float, float]]:
    """For each completed trial: the epoch that was kept, and the last one."""
    return [
        (row.completed.best_epoch, max(epoch.epoch for epoch in row.epochs))
        for row in leaderboard.rows
        if row.completed and row.completed.best_epoch is not None and row.epochs
    ]


def chance_of_last(leaderboard: Leaderboard, last: int) -> tuple[float, float]:
    """How probable it is that at most, and that at least, so many trials are best at their last
    evaluation where all of a trial's evaluations are equally good.

    Trials of a single evaluation, which is always the last, say nothing: they are left out.
    """
    counts = [
        len(row.epochs)
        for row in leaderboard.rows
        if row.completed and row.completed.best_epoch is not None and row.epochs
    ]
    chances = np.ones(1)  # of 0, 1, … trials
    for count in counts:
        if count > 1:
            chances = np.convolve(chances, [1 - 1 / count, 1 / count])
    last -= sum(count == 1 for count in counts)
    return float(chances[: last + 1].sum()), float(chances[max(last, 0) :].sum())


def cost_points(leaderboard: Leaderboard) -> list[CostPoint]:
    """A point for each completed configuration, by rank."""
    sign = 1.0 if leaderboard.mode == "max" else -1.0
    scores = [sign * group.score for group in leaderboard.groups]
    done = [[row.completed for row in group.rows if row.completed] for group in leaderboard.groups]
    seconds = [_mean_seconds(found) for found in done]
    sizes = [fmean(found.trainable_parameters for found in rows) for rows in done]
    by_seconds, by_size = (pareto_front(scores, [(c,) for c in of]) for of in (seconds, sizes))
    return [
        CostPoint(
            trial=group.best.trial,
            trials=tuple(row.trial for row in group.rows),
            label=config_label(group.params, leaderboard.axes),
            score=group.score,
            interval=group.interval,
            seconds=seconds[i],
            parameters=sizes[i],
            on_seconds_front=by_seconds[i],
            on_parameters_front=by_size[i],
            recommended=group.recommended,
        )
        for i, group in enumerate(leaderboard.groups)
    ]


def _mean_seconds(results: Sequence[Completed]) -> float:
    return fmean(result.timings.train for result in results)
