"""Which of many configurations may be the best, what each may lose, and the ranks it may have.

All were scored on the same units (pairs, queries, …); the question is about their true scores.
Covers multiple comparisons with the best (Hsu, 1981; for unequal variances his constrained
intervals, 1996, 4.2), simultaneous intervals of ranks (Mogstad, Romano, Shaikh and Wilhelm, 2024),
and comparisons with one of them (Dunnett, 1955). One method for any number of configurations, for
one seed and for several; Holm's correction, which knows no correlations, is not needed.

**How.** A difference of two scores has a variance from the units, found by resampling them, and
one from the seeds (`seed_variance`). The largest of many standardised differences has a
distribution that depends on how they are correlated: it is simulated, with normal errors of
variances that are themselves estimated, from the units and from the seeds, each with its degrees of
freedom (Fisher's fiducial argument, as in the Behrens-Fisher problem), so that with one other
configuration and one source of error it is Student's t. If i is the best, no other is ahead of it
by more than the critical value of i against all others, at 95 %. So

- i may be the best where no other is ahead of it by more than that: the set of the best, in which
  the true best is missing in 5 % of all sweeps;
- what i loses against the true best is at most the largest of what those in the set may be ahead
  of it, for all i at once, in 95 % of all sweeps;
- rank intervals and differences to one configuration hold at once, each family by itself.

**Scope.** With one seed these are statements about the trained models at hand. Whether the
configurations differ, of which another seed would give another model, takes two seeds or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from embft.metrics.bootstrap import BootstrapResult
from embft.metrics.comparison import Comparison
from embft.metrics.seed_variance import SeedVariance, seed_variance
from embft.metrics.weighted import BoolArray, FloatArray, IntArray

Scope = Literal["trained models", "configurations"]
LEVEL = 0.95
_DRAWS, _FEWEST_DRAWS = 4000, 2000
_FEW = 25  # with more configurations fewer errors are drawn
Draws = npt.NDArray[np.float32]
_STILL = 1e-12  # differences and errors below this are rounding


@dataclass(frozen=True)
class Field:
    """K configurations that were scored on the same units.

    scores (K,): means over seeds, turned so that higher is better. covariance (K, K): that of the
    scores over resamples of the units, with `floor` (K, K), a variance that no difference falls
    below. freedom: its degrees of freedom, the independent units less one. seeds (K, S): a score
    for each seed, NaN where there is none. fixed (K,): configurations without a seed, such as a
    model that was not trained.
    """

    scores: FloatArray
    covariance: FloatArray
    freedom: float
    seeds: FloatArray
    fixed: BoolArray
    floor: FloatArray | None = None


def field_of(
    results: Sequence[BootstrapResult],
    metric: str,
    *,
    higher_is_better: bool = True,
    seeds: Sequence[Sequence[int]] | None = None,
    fixed: Sequence[bool] | None = None,
) -> Field:
    """The field of configurations that `bootstrap.hierarchical` resampled alike.

    seeds: the seeds of each one's scores; without them those at the same place are paired. Raises
    ValueError where two were not resampled alike, KeyError where one leaves the metric undefined.
    """
    drawn = {(r.scheme, r.resamples, r.effective_units, r.resampling) for r in results}
    if len(drawn) > 1:
        raise ValueError(f"resampled differently: {sorted(map(str, drawn))}")
    sign = 1.0 if higher_is_better else -1.0
    by_seed = [(sign * result.by_seed[metric]).tolist() for result in results]
    names = seeds if seeds is not None else [range(len(values)) for values in by_seed]
    covariance, floor = _covariances(results, metric)
    return Field(
        scores=np.array([fmean(values) for values in by_seed]),
        covariance=covariance,
        freedom=max(results[0].effective_units - 1, 1.0),
        seeds=seed_table(by_seed, names),
        fixed=np.zeros(len(results), bool) if fixed is None else np.asarray(fixed, bool),
        floor=floor,
    )


def _covariances(
    results: Sequence[BootstrapResult], metric: str
) -> tuple[FloatArray, FloatArray | None]:
    """The covariance (K, K) over resamples, and where texts were drawn the variance of each
    difference that the pairs alone make.
    """
    first = results[0]
    unbiased = first.effective_units / max(first.effective_units - 1, 1.0)
    total = _covariance(np.stack([r.samples[metric] for r in results]))
    if metric not in first.pair_samples:
        return unbiased * total, None
    own = _covariance(np.stack([r.pair_samples[metric] for r in results]))
    return unbiased * (total - first.excess * own), unbiased * _of_differences(own)


def _covariance(samples: FloatArray) -> FloatArray:
    """(K, K) of samples (K, R), over the resamples that define all of them."""
    found: FloatArray = np.atleast_2d(np.cov(samples[:, np.isfinite(samples).all(axis=0)]))
    return found


def _of_differences(covariance: FloatArray) -> FloatArray:
    """Variances of differences (K, K)."""
    own = np.diag(covariance)
    return np.maximum(own[:, None] + own - 2 * covariance, 0.0)


def seed_table(by_seed: Sequence[Sequence[float]], names: Sequence[Sequence[int]]) -> FloatArray:
    """Scores (K, S) of K configurations with a column for each seed, NaN where one is missing."""
    column = {seed: i for i, seed in enumerate(sorted({seed for each in names for seed in each}))}
    table = np.full((len(by_seed), len(column)), np.nan)
    for row, (values, seeds) in enumerate(zip(by_seed, names, strict=True)):
        table[row, [column[seed] for seed in seeds]] = values
    return table


class Contest:
    """What can be said of a field at `level`; everything is computed when it is first asked for.

    rivals: how many configurations there are in all, where the field has only the highest of them.
    The largest difference is then that of all, of which nothing is known: p-values are multiplied
    by their number (Bonferroni). looks: how often such a contest is looked at, at most, with more
    seeds each time: its answers then hold at `level` for all looks together (Bonferroni). The same
    field gives the same answers to the last digit.
    """

    def __init__(
        self,
        field: Field,
        *,
        level: float = LEVEL,
        seed: int = 0,
        rivals: int = 0,
        looks: int = 1,
    ) -> None:
        self.field, self.level, self.looks = field, 1 - (1 - level) / looks, looks
        self._parts = _parts(field)
        self._seed = seed
        self._others = rivals - 1 if rivals > len(field.scores) else None

    @property
    def scope(self) -> Scope:
        """Whether the answers are about these trained models or about their configurations."""
        return "trained models" if self._parts.seeds is None else "configurations"

    @property
    def units_variance(self) -> FloatArray:
        """What the evaluation units alone add to the variances of the differences (K, K)."""
        return self._parts.units

    @property
    def freedom(self) -> FloatArray:
        """The degrees of freedom of the differences' variances (K, K)."""
        return self._parts.freedom

    @property
    def seeds(self) -> SeedVariance | None:
        """How much scores vary with the seed; None where no configuration has two."""
        return self._parts.seeds

    @cached_property
    def leader(self) -> int:
        """The configuration with the highest score."""
        return int(np.argmax(self.field.scores))

    @cached_property
    def error(self) -> FloatArray:
        """The standard error of each difference (K, K)."""
        error: FloatArray = np.sqrt(self._parts.variance)
        return error

    @cached_property
    def ahead(self) -> FloatArray:
        """(K, K): by how much each (column) is ahead of each (row)."""
        difference: FloatArray = self.field.scores - self.field.scores[:, None]
        return difference

    @cached_property
    def p_best(self) -> FloatArray:
        """(K,): for each, the p-value of its being the best, corrected for all the others."""
        if self._others is not None:
            return np.minimum(self.p_best_raw * self._others, 1.0)
        seen = _standardised(self.ahead, self.error).max(axis=1)
        return self._looked(_shares(self._extremes.highest, seen))

    @cached_property
    def p_best_raw(self) -> FloatArray:
        """(K,): as `p_best`, against the one furthest ahead alone, and not corrected."""
        one_sided: FloatArray = special.stdtr(
            self._parts.freedom, -_standardised(self.ahead, self.error)
        )
        return self._looked(one_sided.min(axis=1))

    @cached_property
    def in_best_set(self) -> BoolArray:
        """(K,): which may be the best; the true best is missing in 5 % of all cases."""
        return self.p_best > (1 - self.level) * self.looks

    @cached_property
    def critical(self) -> FloatArray:
        """(K,): how many standard errors the others seem ahead of each at most, if it is the best.

        Never below 0.
        """
        if self._others is not None:
            return self._bonferroni((1 - self.level) / self._others)
        found = np.quantile(self._extremes.highest, self.level, axis=0)
        return np.maximum(found, 0.0)

    @cached_property
    def loss_high(self) -> FloatArray:
        """(K,): the most that each loses against the true best, for all of them at once."""
        return -self.difference_to_best[:, 0]

    @cached_property
    def difference_to_best(self) -> FloatArray:
        """(K, 2): the interval of each one's score less the best of the others', for all at once.

        Its ends are on both sides of 0, or 0 (Hsu's constrained intervals).
        """
        others = ~np.eye(len(self.field.scores), dtype=bool)
        most = np.where(
            others & self.in_best_set, self.ahead + self.critical * self.error, 0.0
        ).max(axis=1, initial=0.0)
        least = np.where(others, self.critical[:, None] * self.error - self.ahead, np.inf)
        high = np.where(self.in_best_set, np.maximum(least.min(axis=1), 0.0), 0.0)
        return np.stack([-most, np.where(np.isfinite(high), high, 0.0)], axis=1)

    @cached_property
    def p_of_pairs(self) -> FloatArray:
        """(K, K): the p-value of each pair's difference, corrected for all pairs."""
        apart = np.abs(_standardised(self.ahead, self.error))
        found = [_shares(self._extremes.furthest[:, None], each) for each in apart]
        return self._looked(np.stack(found))

    def ranks(self, among: BoolArray | None = None) -> tuple[IntArray, IntArray]:
        """The lowest and the highest rank (K,) that each may have among some, for all at once."""
        counted = np.ones(len(self.field.scores), bool) if among is None else among
        if self._others is None:
            reach = float(np.quantile(self._extremes.furthest, self.level))
        else:
            pairs = self._others * (self._others + 1) / 2
            reach = float(self._bonferroni((1 - self.level) / 2 / pairs).max())
        apart = _standardised(self.ahead, self.error)
        better = (apart[:, counted] > reach).sum(axis=1)
        worse = (apart[:, counted] < -reach).sum(axis=1)
        return 1 + better, counted.sum() - worse

    def against(self, one: int) -> list[Comparison]:
        """Each one's score less that of `one`: intervals that hold at once, and corrected p-values.

        The comparison of `one` with itself is 0, with a p-value of 1.
        """
        reach = float(np.quantile(self._extremes.largest[:, one], self.level))
        apart = np.abs(_standardised(self.ahead[:, one], self.error[:, one]))
        adjusted = self._looked(_shares(self._extremes.largest[:, [one]], apart))
        return [
            replace(
                each,
                low=each.difference - reach * float(error),
                high=each.difference + reach * float(error),
                p_adjusted=max(float(p), each.p_value),
            )
            for each, error, p in zip(
                self.each_against(one), self.error[:, one], adjusted, strict=True
            )
        ]

    def each_against(self, one: int) -> list[Comparison]:
        """As `against`, but each comparison by itself: no interval or p-value is corrected."""
        difference, error = -self.ahead[:, one], self.error[:, one]
        freedom = self._parts.freedom[:, one]
        reach = special.stdtrit(freedom, 0.5 + self.level / 2) * error
        apart = np.abs(_standardised(difference, error))
        raw = self._looked(2 * special.stdtr(freedom, -apart))
        return [
            Comparison(float(d), float(d - r), float(d + r), float(p))
            for d, r, p in zip(difference, reach, raw, strict=True)
        ]

    def better_than(self, one: int) -> BoolArray:
        """(K,): which are better than `one`, for all at once (Dunnett's one-sided comparison)."""
        apart = _standardised(self.ahead[one], self.error[one])
        return np.asarray(apart > self.critical[one])

    def _looked(self, p_values: FloatArray) -> FloatArray:
        """P-values that hold for all looks together."""
        return np.minimum(p_values * self.looks, 1.0)

    def _bonferroni(self, tail: float) -> FloatArray:
        """(K,): the largest quantile of Student's t for this tail, over the differences to each."""
        found: FloatArray = special.stdtrit(self._parts.freedom.min(axis=1), 1 - tail)
        return found

    @cached_property
    def _extremes(self) -> _Extremes:
        return _extremes(self._parts, np.random.default_rng([self._seed, 5]))


