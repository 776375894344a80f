"""How large a first sweep may be, so that this machine runs it in a given time.

An estimate from the length of the texts, the base model's weights and the speed of one product of
matrices, measured here. `embft plan --measure` runs the trials' first steps and is exact.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

TOKEN_CHARACTERS = 4.2  # of English text, with the usual vocabularies
# A step takes so much longer than its products alone, and so much besides (docs/performance.md).
_BESIDE_PRODUCTS, _STEP_SECONDS = 1.6, 0.015
_TRIAL_SECONDS = 8.0  # a worker starts, saves, loads again and scores
_SWEEP_SECONDS = 20.0  # driver and Ray start, the baseline, the report
# Passes over the weights, two floating-point operations each: forward, the activations' gradients,
# and those of the weights where these are trained.
_PASSES = {"lora": 4, "full": 6}
_LEAST_STEPS = 60
_MEASURE_SECONDS = 0.4


@dataclass(frozen=True)
class Work:
    """What every trial does. rows: trained on. scored: rows of dev and test. tokens: of a row, all
    of its texts. weights: those that each token meets.
    """

    rows: int
    scored: int
    tokens: float
    weights: int
    batch_size: int

    @property
    def epoch_steps(self) -> int:
        """Steps of the optimizer in one epoch."""
        return max(1, math.ceil(self.rows / self.batch_size))


@dataclass(frozen=True)
class Design:
    """A search space. max_steps: where not even one epoch fits."""

    ranks: tuple[int, ...]
    lora_rates: tuple[float, ...]
    full_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int
    max_steps: int | None = None

    @property
    def trials(self) -> dict[str, int]:
        """How many trials each method has."""
        lora = len(self.ranks) * len(self.lora_rates)
        return {
            "lora": lora * len(self.seeds),
            "full": len(self.full_rates) * len(self.seeds),
        }

    @property
    def count(self) -> int:
        """All trials."""
        return sum(self.trials.values())


_LARGE = Design((8, 32), (2e-4, 1e-3), (2e-5, 5e-5), (42, 43, 44), 4)
_SMALL = Design((8,), (1e-3,), (2e-5,), (42,), 1)
DESIGNS = (
    _LARGE,
    replace(_LARGE, ranks=(16,)),
    replace(_LARGE, seeds=(42,)),
    replace(_LARGE, ranks=(16,), seeds=(42,)),
    replace(_LARGE, ranks=(16,), seeds=(42,), epochs=2),
    replace(_SMALL, epochs=2),
    _SMALL,
)


def fitting(work: Work, speed: float, seconds: float) -> Design:
    """The largest of `DESIGNS` that takes no longer. speed: floating-point operations a second."""
    for design in DESIGNS:
        if sweep_seconds(work, design, speed) <= seconds:
            return design
    return replace(_SMALL, max_steps=_steps_in(work, speed, seconds))


def sweep_seconds(work: Work, design: Design, speed: float) -> float:
    """How long a sweep takes."""
    steps = min(work.epoch_steps * design.epochs, design.max_steps or work.epoch_steps * 1000)
    evaluations = math.ceil(steps / work.epoch_steps) + 2
    each = [
        count * (_TRIAL_SECONDS + steps * step + evaluations * _scoring(work, speed))
        for count, step in _steps(work, design, speed)
    ]
    return _SWEEP_SECONDS + sum(each)


def _steps_in(work: Work, speed: float, seconds: float) -> int:
    """How many steps each trial of the smallest design may have."""
    left = seconds - _SWEEP_SECONDS - _SMALL.count * (_TRIAL_SECONDS + 3 * _scoring(work, speed))
    each = sum(count * step for count, step in _steps(work, _SMALL, speed))
    return max(_LEAST_STEPS, int(left / each) // 10 * 10)


def _steps(work: Work, design: Design, speed: float) -> Iterator[tuple[int, float]]:
    """Of each method the number of trials, and the seconds of a step."""
    tokens = work.tokens * min(work.batch_size, work.rows)
    for method, count in design.trials.items():
        products = _PASSES[method] * work.weights * tokens / speed
        yield count, _STEP_SECONDS + _BESIDE_PRODUCTS * products


def _scoring(work: Work, speed: float) -> float:
    return 2 * work.weights * work.tokens * work.scored / speed


def machine_speed() -> float:
    """Floating-point operations a second of a product as trainings have them, where they will run:
    on the GPU if there is one, else on all cores.
    """
    import torch

    from embft.training.precision import resolve_precision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.bfloat16 if resolve_precision("auto", device) == "bf16" else torch.float32
    one = torch.randn(640, 384, dtype=kind, device=device)
    other = torch.randn(384, 1536, dtype=kind, device=device)
    operations, fastest = 2 * 640 * 384 * 1536, math.inf
    end = time.perf_counter() + _MEASURE_SECONDS
    while (start := time.perf_counter()) < end or fastest == math.inf:
        one @ other
        if device == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - start)
    return operations / fastest
