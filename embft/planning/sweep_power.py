"""What difference a sweep's dev and test can show, before it runs and while it does.

The variance of a difference comes of what is known: of trained trials' own scores, as soon as two
configurations have them; else of the base model's, where it has been scored; else of scores made up
to the labels at hand. Short of trained trials it also takes how far two models' scores move
together over resampled pairs, so that there is a range over stated correlations. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embft.data.pairs import Pairs
from embft.errors import RecordError
from embft.metrics.bootstrap import FEWEST_UNITS, BootstrapResult, hierarchical
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.metrics.pairs import best_f1_threshold
from embft.metrics.power import LEVEL, detectable, pairs_needed, seeds_needed
from embft.metrics.resampling import Units, independent_pairs, sampling_units
from embft.metrics.weighted import FloatArray
from embft.planning.known import (
    CORRELATIONS,
    Basis,
    Known,
    correlated,
    of_trained,
    resampling,
    score_variance,
)
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.unit_power import known_of_units
from embft.results.records import Completed
from embft.results.scores import load_scores
from embft.storage.seal import unsealed

Range = tuple[float, float]
Needed = tuple[int | None, int | None]
# The correlation of a made-up score with the label.
ASSUMED = 0.5
_MOST_ASSUMED = 5_000
# More tell no more, and take their time: scores that are resampled, and configurations.
_MOST_SCORES, _MOST_CONFIGURATIONS = 400_000, 20
_TENTHS = (0.1, 0.9)
# With fewer pairs of a label the power is off by up to 8 points (15 of 300 pairs), with
# more by 3 at most (docs/statistics.md).
FEWEST_OF_LABEL = 60


@dataclass(frozen=True)
class SplitPower:
    """One split. pairs, and how many independent ones they are worth; for an evaluator's metric
    they are what it is a mean of, such as queries. unit: what one is called.

    detectable: the smallest difference that it shows with a power of 80 % at the 5 % level, as a
    range: over couples of trained models (a tenth lies below, a tenth above), or over stated
    correlations; None where the pairs are too few to resample. corrected: the same where each of
    the sweep's configurations is compared with one and the error holds for all of them
    (Bonferroni). needed_pairs and needed_seeds: for the difference that was asked for; None in them
    where no number is enough or seeds are unknown. uncertain: what leaves all this uncertain, such
    as few pairs of a label; None where nothing does.
    """

    split: str
    pairs: int
    independent_pairs: float
    detectable: Range | None
    corrected: Range | None
    needed_pairs: Needed | None = None
    needed_seeds: Needed | None = None
    unit: str = "pair"
    uncertain: str | None = None


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


def sweep_power(plan: Plan, difference: float | None = None) -> Power:
    """What dev and test can show, by the best that is known. difference: what is asked for.

    Without splits for an evaluator's metric of units that nobody has counted yet.
    """
    metric = plan.spec.objective.metric
    found = _known_of_pairs(plan) if metric in PAIR_METRICS else known_of_units(plan)
    first = next(iter(found.values()), Known("assumed scores", ()))
    basis, seeds_sd = first.basis, first.seeds_sd
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


def _known_of_pairs(plan: Plan) -> dict[str, Known]:
    splits = next(iter(plan.data.values()))
    names = ["dev"] if splits.test is splits.dev else ["dev", "test"]
    scored = list(_scored(plan))
    return {name: _known(plan, scored, name, splits[name]) for name in names}


@dataclass(frozen=True)
class _Scored:
    """A trial's labels and scores by split, with the threshold that dev chose."""

    trial: PlannedTrial
    threshold: float
    scores: Mapping[str, tuple[FloatArray, FloatArray]]


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
    known = {repr(trial.params) for trial in plan.trials if not trial.spec.is_baseline}
    return len(known) + (plan.spec.search.trials or 0)


def _known(plan: Plan, scored: Sequence[_Scored], split: str, pairs: Pairs) -> Known:
    """The designs of this split by the best that is known of it."""
    label = np.asarray(pairs.label, np.float64)
    units = sampling_units(pairs.text_1, pairs.text_2)
    found = _by_scores(plan, scored, split, label, units)
    return replace(found, few_of_label=few_of_label(label))


