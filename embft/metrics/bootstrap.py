"""How sure a score is: intervals from resampling the evaluation pairs, and from seeds.

Covers one trial, or the trials of one configuration that differ in their seed alone. Which trial
is better is asked in `comparison`; what is drawn is in `resampling`.

Intervals are BCa (Efron, 1987): their ends are quantiles of the resampled scores, moved for the
bias and the skewness that plain quantiles ignore; levels are first widened as Student's t widens
the normal (Hesterberg, 2015), for the number of units that carry the score. Scores with an edge
have theirs in `near_bounds`.

Seeds are joined to the pairs' interval by squares on each side (Zou and Donner, 2008): a t interval
of S seeds' mean where it is they that vary, a normal one where they add little to the pairs'
variance, between these by their share of both. (With t whatever their share, 98 to 99 % of the
intervals of two seeds hold, simulated; by it 93 to 97 %; with Satterthwaite's degrees of freedom
for both together, 87 % where it is the seeds that vary.)
What the choice of pairs makes seeds differ by is in both parts: subtracted from the sd, as the
analysis of variance has it, it left 90 % intervals of two seeds.
Resampling three seeds with replacement would find only two thirds of their variance, and could
never reach the tails; with one seed nothing is known of it, and the interval says how sure the
score of that one model is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import special

from embft.metrics.ceilings import RANK_CORRELATIONS, ceiling
from embft.metrics.near_bounds import Bounded, Influence, Sample, edges_of_pairs, normal_width
from embft.metrics.pairs import sorted_metrics, weighted_metrics
from embft.metrics.resampling import (
    Resampling,
    Scheme,
    Units,
    deletion_chunks,
    independent_pairs,
    pair_weight_chunks,
    weight_chunks,
)
from embft.metrics.weighted import FloatArray, Metrics, SortedPairs, sort_pairs

# Of the resamples, the share that may leave a metric undefined before no interval is given.
_MAX_UNDEFINED = 0.05

# With fewer independent units no method holds what it says, and the interval says so. Of average
# precision of 50 clusters, of which 20 to 25 carry it, 92 % hold.
FEWEST_UNITS = 20
_MORE_UNITS = {"average_precision": 30}
_PERFECT = 1e-9

Statistics = Callable[[FloatArray], Metrics]


@dataclass(frozen=True)
class Interval:
    """Where a metric's true value lies, at the level that was asked for."""

    low: float
    high: float


@dataclass(frozen=True)
class BootstrapResult:
    """What resampling found, by metric.

    `estimates` are means over seeds, and `by_seed` (seeds,) what they are means of. `samples`
    (resamples,) are the means over seeds of each resample, NaN where undefined; with the scheme
    `texts` they spread too far by themselves, and `spread` sets them right with the help of
    `pair_samples`. A metric without an interval has its reason in `reasons`, where intervals were
    asked for. `carried_by` is how many independent units a metric's interval rests on: those that
    there are, those of the rarer label, or those that make the score vary, whichever is least.
    `of_units` are the intervals of these very seeds, as if other seeds gave the same. `ceilings`
    are the most that rank correlations with these labels reach.
    """

    estimates: dict[str, float]
    intervals: dict[str, Interval]
    reasons: dict[str, str]
    scheme: Scheme
    resamples: int
    by_seed: Metrics
    samples: Metrics
    pair_samples: Metrics
    effective_units: float
    resampling: Resampling
    carried_by: dict[str, float] = field(default_factory=dict)
    of_units: dict[str, Interval] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)

    @property
    def notes(self) -> dict[str, str]:
        """Why a metric has no interval, that its interval may be too narrow, or that the score is
        the highest that there is.
        """
        found = {name: [text] for name, text in self._on_intervals.items()}
        for name, most in self.ceilings.items():
            if self.estimates.get(name, -np.inf) >= most - _PERFECT:
                found.setdefault(name, []).append(
                    f"the scores are in perfect order, and {most:.3f} is the highest that scores "
                    "without ties reach with these labels"
                )
        return {name: "; ".join(texts) for name, texts in found.items()}

    @property
    def _on_intervals(self) -> dict[str, str]:
        few = {
            name: f"fewer than {fewest_units(name)} independent units carry it ({units:.1f}): the "
            "interval may be too narrow"
            for name, units in self.carried_by.items()
            if name in self.intervals and units < fewest_units(name)
        }
        return few | {name: f"no interval: {reason}" for name, reason in self.reasons.items()}

    @property
    def excess(self) -> float:
        """How many times too often a draw of texts counts the pairs' own variance."""
        return 1.0 if self.resampling.linear else 2.0


