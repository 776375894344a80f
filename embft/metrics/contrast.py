"""Sums and differences of means over the same pairs, with intervals that know of shared texts.

For what is a mean of a value of each pair: a margin, a squared error, a difference of two models'
scores within a group. Other metrics are resampled (`bootstrap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from embft.metrics.resampling import Units
from embft.metrics.weighted import BoolArray, FloatArray, IntArray

LEVEL = 0.95
Term = tuple[float, BoolArray]
"""A factor, and which pairs the mean that it multiplies is taken over, (n,)."""


@dataclass(frozen=True)
class Contrast:
    """A sum of means with its interval."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 where it is significantly above 0, -1 where it is below, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def contrast(
    value: FloatArray, terms: Sequence[Term], units: Units, level: float = LEVEL
) -> Contrast | None:
    """The sum of factor times mean of `value` (n,) over the terms.

    The variance is the sandwich that is robust to pairs of one unit (Liang and Zeger, 1986) or of
    one text (Fafchamps and Gubert, 2007), the degrees of freedom are Welch's (1947) over the units
    that each mean rests on; where means share units, one less than all of these at most. None where
    a mean rests on fewer than two.
    """
    influence, parts, total = np.zeros(len(value)), [], 0.0
    for factor, inside in terms:
        effective = _effective(units, inside)
        if effective < 1.5:
            return None
        mean = float(value[inside].mean())
        own = np.where(inside, factor * (value - mean), 0.0) / inside.sum()
        own *= np.sqrt(effective / (effective - 1))  # Bessel's correction, by units
        influence, total = influence + own, total + factor * mean
        parts.append((_sandwich(own, units), effective - 1))
    most = _most_freedom(units, [inside for _, inside in terms])
    reach = _reach(_sandwich(influence, units), parts, most, level)
    return Contrast(total, total - reach, total + reach)


def level_of_each(count: int, level: float = LEVEL) -> float:
    """The level of each of so many intervals at which all hold together (Bonferroni)."""
    return 1 - (1 - level) / max(count, 1)


def _reach(
    variance: float, parts: Sequence[tuple[float, float]], most: float, level: float
) -> float:
    """Half the interval's width. parts: each mean's variance and degrees of freedom; most: how many
    degrees of freedom all have together at most.
    """
    if variance <= 0:
        return 0.0
    squares = sum(v**2 / freedom for v, freedom in parts)
    freedom = sum(v for v, _ in parts) ** 2 / squares if squares > 0 else min(f for _, f in parts)
    return float(special.stdtrit(min(freedom, most), 0.5 + level / 2) * np.sqrt(variance))


def _most_freedom(units: Units, terms: Sequence[BoolArray]) -> float:
    """The degrees of freedom that means of these pairs have together at most; infinite where they
    share no unit.
    """
    drawn = [np.unique(_drawn(units, inside)) for inside in terms]
    if len(np.unique(np.concatenate(drawn))) == sum(map(len, drawn)):
        return float("inf")
    return _effective(units, np.any(terms, axis=0)) - 1


def _drawn(units: Units, inside: BoolArray) -> IntArray:
    """The unit, or both texts, of each of these pairs."""
    return units.unit[inside] if units.ends is None else units.ends[inside].ravel()


def _effective(units: Units, inside: BoolArray) -> float:
    """How many units of equal size would carry as much as these pairs' (Kish, 1965)."""
    sizes = np.bincount(_drawn(units, inside)).astype(np.float64)
    return float(sizes.sum() ** 2 / max((sizes**2).sum(), 1.0))


def _sandwich(influence: FloatArray, units: Units) -> float:
    """The variance of a sum of influences (n,) of pairs that hang together by units or texts."""
    own = float((np.bincount(units.unit, weights=influence) ** 2).sum())
    if units.ends is None:
        return own
    ends, twice = units.ends.T.ravel(), np.tile(influence, 2)
    by_text = np.bincount(ends, weights=twice)
    # Two pairs of the same two texts share both, and count once.
    return max(float((by_text**2).sum()) - own, own)
