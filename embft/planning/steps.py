"""How many steps of the optimizer a training has."""

from __future__ import annotations

import math

from embft.spec import TrainSpec


def epoch_steps(spec: TrainSpec, rows: int) -> int:
    """The optimizer steps of one epoch.

    One more where many rows share texts that a batch may hold only once.
    """
    return max(1, math.ceil(rows / spec.batch_size))


def training_steps(spec: TrainSpec, rows: int) -> int:
    """The optimizer steps of a training on so many rows, if nothing stops it early."""
    steps = epoch_steps(spec, rows) * spec.epochs
    return min(steps, spec.max_steps or steps)


def evaluations(spec: TrainSpec, rows: int) -> int:
    """How often a training on so many rows is scored on dev, if nothing stops it early."""
    steps = training_steps(spec, rows)
    ends = math.ceil(steps / epoch_steps(spec, rows))
    if not spec.evaluation_steps:
        return ends
    every, epoch = spec.evaluation_steps, epoch_steps(spec, rows)
    both = len({*range(every, steps + 1, every)} & {*range(epoch, steps + 1, epoch)})
    return ends + steps // every - both


def steps_before(spec: TrainSpec, rows: int, evaluation: int) -> int:
    """The optimizer steps before the evaluation of this number, counted from 1; all, if there are
    fewer.
    """
    steps, epoch = training_steps(spec, rows), epoch_steps(spec, rows)
    every = spec.evaluation_steps or steps
    points: list[int] = sorted({*range(epoch, steps, epoch), *range(every, steps, every), steps})
    return points[min(evaluation, len(points)) - 1]