@dataclass(frozen=True)
class _Parts:
    """The variances of all differences (K, K), and what they are made of.

    units: the evaluation units' part. own (K,): what a configuration's seeds add, with its degrees
    of freedom; shared (K, K): what the seeds add that others have too; weights (K, S): each seed's
    share of a mean.
    """

    covariance: FloatArray
    units: FloatArray
    units_freedom: float
    own: FloatArray
    own_freedom: FloatArray
    shared: FloatArray
    weights: FloatArray
    seeds: SeedVariance | None

    @property
    def variance(self) -> FloatArray:
        total: FloatArray = self.units + self.own[:, None] + self.own + self.shared
        return total

    @property
    def freedom(self) -> FloatArray:
        """Degrees of freedom (K, K) of the variances (Satterthwaite, 1946)."""
        parts = self.units**2 / self.units_freedom
        if self.seeds is not None:
            own = self.own**2 / self.own_freedom
            both = own[:, None] + own
            if self.seeds.together:
                both = (self.own[:, None] + self.own) ** 2 / self.own_freedom.min()
            parts = parts + both + self.shared**2 / self.seeds.shared_freedom
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.variance**2 / parts
        return np.where(np.isfinite(found), found, self.units_freedom)


def _parts(field: Field) -> _Parts:
    """The variances of a field's differences."""
    k, trained = len(field.scores), ~field.fixed
    units = _of_differences(field.covariance)
    if field.floor is not None:
        units = np.maximum(units, field.floor)
    here = np.isfinite(field.seeds) & trained[:, None]
    count = np.maximum(here.sum(axis=1), 1)
    weights = here / count[:, None]
    own, own_freedom, shared = np.zeros(k), np.ones(k), np.zeros((k, k))
    found = seed_variance(field.seeds[trained]) if trained.any() else None
    if found is not None:
        own[trained] = found.own / count[trained]
        own_freedom[:] = found.own_freedom.max()
        own_freedom[trained] = found.own_freedom
        shared = found.shared * ((weights[:, None] - weights[None]) ** 2).sum(axis=2)
    return _Parts(field.covariance, units, field.freedom, own, own_freedom, shared, weights, found)