def fewest_units(metric: str) -> int:
    """With how many independent units a metric's interval carries no warning."""
    return _MORE_UNITS.get(metric, FEWEST_UNITS)


def bootstrap(
    score: npt.ArrayLike,
    label: npt.ArrayLike,
    threshold: float,
    units: Units | None = None,
    resampling: Resampling | None = None,
) -> BootstrapResult:
    """Intervals for every metric of these pairs.

    `score` and `label` are (n,); `units` from `resampling.sampling_units`, or None for pairs
    that share nothing. The same input and seed give the same result, and all trials that are
    scored on the same pairs get the same resamples. Raises ValueError on scores that are not
    finite.
    """
    return hierarchical([score], label, [threshold], units, resampling)


def hierarchical(
    scores_by_seed: Sequence[npt.ArrayLike],
    label: npt.ArrayLike,
    thresholds: Sequence[float],
    units: Units | None = None,
    resampling: Resampling | None = None,
) -> BootstrapResult:
    """Intervals for the mean over seeds of each metric: seeds and pairs are both a sample.

    A score (n,) and a threshold for each seed, all on the same pairs. A metric that is undefined
    for some seed is undefined.
    """
    plan = resampling or Resampling()
    seeds = [sort_pairs(s, label, t) for s, t in zip(scores_by_seed, thresholds, strict=True)]
    drawn = units or independent_pairs(len(seeds[0].score))
    if len(drawn.unit) != len(seeds[0].score):
        raise ValueError(f"units for {len(drawn.unit)} pairs, scores for {len(seeds[0].score)}")
    by_seed = _by_seed(seeds, plan.only)
    statistics = [partial(weighted_metrics, pairs, only=tuple(by_seed)) for pairs in seeds]
    edges = {}
    if plan.intervals and by_seed and all(pairs.binary for pairs in seeds):
        edges = edges_of_pairs(seeds, by_seed, drawn, plan.seed)
    found = of_statistics(statistics, by_seed, drawn, plan, edges)
    if plan.intervals:
        labels = np.asarray(label, np.float64)
        most = {name: ceiling(name, labels) for name in RANK_CORRELATIONS if name in by_seed}
        found.ceilings.update({name: value for name, value in most.items() if value is not None})
    return found


def of_statistics(
    statistics: Sequence[Statistics],
    by_seed: Metrics,
    units: Units,
    resampling: Resampling,
    edges: Mapping[str, Bounded] | None = None,
) -> BootstrapResult:
    """As `hierarchical`, for any metrics of weighted units.

    statistics: for each seed, its metrics (R,) under weights (R, n). by_seed: their values (seeds,)
    under equal weights. edges: what is known of metrics that have an edge.
    """
    result = _resampled(statistics, by_seed, units, resampling)
    if by_seed and resampling.intervals:
        chunks = deletion_chunks(units, resampling.seed)
        deleted = _seed_metrics(statistics, chunks)
        for name in by_seed:
            edge = (edges or {}).get(name)
            _add_interval(result, name, deleted[name].mean(axis=0), edge, len(units.unit))
    return result


