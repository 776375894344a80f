"""What counts as a significant difference, and which way it points."""

from __future__ import annotations

from typing import Literal

from embft.metrics.best import LEVEL
from embft.metrics.comparison import Comparison

SIGNIFICANCE = 1 - LEVEL


def direction(mode: str) -> float:
    """1 where higher is better, -1 where lower is."""
    return 1.0 if mode == "max" else -1.0


def is_ahead(comparison: Comparison, mode: str) -> bool:
    """Whether a difference in the metric's own direction is an advantage."""
    return direction(mode) * comparison.difference > 0


def is_significant(comparison: Comparison) -> bool:
    """At the stated error rate, corrected where many were compared."""
    p = comparison.p_value if comparison.p_adjusted is None else comparison.p_adjusted
    return p < SIGNIFICANCE


Outcome = Literal["different", "equal within the tolerance", "unknown"]


def outcome(comparison: Comparison, tolerance: float) -> Outcome:
    """Which of three things a comparison shows.

    Equal within the tolerance: the whole interval lies between minus and plus it. Not significantly
    different alone is unknown.
    """
    if is_significant(comparison):
        return "different"
    within = -tolerance <= comparison.low and comparison.high <= tolerance
    return "equal within the tolerance" if within else "unknown"
