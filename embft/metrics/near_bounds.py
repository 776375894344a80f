"""Intervals of scores that have an edge: shares, AUC, and correlations with labels 0 and 1.

Near its edge a score's own resamples say too little: 300 pairs in perfect order resample to perfect
order, and of a few rare mistakes a sample has none or too many. There the interval is Wilson's
(1927): the true values that the score is not too far from, by a variance that depends on the true
value. It is p (1 - p) / n for shares, and for AUC that of Hanley and McNeil (1982), as in Newcombe
(2006). What the model leaves out (heavy tails, pairs that share texts) comes from the units' own
variance: the ratio of both scales the model's, the more the more units carry the score.

Spearman and Kendall of labels 0 and 1 are (2 AUC - 1) times a ceiling that the labels and ties
set; AUC's interval is joined with the ceiling's as a product's (Zou and Donner, 2008).

Average precision has no such model. Its interval is symmetric on the logit scale (Boyd, Eng and
Page, 2013), by the units' own variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from embft.metrics.resampling import Units, deletion_chunks
from embft.metrics.weighted import FloatArray, Metrics, SortedPairs, weigh

Variance = Callable[[float], float]

# So many degrees of freedom of the units' variance count as much as the model does.
_MODEL_FREEDOM = 5.0
# Nearer to no correlation its sign is open, and the ordinary interval is right.
_CORRELATED = 0.6
_END, _NEAR = 1e-12, 1e-9
# On the logit scale few mistakes are skewed already: as fewer units than this they do not count.
_FEWEST_CARRYING = 8.0


def normal_width(units: float, level: float) -> float:
    """The normal quantile of a two-sided level, widened for so many units (Hesterberg, 2015)."""
    drawn = max(units, 2.0)
    t = special.stdtrit(drawn - 1, 0.5 + level / 2)
    return float(min(t * np.sqrt(drawn / (drawn - 1)), 8.0))


@dataclass(frozen=True)
class Sample:
    """How a score's units were drawn. units: how many independent ones there are. design: their
    variance over that of as many independent pairs. scale: the factor of the jackknife's variance.
    """

    units: float
    level: float
    design: float
    scale: float

    def width(self, carried: float = np.inf) -> float:
        """How many standard errors it reaches to a side, where so many units carry the score."""
        return normal_width(min(self.units, carried), self.level)

    def error(self, found: Influence) -> float:
        """The standard error by what leaving out units does."""
        return float(np.sqrt(found.variance * self.scale))


Ends = Callable[[FloatArray, Sample], tuple[float, float] | None]
"""An interval's ends from the score without each of k parts of the units, (k,)."""


@dataclass(frozen=True)
class Influence:
    """What leaving out units does to a score: deleted (k,) its values without each of k parts."""

    deleted: FloatArray

    @property
    def variance(self) -> float:
        """The jackknife's variance of the score (Tukey, 1958)."""
        k = len(self.deleted)
        return float((k - 1) / k * ((self.deleted - self.deleted.mean()) ** 2).sum())

    @property
    def freedom(self) -> float:
        """The degrees of freedom of that variance: how many units carry the score.

        n for the mean of n normal values, twice the number of events for a share of rare events, 0
        where no unit changes anything.
        """
        squares = (self.deleted - self.deleted.mean()) ** 2
        total, k = float(squares.sum()), len(squares)
        if total <= _END**2:
            return 0.0
        excess = float((squares**2).sum()) - total**2 / k
        return float("inf") if excess <= 0 else float(2 * total**2 / excess)


@dataclass(frozen=True)
class Edge:
    """A score in [0, 1], and its variance at a true value if units were independent."""

    score: float
    variance: Variance

    def interval(self, found: Influence, sample: Sample) -> tuple[float, float]:
        """The true values that the score is at most so many standard errors from."""
        width, seen, freedom = sample.width(), found.variance * sample.scale, found.freedom
        share = freedom / (freedom + _MODEL_FREEDOM) if np.isfinite(freedom) else 1.0
        modelled = self.variance(float(np.clip(self.score, _END, 1 - _END)))
        ratio = float(sample.design ** (1 - share))  # alone, where no unit carries the score
        if share and modelled > 0 and seen > 0:
            ratio *= float((seen / modelled) ** share)

        def beyond(true: float) -> float:
            return float((self.score - true) ** 2 - width**2 * ratio * self.variance(true))

        return _root(beyond, _END, self.score), _root(beyond, 1 - _END, self.score)


def _root(beyond: Callable[[float], float], end: float, score: float) -> float:
    """Where it changes its sign between an end and the score; the end itself where it does not."""
    if abs(end - score) < _NEAR or beyond(end) <= 0:
        return float(round(end))
    # At an edge the score itself is a root, but not the one that is asked for.
    return float(brentq(beyond, end, score + np.copysign(_NEAR, end - score)))


def share(score: float, count: float) -> Edge:
    """A share of `count` independent pairs."""
    return Edge(score, lambda true: true * (1 - true) / max(count, 1.0))