def weighted_interval(
    statistic: Callable[[FloatArray], FloatArray],
    units: Units,
    resampling: Resampling | None = None,
) -> tuple[float, float] | None:
    """The interval of any statistic of weighted pairs: weights (R, n) -> values (R,).

    Quantiles of the resampled values at the widened levels, for statistics near a mean: no bias is
    corrected. None where most resamples leave it undefined, or all give one value.
    """
    plan = resampling or Resampling()
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = np.concatenate([statistic(w) for w in weight_chunks(units, plan)])
        inner = None
        if units.ends is not None:
            inner = np.concatenate([statistic(w) for w in pair_weight_chunks(units, plan)])
    defined = samples[np.isfinite(samples)]
    estimate = float(statistic(np.ones((1, len(units.unit))))[0])
    if len(defined) < (1 - _MAX_UNDEFINED) * len(samples) or np.ptp(defined) <= 1e-12:
        return None
    reach = special.ndtr(np.array([-1.0, 1.0]) * normal_width(units.effective, plan.level))
    low, high = np.quantile(estimate + spread(samples, inner) * (defined - estimate), reach)
    return float(low), float(high)


def spread(samples: FloatArray, pair_samples: FloatArray | None, excess: float = 2.0) -> float:
    """The share of the samples' distance from the estimate that is real.

    1 unless texts were drawn. Then the variance robust to shared texts is the samples' less
    `excess` times the pairs' own (see `resampling`), and never less than the pairs' own.
    """
    if pair_samples is None:
        return 1.0
    total, own = float(np.nanvar(samples)), float(np.nanvar(pair_samples))
    return float(np.sqrt(max(total - excess * own, own) / total)) if total > 0 else 1.0


def sampled_variance(
    samples: FloatArray, pair_samples: FloatArray | None, excess: float = 2.0
) -> float:
    """The variance of what was resampled, by what of its spread is real; NaN of fewer than two."""
    if np.isfinite(samples).sum() < 2:
        return float("nan")
    return float(np.nanvar(samples, ddof=1)) * spread(samples, pair_samples, excess) ** 2


def _by_seed(seeds: Sequence[SortedPairs], only: Collection[str] | None) -> Metrics:
    found = [sorted_metrics(pairs, only) for pairs in seeds]
    wanted = found[0] if only is None else [name for name in found[0] if name in only]
    shared = [name for name in wanted if all(name in each for each in found)]
    return {name: np.array([each[name] for each in found]) for name in shared}


def _resampled(
    seeds: Sequence[Statistics], by_seed: Metrics, drawn: Units, plan: Resampling
) -> BootstrapResult:
    """All but the intervals."""
    samples, inner = _drawn_means(seeds, by_seed, weight_chunks(drawn, plan), plan), {}
    if drawn.ends is not None:
        inner = _drawn_means(seeds, by_seed, pair_weight_chunks(drawn, plan), plan)
    return BootstrapResult(
        estimates={name: float(values.mean()) for name, values in by_seed.items()},
        intervals={},
        reasons={},
        scheme=drawn.scheme,
        resamples=plan.count(len(drawn.unit)),
        by_seed=by_seed,
        samples=samples,
        pair_samples=inner,
        effective_units=drawn.effective,
        resampling=plan,
    )


def _drawn_means(
    seeds: Sequence[Statistics], by_seed: Metrics, chunks: Iterator[FloatArray], plan: Resampling
) -> Metrics:
    """The means over seeds (R,) of each metric under these weights."""
    drawn = _seed_metrics(seeds, chunks) if by_seed else {}
    means = {name: (drawn[name].mean(axis=0), by_seed[name].mean()) for name in by_seed}
    return {name: value + (values - value) / plan.step for name, (values, value) in means.items()}


def _seed_metrics(seeds: Sequence[Statistics], chunks: Iterator[FloatArray]) -> Metrics:
    """These metrics of each seed, (S, R), for weights that come in chunks of rows."""
    parts = [[statistics(w) for statistics in seeds] for w in chunks]
    return {
        name: np.concatenate([np.stack([each[name] for each in part]) for part in parts], axis=1)
        for name in parts[0][0]
        if all(name in each for each in parts[0])
    }