@dataclass(frozen=True)
class _Extremes:
    """Draws of the extremes of standardised differences when all scores are equal.

    highest (N, K): by how much the highest is ahead of each; largest (N, K): the largest absolute
    difference to each; furthest (N,): the largest of all.
    """

    highest: Draws
    largest: Draws
    furthest: Draws


def _extremes(parts: _Parts, rng: np.random.Generator) -> _Extremes:
    k = len(parts.own)
    n = min(_DRAWS, max(_DRAWS * _FEW // k, _FEWEST_DRAWS))
    apart = _apart(parts, rng, n)
    highest, largest = np.zeros((n, k), np.float32), np.zeros((n, k), np.float32)
    for i in range(k):
        drawn = apart(i)
        highest[:, i] = drawn.max(axis=1)
        largest[:, i] = np.maximum(highest[:, i], -drawn.min(axis=1))
    return _Extremes(highest, largest, largest.max(axis=1))


def _apart(parts: _Parts, rng: np.random.Generator, n: int) -> Callable[[int], Draws]:
    """Draws (n, K) of the standardised differences to one configuration.

    In single precision: they are ranked and counted, and there are many.
    """
    k = len(parts.own)
    size, basis = np.linalg.eigh(parts.covariance)
    basis = basis * np.sqrt(np.maximum(size, 0.0))
    units = (rng.standard_normal((n, k)) @ basis.T).astype(np.float32)
    units /= np.sqrt(_scales(rng, parts.units_freedom, (n, 1)))
    # Where a floor raised a variance, the draws are stretched to it.
    plain = np.sqrt(_of_differences(basis @ basis.T))
    if parts.seeds is None:
        shrink = _inverse(plain)
        return lambda one: (units - units[:, [one]]) * shrink[one]
    stretch = np.sqrt(parts.units).astype(np.float32) * _inverse(plain)
    seeds, shrink = _seed_errors(parts, rng, n), _inverse(np.sqrt(parts.variance))

    def drawn(one: int) -> Draws:
        strayed = (units - units[:, [one]]) * stretch[one] + (seeds - seeds[:, [one]])
        found: Draws = strayed * shrink[one]
        return found

    return drawn


def _seed_errors(parts: _Parts, rng: np.random.Generator, n: int) -> Draws:
    """Draws (n, K) of what seeds make scores stray by, of any variances that may have given the
    estimates: with one or two degrees of freedom an estimate may be next to nothing by chance.
    """
    found, k = parts.seeds, len(parts.own)
    assert found is not None  # noqa: S101 - for mypy
    shared = rng.standard_normal((n, parts.weights.shape[1])) @ parts.weights.T
    shared *= np.sqrt(found.shared / _scales(rng, found.shared_freedom, (n, 1)))
    size = (n, 1 if found.together else k)
    own = np.sqrt(parts.own / _scales(rng, parts.own_freedom[: size[1]], size))
    strayed: Draws = (shared + own * rng.standard_normal((n, k))).astype(np.float32)
    return strayed


def _scales(rng: np.random.Generator, freedom: float | FloatArray, size: tuple[int, int]) -> Draws:
    """Draws of an estimated variance over the true one."""
    drawn: Draws = (rng.chisquare(freedom, size) / freedom).astype(np.float32)
    return drawn


def _inverse(error: FloatArray) -> Draws:
    """1 / error, and 0 without an error."""
    found: Draws = np.divide(1.0, error, out=np.zeros_like(error), where=error > _STILL).astype(
        np.float32
    )
    return found


def _standardised(difference: FloatArray, error: FloatArray) -> FloatArray:
    """Differences over their errors; 0 without a difference, infinite without an error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = difference / np.where(error > _STILL, error, 0.0)
    return np.where(np.abs(difference) <= _STILL, 0.0, found)


def _shares(draws: Draws, seen: FloatArray) -> FloatArray:
    """The share of the draws (N, K) or (N, 1) that is at least what was seen (K,), for each of K.

    Counted with what was seen itself, so that it is never 0.
    """
    found: FloatArray = ((draws >= seen).sum(axis=0) + 1.0) / (len(draws) + 1.0)
    return found