def area(score: float, ones: float, zeros: float) -> Edge:
    """AUC of so many labels 1 and 0, by the variance of Hanley and McNeil (1982)."""

    def variance(true: float) -> float:
        first, second = true / (2 - true), 2 * true**2 / (1 + true)
        return (
            true * (1 - true) + (ones - 1) * (first - true**2) + (zeros - 1) * (second - true**2)
        ) / (ones * zeros)

    return Edge(score, variance)


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with labels 0 and 1 as the product of 2 AUC - 1 and its ceiling.

    ceilings (k,): the ceiling without each of k parts of the units. ones, zeros: labels.
    """

    score: float
    ceiling: float
    ceilings: FloatArray
    ones: float
    zeros: float

    @property
    def auc(self) -> float:
        """The AUC (0 to 1) that goes with that correlation."""
        return float(np.clip((1 + self.score / self.ceiling) / 2, 0.0, 1.0))

    def interval(self, deleted: FloatArray, sample: Sample) -> tuple[float, float] | None:
        """The interval of the correlation, or None where the AUC is near a half."""
        sign = 1.0 if self.auc >= 0.5 else -1.0
        turned = max(self.auc, 1 - self.auc)
        if turned < _CORRELATED:
            return None
        areas = Influence((1 + sign * deleted / self.ceilings) / 2)
        edge = area(turned, self.ones, self.zeros)
        low, high = (2 * end - 1 for end in edge.interval(areas, sample))
        of_ceiling = sample.width() * sample.error(Influence(np.log(self.ceilings)))
        centre = np.log(2 * turned - 1)
        below = np.hypot(centre - np.log(low), of_ceiling) if low > 0 else np.inf
        above = np.hypot(np.log(high) - centre, of_ceiling)
        ends = abs(self.score) * np.exp(-below), min(abs(self.score) * np.exp(above), 1.0)
        return (float(ends[0]), float(ends[1])) if sign > 0 else (-float(ends[1]), -float(ends[0]))


def ceilings(pairs: SortedPairs, weights: FloatArray) -> Metrics:
    """What Spearman and Kendall of labels 0 and 1 would be in perfect order, (R,) for weights."""
    drawn = weigh(pairs, weights)
    ones, zeros = drawn.label_counts
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "spearman": ones * zeros / 2 / np.sqrt(drawn.ranks.squares),
            "kendall": 2 * ones * zeros / np.sqrt(drawn.ranks.untied),
        }


@dataclass(frozen=True)
class Bounded:
    """A metric of pairs with labels 0 and 1.

    rarer: how many independent units have the rarer label. interval: its ends, None for a metric
    without an edge.
    """

    rarer: float
    interval: Ends | None = None


def edges_of_pairs(
    seeds: Sequence[SortedPairs], by_seed: Metrics, units: Units, seed: int
) -> dict[str, Bounded]:
    """What is known of each metric's edge, for the mean over seeds."""
    n = len(seeds[0].label)
    ones = float(seeds[0].label.sum())
    means = {name: float(values.mean()) for name, values in by_seed.items()}
    found: dict[str, Ends] = {}
    if "auc" in means:
        found["auc"] = _ends(area(means["auc"], ones, n - ones))
    for name, count in _counts(seeds, ones).items():
        if name in means:
            found[name] = _ends(share(means[name], count))
    if "f1" in means:
        found["f1"] = _f1(means["f1"], seeds)
    if "average_precision" in means:
        found["average_precision"] = _on_logit_scale(means["average_precision"])
    for name in {"spearman", "kendall"} & set(means):
        found[name] = _correlation(name, means[name], seeds, units, seed).interval
    by_row = np.empty(n)
    by_row[seeds[0].order] = seeds[0].label
    rarer = min(units.of(np.flatnonzero(by_row == value)).effective for value in (0.0, 1.0))
    return {name: Bounded(rarer, found.get(name)) for name in means}


def _ends(edge: Edge) -> Ends:
    return lambda deleted, sample: edge.interval(Influence(deleted), sample)


def _on_logit_scale(score: float) -> Ends:
    def ends(deleted: FloatArray, sample: Sample) -> tuple[float, float] | None:
        found = Influence(deleted)
        error = sample.error(found)
        if error <= _END or not _END < score < 1 - _END:
            return None
        carried = max(found.freedom + 1, _FEWEST_CARRYING)
        half = sample.width(carried) * error / (score * (1 - score))
        low, high = special.expit(special.logit(score) + half * np.array([-1.0, 1.0]))
        return float(low), float(high)

    return ends


def _counts(seeds: Sequence[SortedPairs], ones: float) -> dict[str, float]:
    """Of how many pairs each share is, the mean over seeds."""
    taken = np.mean([(pairs.score >= pairs.threshold).sum() for pairs in seeds])
    return {"accuracy": float(len(seeds[0].label)), "recall": ones, "precision": float(taken)}


def _f1(mean: float, seeds: Sequence[SortedPairs]) -> Ends:
    """By the share of true positives among all that are labelled or predicted 1 (Jaccard):
    F1 = 2 J / (1 + J).
    """
    either = [((p.score >= p.threshold) | (p.label == 1)).sum() for p in seeds]
    edge = share(mean / (2 - mean), float(np.mean(either)))

    def ends(deleted: FloatArray, sample: Sample) -> tuple[float, float]:
        found = Influence(deleted / (2 - deleted))
        low, high = edge.interval(found, sample)
        return 2 * low / (1 + low), 2 * high / (1 + high)

    return ends


def _correlation(
    name: str, mean: float, seeds: Sequence[SortedPairs], units: Units, seed: int
) -> Correlation:
    """A rank correlation with its ceiling, the mean over seeds, whose ties may differ."""
    n, ones = len(seeds[0].label), float(seeds[0].label.sum())
    whole = np.mean([ceilings(pairs, np.ones((1, n)))[name][0] for pairs in seeds])
    without = [
        np.concatenate([ceilings(pairs, w)[name] for w in deletion_chunks(units, seed)])
        for pairs in seeds
    ]
    return Correlation(mean, float(whole), np.mean(without, axis=0), ones, n - ones)
