"""How many steps of the optimizer a training has."""

from __future__ import annotations

import math

from embft.spec import TrainSpec


def epoch_steps(spec: TrainSpec, rows: int) -> int:
    """Of one epoch; one more where many rows share texts that a batch may have once."""
    return max(1, math.ceil(rows / spec.batch_size))


def training_steps(spec: TrainSpec, rows: int) -> int:
    """Of a training on so many rows, if nothing stops it early."""
    steps = epoch_steps(spec, rows) * spec.epochs
    return min(steps, spec.max_steps or steps)
