"""Learning curves: scores by number of training rows, and what more rows would bring.

The curve is a power law, score = limit - drop x rows^-exponent (Hestness et al., 2017), which says
nothing of what lies beyond a change of regime: what is read off beyond the largest number of rows
is an extrapolation, and its interval covers the errors of the scores, not those of the law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embft.metrics.weighted import FloatArray

# Fewer sizes leave no degree of freedom to see whether such a curve fits.
FEWEST_SIZES = 4
# Between a curve that nearly follows the logarithm and one that is flat after the first sizes.
_EXPONENTS = np.geomspace(0.1, 2.0, 40)
_LEVEL = 0.95


@dataclass(frozen=True)
class Curves:
    """R power laws: limit, drop and exponent (R,); scores are turned so that higher is better.

    left (R,): the squares that the scores leave.
    """

    limit: FloatArray
    drop: FloatArray
    exponent: FloatArray
    left: FloatArray

    def at(self, rows: float | FloatArray) -> FloatArray:
        """The scores (R, m) at these numbers of rows (m,)."""
        grid = np.atleast_1d(np.asarray(rows, np.float64))
        found: FloatArray = (
            self.limit[:, None] - self.drop[:, None] * grid ** -self.exponent[:, None]
        )
        return found


def fit(rows: FloatArray, scores: FloatArray, highest: float | None = None) -> Curves:
    """The power laws of least squares through scores (R, k) at rows (k,), never falling.

    highest: the most that a score can be, which no limit exceeds.
    """
    best = np.full(len(scores), np.inf)
    limits, drops, exponents = (np.zeros(len(scores)) for _ in range(3))
    for exponent in _EXPONENTS:
        limit, drop, left = _linear(rows**-exponent, scores, highest)
        better = left < best
        best = np.where(better, left, best)
        limits[better], drops[better], exponents[better] = limit[better], drop[better], exponent
    return Curves(limits, drops, exponents, best)


def _linear(
    shape: FloatArray, scores: FloatArray, highest: float | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Limit and drop (R,) for one exponent, and the squares that they leave."""
    centred, mean = shape - shape.mean(), scores.mean(axis=1)
    drop = np.maximum(-(scores @ centred) / (centred @ centred), 0.0)
    limit = mean + drop * shape.mean()
    if highest is not None:
        over = limit > highest
        through = np.maximum((highest - scores) @ shape / (shape @ shape), 0.0)
        limit, drop = np.where(over, highest, limit), np.where(over, through, drop)
    left = ((scores - limit[:, None] + drop[:, None] * shape) ** 2).sum(axis=1)
    return limit, drop, left


@dataclass(frozen=True)
class Gain:
    """What `factor` times the most rows would add to the score there, with a 95 % interval.

    p_value: how often scores that follow the law stray from it as far as these do. With one seed
    they are taken to follow it, and it says nothing.
    """

    factor: float
    value: float
    low: float
    high: float
    p_value: float


def gain(  # noqa: PLR0913, PLR0917 - the scores, how they err, and what is asked
    rows: FloatArray,
    scores: FloatArray,
    strayed: FloatArray,
    of_seeds: float | None,
    freedom: int,
    highest: float | None = None,
    factor: float = 2.0,
    seed: int = 0,
) -> Gain | None:
    """The gain that a power law through the scores (k,) at rows (k,) promises.

    strayed (R, k): the scores' errors over resampled evaluation units, the same units for all.
    of_seeds: the variance that training adds to each score, with its degrees of freedom; None where
    there is one seed, and then what the scores stray from the law counts in its place. None for
    fewer than four sizes.
    """
    if len(np.unique(rows)) < FEWEST_SIZES:
        return None
    rng = np.random.default_rng(seed)
    fitted = fit(rows, scores[None], highest)
    curve = fitted.at(rows)[0]
    if of_seeds is None:
        freedom = len(rows) - 3
        of_seeds = float(((scores - curve) ** 2).sum()) / freedom
    count = len(strayed)
    scale = np.sqrt(of_seeds * freedom / rng.chisquare(freedom, (count, 1)))
    drawn = curve + strayed + scale * rng.standard_normal((count, len(rows)))
    ends = np.array([rows.max(), factor * rows.max()])
    refitted = fit(rows, drawn, highest)
    gains = np.diff(refitted.at(ends), axis=1)[:, 0]
    low, high = np.quantile(gains, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    p_value = float(np.mean(refitted.left >= fitted.left[0]))
    return Gain(factor, float(np.diff(fitted.at(ends)[0])[0]), float(low), float(high), p_value)
