"""What difference a comparison can show, and how many pairs or seeds show a given one.

Covers the power of the paired comparison in `comparison`: a two-sided t-test of a difference whose
variance comes of the evaluation pairs and, where there are several seeds, of training. The pairs'
part falls as 1 / pairs and the seeds' part as 1 / seeds. Metrics are none of its business: who
calls it knows the variances, from resamples or from a model of scores.

A power is the probability that a true difference of this size comes out significant. What is
"detectable" is so at a power of 80 % and a level of 5 % unless others are given; for the largest
of k comparisons that are corrected together, give the level of a single one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.optimize import brentq

from embft.metrics.weighted import FloatArray

POWER, LEVEL = 0.8, 0.05
# More pairs or seeds than this are none that anybody has.
_MOST = 1 << 40
_NODES = 2000


@dataclass(frozen=True)
class Design:
    """How two configurations are compared, and what their difference varies by.

    pairs, units: the evaluation pairs, and how many independent ones they are worth. pairs_variance
    is what these pairs add to the variance of the difference. seeds_variance is what training adds
    with one seed of each, None where it is unknown, which it is from a single seed; with `seeds` of
    1 it does not count, and the comparison is of these trained models. Of seeds_variance the
    degrees of freedom are `configurations` x (seeds - 1), those over which it is pooled.
    """

    pairs: int
    units: float
    pairs_variance: float
    seeds: int = 1
    seeds_variance: float | None = None
    configurations: int = 2

    @property
    def variance(self) -> float:
        """The variance of the difference."""
        return self.pairs_variance + self._of_seeds

    @property
    def freedom(self) -> float:
        """The degrees of freedom of that variance (Satterthwaite, 1946)."""
        of_pairs = max(self.units - 1, 1.0)
        if self._of_seeds == 0:
            return of_pairs
        of_seeds = self.configurations * (self.seeds - 1)
        parts = self.pairs_variance**2 / of_pairs + self._of_seeds**2 / of_seeds
        return float(self.variance**2 / parts)

    @property
    def _of_seeds(self) -> float:
        return (self.seeds_variance or 0.0) / self.seeds if self.seeds > 1 else 0.0

    def with_pairs(self, pairs: int) -> Design:
        """The same comparison on more or fewer pairs of the same kind."""
        share = self.pairs / pairs
        variance = self.pairs_variance * share
        return replace(self, pairs=pairs, units=self.units / share, pairs_variance=variance)


def power_of(difference: float, error: float, freedom: float, *, level: float = LEVEL) -> float:
    """The probability that a true difference comes out significant at this two-sided level.

    error: the standard error of the difference, freedom: its degrees of freedom. 1 where the error
    is 0 and the difference is not.
    """
    if error <= 0:
        return 1.0 if difference else level
    cut = special.stdtrit(freedom, 1 - level / 2) * _scales(freedom)
    away = abs(difference) / error
    return float(np.mean(special.ndtr(away - cut) + special.ndtr(-away - cut)))


def detectable_difference(
    error: float, freedom: float, *, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest true difference, 0 or more, that comes out significant with this power.

    error and freedom as in `power_of`. Raises ValueError for a power that is not between level
    and 1.
    """
    if not level < power < 1:
        raise ValueError(f"power is {power}: it must be above the level, {level}, and below 1")
    if error <= 0:
        return 0.0
    widest = 2.0
    while power_of(widest, 1.0, freedom, level=level) < power:
        widest *= 2
    found = brentq(lambda away: power_of(away, 1.0, freedom, level=level) - power, 0.0, widest)
    return float(error * found)


def detectable(design: Design, *, power: float = POWER, level: float = LEVEL) -> float:
    """`detectable_difference` of a design."""
    error = float(np.sqrt(design.variance))
    return detectable_difference(error, design.freedom, power=power, level=level)


def pairs_needed(
    design: Design, difference: float, *, power: float = POWER, level: float = LEVEL
) -> int | None:
    """The fewest pairs, 2 or more, that show this difference with the design's seeds.

    None where no number of pairs does, because the seeds alone vary too much. Raises ValueError for
    a difference of 0.
    """
    return _fewest(2, lambda n: _shows(design.with_pairs(n), difference, power, level))


def seeds_needed(
    design: Design, difference: float, *, power: float = POWER, level: float = LEVEL
) -> int | None:
    """The fewest seeds, 2 or more, that show this difference between configurations on these pairs.

    None where no number of seeds does, because the pairs alone leave too much open, and where the
    seeds' variance is unknown. Raises ValueError for a difference of 0.
    """
    if design.seeds_variance is None:
        return None
    return _fewest(2, lambda s: _shows(replace(design, seeds=s), difference, power, level))


def _shows(design: Design, difference: float, power: float, level: float) -> bool:
    if not difference:
        raise ValueError("a difference of 0 cannot be shown by any number of pairs or seeds")
    error = float(np.sqrt(design.variance))
    return power_of(difference, error, design.freedom, level=level) >= power


def _fewest(least: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest number from `least` on that is enough, or None; more are never worse."""
    high = least
    while not enough(high):
        if high > _MOST:
            return None
        high *= 2
    low = max(high // 2, least - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=256)
def _scales(freedom: float) -> FloatArray:
    """Equally probable values of an estimated error over the true one: sqrt(chi squared / freedom).

    Averaging over them gives the noncentral t distribution, of which scipy 1.17 returns NaN in one
    tail (`nctdtr`) and does not come to an end for few degrees of freedom (`nctdtrinc`).
    """
    share = (np.arange(_NODES) + 0.5) / _NODES
    scales: FloatArray = np.sqrt(special.chdtri(freedom, share) / freedom)
    return scales
