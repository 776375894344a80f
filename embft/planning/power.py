"""What difference a sweep's dev and test can show, before it runs and while it does.

The variance of a difference comes of what is known: of trained trials' own scores, as soon as two
configurations have them; else of the base model's, where it has been scored; else of scores made up
to the labels at hand. Short of trained trials it also takes how far two models' scores move
together over resampled pairs, so that there is a range over stated correlations. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from embft.data.pairs import Pairs
from embft.errors import RecordError
from embft.metrics.bootstrap import BootstrapResult, hierarchical, spread
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.metrics.pairs import best_f1_threshold
from embft.metrics.power import LEVEL, Design, detectable, pairs_needed, seeds_needed
from embft.metrics.resampling import Resampling, Units, independent_pairs, sampling_units
from embft.metrics.weighted import FloatArray
from embft.planning.plan import Plan, PlannedTrial
from embft.results.records import Completed
from embft.results.scores import load_scores
from embft.storage.seal import unsealed

Basis = Literal["trained trials", "base model", "assumed scores"]
Range = tuple[float, float]
Needed = tuple[int | None, int | None]
# Between two models' scores over resampled pairs.
CORRELATIONS = (0.5, 0.95)
# The correlation of a made-up score with the label.
ASSUMED = 0.5
_MOST_ASSUMED = 5_000
# More tell no more, and take their time: scores that are resampled, and configurations.
_MOST_SCORES, _MOST_CONFIGURATIONS = 400_000, 20
_TENTHS = (0.1, 0.9)


@dataclass(frozen=True)
class SplitPower:
    """One split. pairs, and how many independent ones they are worth.

    detectable: the smallest difference that it shows with a power of 80 % at the 5 % level, as a
    range: over couples of trained models (a tenth lies below, a tenth above), or over stated
    correlations; None where the pairs are too few to resample. corrected: the same where each of
    the sweep's configurations is compared with one and the error holds for all of them
    (Bonferroni). needed_pairs and needed_seeds: for the difference that was asked for; None in them
    where no number is enough or seeds are unknown.
    """

    split: str
    pairs: int
    independent_pairs: float
    detectable: Range | None
    corrected: Range | None
    needed_pairs: Needed | None = None
    needed_seeds: Needed | None = None


@dataclass(frozen=True)
class Power:
    """What a sweep's data can show of differences in `metric` between two of its models.

    configurations: how many it compares; seeds: of each. seeds_sd: by how much a score varies with
    the seed, None where no configuration has two seeds yet; without, and with one seed,
    differences are those of trained models and not of configurations. correlations: the stated
    ones, None where trained trials say it.
    """

    metric: str
    basis: Basis
    configurations: int
    seeds: int
    seeds_sd: float | None
    correlations: Range | None
    difference: float | None
    splits: tuple[SplitPower, ...]


def sweep_power(plan: Plan, difference: float | None = None) -> Power | None:
    """What dev and test can show, by the best that is known. difference: what is asked for.

    None for a metric that is not one of pairs.
    """
    metric = plan.spec.objective.metric
    if metric not in PAIR_METRICS:
        return None
    splits = next(iter(plan.data.values()))
    names = ["dev"] if splits.test is splits.dev else ["dev", "test"]
    scored = list(_scored(plan))
    found = {name: _known(plan, scored, name, splits[name]) for name in names}
    basis, seeds_sd = found["dev"].basis, found["dev"].seeds_sd
    count = _configurations(plan)
    return Power(
        metric=metric,
        basis=basis,
        configurations=count,
        seeds=len(plan.spec.seeds),
        seeds_sd=seeds_sd,
        correlations=None if basis == "trained trials" else CORRELATIONS,
        difference=difference,
        splits=tuple(_split_power(name, each, count, difference) for name, each in found.items()),
    )


@dataclass(frozen=True)
class _Scored:
    """A trial's labels and scores by split, with the threshold that dev chose."""

    trial: PlannedTrial
    threshold: float
    scores: Mapping[str, tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class _Known:
    """Designs of comparisons on one split, and what they come from."""

    basis: Basis
    designs: tuple[Design, ...]
    seeds_sd: float | None = None


def _scored(plan: Plan) -> Iterator[_Scored]:
    for trial in plan.trials:
        result = trial.folder.result()
        if isinstance(result, Completed) and trial.folder.scores_file.exists():
            trial.folder.check_files(result, trial.folder.scores_file.name)
            yield _Scored(trial, result.threshold or 0.0, load_scores(trial.folder.scores_file))


def _measured(plan: Plan) -> _Scored | None:
    """The base model's scores that `plan --measure` has left, if they are of this plan's data."""
    try:
        key = unsealed(plan.folder.measured_file).get("baseline")
        scores = load_scores(plan.folder.measured_scores)
    except (OSError, RecordError, ValueError, KeyError):
        return None
    trial = next((trial for trial in plan.trials if trial.key == key), None)
    if trial is None:
        return None
    label, score = scores["dev"]
    binary = bool(np.isin(label, (0.0, 1.0)).all() and label.any())
    return _Scored(trial, best_f1_threshold(score, label) if binary else 0.0, scores)


def _configurations(plan: Plan) -> int:
    return len({repr(trial.params) for trial in plan.trials if not trial.spec.is_baseline})


def _known(plan: Plan, scored: Sequence[_Scored], split: str, pairs: Pairs) -> _Known:
    """The designs of this split by the best that is known of it."""
    label = np.asarray(pairs.label, np.float64)
    same = [each for each in scored if np.array_equal(each.scores[split][0], label)]
    trained = [each for each in same if not each.trial.spec.is_baseline]
    metric, seeds = plan.spec.objective.metric, len(plan.spec.seeds)
    units = sampling_units(pairs.text_1, pairs.text_2)
    groups = _first_groups(trained, len(pairs))
    if len(groups) > 1:
        results = [_resampled(group, split, metric, units) for group in groups]
        return _of_trained(results, metric, seeds, len(pairs))
    base = next((each for each in same if each.trial.spec.is_baseline), None) or _measured(plan)
    if base and np.array_equal(base.scores[split][0], label):
        variance = _score_variance(_resampled([base], split, metric, units), metric)
        return _Known("base model", tuple(_correlated(variance, variance, units, seeds)))
    variance = _assumed_variance(label, metric)
    worst = variance * len(label) / units.effective
    return _Known("assumed scores", tuple(_correlated(variance, worst, units, seeds)))


def _first_groups(trained: Sequence[_Scored], pairs: int) -> list[list[_Scored]]:
    """The trials of each configuration, of as many as are resampled in seconds."""
    groups: dict[str, list[_Scored]] = {}
    for each in trained:
        groups.setdefault(repr(each.trial.params), []).append(each)
    most = max(2, min(_MOST_CONFIGURATIONS, _MOST_SCORES // max(pairs, 1)))
    return list(groups.values())[:most]


def _resampled(group: Sequence[_Scored], split: str, metric: str, units: Units) -> BootstrapResult:
    return hierarchical(
        [each.scores[split][1] for each in group],
        group[0].scores[split][0],
        [each.threshold for each in group],
        units,
        Resampling(only=(metric,), intervals=False),
    )


def _of_trained(results: Sequence[BootstrapResult], metric: str, seeds: int, pairs: int) -> _Known:
    """A design for each couple of configurations, with the seeds' variance where it is known."""
    squares = [float(((v - v.mean()) ** 2).sum()) for v in (r.by_seed[metric] for r in results)]
    freedom = sum(len(result.by_seed[metric]) - 1 for result in results)
    own = sum(squares) / freedom if freedom else None
    designs = [
        Design(
            pairs=pairs,
            units=one.effective_units,
            pairs_variance=difference_variance(one, other, metric),
            seeds=seeds,
            seeds_variance=None if own is None else 2 * own,
            configurations=len(results),
        )
        for one, other in combinations(results, 2)
    ]
    return _Known("trained trials", tuple(designs), None if own is None else float(np.sqrt(own)))


def difference_variance(one: BootstrapResult, other: BootstrapResult, metric: str) -> float:
    """What the pairs add to the variance of the difference of two scores, resampled alike."""
    inner = None
    if metric in one.pair_samples:
        inner = one.pair_samples[metric] - other.pair_samples[metric]
    return _variance(one.samples[metric] - other.samples[metric], inner)


def _score_variance(found: BootstrapResult, metric: str) -> float:
    """What the pairs add to the variance of a score."""
    return _variance(found.samples[metric], found.pair_samples.get(metric))


def _variance(samples: FloatArray, inner: FloatArray | None) -> float:
    if np.isfinite(samples).sum() < 2:
        return float("nan")
    return float(np.nanvar(samples, ddof=1)) * spread(samples, inner) ** 2


def _correlated(low: float, high: float, units: Units, seeds: int) -> Iterator[Design]:
    """The difference of two models of this variance at the stated correlations."""
    for variance, correlation in zip((low, high), reversed(CORRELATIONS), strict=True):
        of_both = 2 * variance * (1 - correlation)
        yield Design(len(units.unit), units.effective, of_both, seeds)


def _assumed_variance(label: FloatArray, metric: str) -> float:
    """The variance of a score made up to these labels, for pairs that share no text."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(label, min(len(label), _MOST_ASSUMED), replace=False)
    noise = rng.normal(size=len(drawn)) * np.sqrt(1 - ASSUMED**2)
    score = ASSUMED * (drawn - drawn.mean()) / max(float(drawn.std()), 1e-12) + noise
    binary = bool(np.isin(drawn, (0.0, 1.0)).all() and drawn.any())
    threshold = best_f1_threshold(score, drawn) if binary else 0.0
    plan = Resampling(only=(metric,), intervals=False)
    found = hierarchical([score], drawn, [threshold], independent_pairs(len(drawn)), plan)
    return _score_variance(found, metric) * len(drawn) / len(label)


def _split_power(
    split: str, known: _Known, configurations: int, difference: float | None
) -> SplitPower:
    """The ranges over the designs of a split."""
    first = known.designs[0]
    single = LEVEL / max(configurations - 1, 1)
    return SplitPower(
        split=split,
        pairs=first.pairs,
        independent_pairs=first.units,
        detectable=_range([detectable(design) for design in known.designs]),
        corrected=_range([detectable(design, level=single) for design in known.designs]),
        needed_pairs=_needed(known, difference, pairs=True),
        needed_seeds=_needed(known, difference, pairs=False),
    )


def _range(values: Sequence[float]) -> Range | None:
    if not np.isfinite(values).all():
        return None
    if len(values) == 2:
        return min(values), max(values)
    low, high = np.quantile(values, _TENTHS)
    return float(low), float(high)


def _needed(known: _Known, difference: float | None, *, pairs: bool) -> Needed | None:
    """The pairs or seeds that the easiest and the hardest couple of the range need."""
    if difference is None:
        return None
    ordered = sorted(known.designs, key=lambda design: design.variance)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in _TENTHS)
    ask = pairs_needed if pairs else seeds_needed
    return ask(low, difference), ask(high, difference)