def _add_interval(
    result: BootstrapResult, name: str, deleted: FloatArray, edge: Bounded | None, n: int
) -> None:
    samples, estimate = result.samples[name], result.estimates[name]
    defined = samples[np.isfinite(samples)]
    if len(defined) < (1 - _MAX_UNDEFINED) * len(samples):
        missing = len(samples) - len(defined)
        result.reasons[name] = f"undefined in {missing} of {len(samples)} resamples"
        return
    freedom = Influence(deleted[np.isfinite(deleted)]).freedom
    rarer = edge.rarer if edge else np.inf
    result.carried_by[name] = min(freedom, result.effective_units, rarer)
    shrink = spread(samples, result.pair_samples.get(name))
    ends = None
    if edge is not None and edge.interval is not None and np.isfinite(deleted).all():
        units, level = result.effective_units, result.resampling.level
        scale = _scale(result, name, deleted, shrink)
        ends = edge.interval(deleted, Sample(units, level, n / units, scale))
    if ends is None and np.ptp(defined) <= 1e-12 * max(1.0, abs(estimate)):
        # A perfect score resamples to itself: that does not show it to be exact.
        result.reasons[name] = "every resample gives the same score"
        return
    if ends is None:
        ends = _bca(estimate, estimate + shrink * (defined - estimate), deleted, result)
    result.of_units[name] = Interval(*ends)
    result.intervals[name] = _with_seeds(Interval(*ends), name, result)


def _scale(result: BootstrapResult, name: str, deleted: FloatArray, shrink: float) -> float:
    """By what the jackknife's variance is multiplied: it counts the pairs' own variance twice where
    texts are left out.
    """
    own = Influence(deleted).variance
    if result.scheme != "texts" or own <= 0:
        return 1.0
    return float(shrink**2 * np.nanvar(result.samples[name]) / own)


def _bca(
    estimate: float, samples: FloatArray, deleted: FloatArray, result: BootstrapResult
) -> tuple[float, float]:
    below = np.mean(samples < estimate) + 0.5 * np.mean(samples == estimate)
    floor = 0.5 / len(samples)
    bias = special.ndtri(np.clip(below, floor, 1 - floor))
    carried = Influence(deleted[np.isfinite(deleted)]).freedom + 1
    width = normal_width(min(result.effective_units, carried), result.resampling.level)
    z = bias + np.array([-1.0, 1.0]) * width
    levels = special.ndtr(bias + z / np.maximum(1 - _acceleration(deleted) * z, 0.1))
    low, high = np.quantile(samples, levels)
    return float(low), float(high)


def _acceleration(deleted: FloatArray) -> float:
    """Efron's acceleration: a sixth of the skewness of the units' influence, by deletion."""
    kept = deleted[np.isfinite(deleted)]
    if len(kept) < 3:
        return 0.0
    influence = kept.mean() - kept
    squares = float((influence**2).sum())
    return float((influence**3).sum() / (6 * squares**1.5)) if squares > 0 else 0.0


def _with_seeds(of_units: Interval, name: str, result: BootstrapResult) -> Interval:
    by_seed = result.by_seed[name]
    if len(by_seed) < 2:
        return of_units
    variance, freedom = float(by_seed.var(ddof=1)) / len(by_seed), len(by_seed) - 1.0
    centre, level = float(by_seed.mean()), result.resampling.level
    return with_seeds(of_units, centre, variance, freedom, level)


def with_seeds(
    of_units: Interval, centre: float, variance: float, freedom: float, level: float = 0.95
) -> Interval:
    """The units' interval joined by squares with the seeds', on each side.

    variance: what seeds add to that of the mean, with its degrees of freedom. From many
    configurations together it has more of them, and the interval need not be so wide.
    """
    normal, students = special.ndtri(0.5 + level / 2), special.stdtrit(freedom, 0.5 + level / 2)

    def reach(side: float) -> float:
        both = variance + (side / normal) ** 2
        share = variance / both if both > 0 else 0.0
        squared = normal**2 + share * (students**2 - normal**2)
        return float(np.sqrt(side**2 + squared * variance))

    return Interval(
        float(min(centre - reach(centre - of_units.low), of_units.low)),
        float(max(centre + reach(of_units.high - centre), of_units.high)),
    )
