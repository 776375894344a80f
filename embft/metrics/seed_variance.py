"""How much a score varies with the seed of training, from few seeds of many configurations.

Three seeds of one configuration say next to nothing of their variance (two degrees of freedom), so
that of all configurations is estimated together. The model is additive: score = configuration +
seed + rest. What a seed does to all configurations alike cancels in the differences of those that
have it; the rest is the variance that counts.

Where configurations differ in how much they vary by more than chance makes them, each keeps a part
of its own: the variances are moderated as in limma (Smyth, 2004), whose prior degrees of freedom
say how alike they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from embft.metrics.weighted import BoolArray, FloatArray

# Fewer configurations say nothing of how much variances differ between them.
_FEWEST_MODERATED = 5
_LARGEST_PRIOR = 1e6


@dataclass(frozen=True)
class SeedVariance:
    """Variances of a single seed's score, with their degrees of freedom.

    own (K,): of each configuration's rest. shared: of what a seed does to all configurations alike.
    pooled: one number for `own`. together: whether `own` is that number for all, so that its error
    is common to all.
    """

    own: FloatArray
    own_freedom: FloatArray
    shared: float
    shared_freedom: float
    pooled: float
    together: bool


def seed_variance(scores: FloatArray) -> SeedVariance | None:
    """The variances from scores (K, S), a column for each seed, NaN where one is missing.

    None where no configuration has two seeds. One with a single seed gets what the others have.
    """
    here = np.isfinite(scores)
    several = here & (here.sum(axis=1, keepdims=True) > 1)
    if not several.any():
        return None
    squares, freedom = _rest(scores, several)
    total = float(freedom.sum())
    pooled = float(squares.sum()) / total
    prior, prior_freedom = _prior(squares, freedom)
    shared = _shared(scores[here.all(axis=1)], pooled)
    if not np.isfinite(prior_freedom):
        everywhere = np.ones(len(scores))
        return SeedVariance(pooled * everywhere, total * everywhere, *shared, pooled, True)
    own = (prior_freedom * prior + squares) / (prior_freedom + freedom)
    return SeedVariance(
        own, np.minimum(prior_freedom + freedom, total), *shared, pooled, together=False
    )


def _rest(scores: FloatArray, used: BoolArray) -> tuple[FloatArray, FloatArray]:
    """For each configuration the sum of squares (K,) of what configuration and seed leave of its
    scores, and its degrees of freedom. Least squares, since seeds may be missing.
    """
    row, column = np.nonzero(used)
    k, s = scores.shape
    design = np.zeros((len(row), k + s))
    design[np.arange(len(row)), row] = 1.0
    design[np.arange(len(row)), k + column] = 1.0
    basis = _basis(design)
    if basis.shape[1] == len(row) or len(np.unique(row)) == 1:
        # Seeds that take all the degrees of freedom cannot be separated from the rest.
        basis = _basis(design[:, :k])
    rest = scores[row, column] - basis @ (basis.T @ scores[row, column])
    leverage = 1.0 - (basis**2).sum(axis=1)
    return (
        np.bincount(row, weights=rest**2, minlength=k).astype(np.float64),
        np.bincount(row, weights=leverage, minlength=k).astype(np.float64),
    )


def _basis(design: FloatArray) -> FloatArray:
    """An orthonormal basis of the design's columns."""
    basis, sizes, _ = np.linalg.svd(design, full_matrices=False)
    kept: FloatArray = basis[:, sizes > 1e-9 * sizes[0]]
    return kept


def _shared(complete: FloatArray, pooled: float) -> tuple[float, float]:
    """The variance of seeds' means over the configurations that have them all, less their rest."""
    count, seeds = complete.shape
    if count < 2 or seeds < 2:
        return 0.0, max(seeds - 1.0, 1.0)
    between = float(complete.mean(axis=0).var(ddof=1))
    return max(between - pooled / count, 0.0), seeds - 1.0


def _prior(squares: FloatArray, freedom: FloatArray) -> tuple[float, float]:
    """The scaled inverse chi-squared distribution that the variances come from: its scale and its
    degrees of freedom, infinite where they differ no more than by chance (Smyth, 2004, 6.2).
    """
    known = (freedom > 1e-9) & (squares > 0)
    if known.sum() < max(_FEWEST_MODERATED, (freedom > 1e-9).sum()):
        return 0.0, np.inf
    half = freedom[known] / 2
    logs = np.log(squares[known] / 2) - special.digamma(half)
    excess = float(logs.var(ddof=1) - special.polygamma(1, half).mean())
    if excess <= special.polygamma(1, _LARGEST_PRIOR / 2):
        return 0.0, np.inf
    found = float(brentq(lambda d: special.polygamma(1, d / 2) - excess, 1e-6, _LARGEST_PRIOR))
    return float(np.exp(logs.mean() + special.digamma(found / 2)) * 2 / found), found
