"""How two models of a sweep would be compared on one split, by what is known of scores.

Covers scores of pairs and values of an evaluator's units alike, once they are resampled. The
variance of a difference is that of the leaderboard's comparison: weights go a part of the way to a
resample's (`Resampling.linear`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from embft.metrics.bootstrap import BootstrapResult, sampled_variance
from embft.metrics.comparison import difference_variance
from embft.metrics.power import Design
from embft.metrics.resampling import Resampling

Basis = Literal["trained trials", "base model", "assumed scores"]
# Between two models' scores over resampled pairs.
CORRELATIONS = (0.5, 0.95)


@dataclass(frozen=True)
class Known:
    """Designs of comparisons on one split, and what they come from.

    unit: what one is called. few_of_label: that too few pairs have a label, in words.
    """

    basis: Basis
    designs: tuple[Design, ...]
    seeds_sd: float | None = None
    unit: str = "pair"
    few_of_label: str | None = None


def resampling(metric: str) -> Resampling:
    """How scores are resampled for their variance."""
    return Resampling(only=(metric,), intervals=False, linear=True)


def of_trained(
    results: Sequence[BootstrapResult], metric: str, seeds: int, units: int, unit: str = "pair"
) -> Known:
    """A design for each couple of configurations, with the seeds' variance where it is known."""
    squares = [float(((v - v.mean()) ** 2).sum()) for v in (r.by_seed[metric] for r in results)]
    freedom = sum(len(result.by_seed[metric]) - 1 for result in results)
    own = sum(squares) / freedom if freedom else None
    designs = [
        Design(
            pairs=units,
            units=one.effective_units,
            pairs_variance=difference_variance(one, other, metric),
            seeds=seeds,
            seeds_variance=None if own is None else 2 * own,
            configurations=len(results),
        )
        for one, other in combinations(results, 2)
    ]
    sd = None if own is None else float(np.sqrt(own))
    return Known("trained trials", tuple(designs), sd, unit)


def correlated(
    low: float, high: float, units: int, effective: float, seeds: int
) -> Iterator[Design]:
    """The difference of two models of a variance between these, at the stated correlations."""
    for variance, correlation in zip((low, high), reversed(CORRELATIONS), strict=True):
        yield Design(units, effective, 2 * variance * (1 - correlation), seeds)


def score_variance(found: BootstrapResult, metric: str) -> float:
    """What the pairs add to the variance of a score."""
    return sampled_variance(found.samples[metric], found.pair_samples.get(metric), found.excess)