def few_of_label(label: FloatArray) -> str | None:
    """That so few of these pairs (n,) have a label 0 or 1 that the variance itself is uncertain, in
    words; None where enough have, or labels are graded.
    """
    if not np.isin(label, (0.0, 1.0)).all():
        return None
    rarer = min(int(label.sum()), int(len(label) - label.sum()))
    few = f"fewer than {FEWEST_OF_LABEL} pairs of the rarer label ({rarer})"
    return few if rarer < FEWEST_OF_LABEL else None


def _by_scores(
    plan: Plan, scored: Sequence[_Scored], split: str, label: FloatArray, units: Units
) -> Known:
    same = [each for each in scored if np.array_equal(each.scores[split][0], label)]
    trained = [each for each in same if not each.trial.spec.is_baseline]
    metric, seeds = plan.spec.objective.metric, len(plan.spec.seeds)
    groups = _first_groups(trained, len(label))
    if len(groups) > 1:
        results = [_resampled(group, split, metric, units) for group in groups]
        return of_trained(results, metric, seeds, len(label))
    base = next((each for each in same if each.trial.spec.is_baseline), None) or _measured(plan)
    if base and np.array_equal(base.scores[split][0], label):
        variance = score_variance(_resampled([base], split, metric, units), metric)
        designs = correlated(variance, variance, len(label), units.effective, seeds)
        return Known("base model", tuple(designs))
    variance = _assumed_variance(label, metric)
    worst = variance * len(label) / units.effective
    designs = correlated(variance, worst, len(label), units.effective, seeds)
    return Known("assumed scores", tuple(designs))


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
        resampling(metric),
    )


def _assumed_variance(label: FloatArray, metric: str) -> float:
    """The variance of a score made up to these labels, for pairs that share no text."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(label, min(len(label), _MOST_ASSUMED), replace=False)
    noise = rng.normal(size=len(drawn)) * np.sqrt(1 - ASSUMED**2)
    score = ASSUMED * (drawn - drawn.mean()) / max(float(drawn.std()), 1e-12) + noise
    binary = bool(np.isin(drawn, (0.0, 1.0)).all() and drawn.any())
    threshold = best_f1_threshold(score, drawn) if binary else 0.0
    units = independent_pairs(len(drawn))
    found = hierarchical([score], drawn, [threshold], units, resampling(metric))
    return score_variance(found, metric) * len(drawn) / len(label)


def _split_power(
    split: str, known: Known, configurations: int, difference: float | None
) -> SplitPower:
    """The ranges over the designs of a split."""
    first = known.designs[0]
    uncertain = known.few_of_label
    if first.units < FEWEST_UNITS:
        uncertain = f"fewer than {FEWEST_UNITS} independent units ({first.units:.1f})"
    single = LEVEL / max(configurations - 1, 1)
    return SplitPower(
        split=split,
        pairs=first.pairs,
        independent_pairs=first.units,
        detectable=_range([detectable(design) for design in known.designs]),
        corrected=_range([detectable(design, level=single) for design in known.designs]),
        needed_pairs=_needed(known, difference, pairs=True),
        needed_seeds=_needed(known, difference, pairs=False),
        unit=known.unit,
        uncertain=uncertain,
    )


def _range(values: Sequence[float]) -> Range | None:
    if not np.isfinite(values).all():
        return None
    if len(values) == 2:
        return min(values), max(values)
    low, high = np.quantile(values, _TENTHS)
    return float(low), float(high)


def _needed(known: Known, difference: float | None, *, pairs: bool) -> Needed | None:
    """The pairs or seeds that the easiest and the hardest couple of the range need."""
    if difference is None:
        return None
    ordered = sorted(known.designs, key=lambda design: design.variance)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in _TENTHS)
    ask = pairs_needed if pairs else seeds_needed
    return ask(low, difference), ask(high, difference)
