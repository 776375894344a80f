"""What a sweep can show where its objective is an evaluator's metric: of queries, texts or draws.

Two trained configurations that are scored say it best, then the base model, by the values of their
units. Before either, a metric of queries is foreseen from how many there are and from how far
values between 0 and 1 can vary; of other units the number is not known before something is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from embft.data.pairs import Splits
from embft.errors import RecordError
from embft.evaluation.pair_retrieval import OF_PAIRS
from embft.metrics.bootstrap import BootstrapResult
from embft.planning.known import Known, correlated, of_trained, resampling, score_variance
from embft.planning.plan import Plan, PlannedTrial
from embft.results.records import Completed
from embft.results.units import UnitValues, load_units, resampled_units
from embft.storage.seal import unsealed

_MOST_CONFIGURATIONS = 20
SPREADS = (0.15, 0.5)
"""The assumed standard deviation of queries' values. On the built-in `handbook`'s test, nDCG at 10
has 0.17 with a model that does well and 0.37 with the base model; more than 0.5 is impossible for
values between 0 and 1.
"""


@dataclass(frozen=True)
class _Scored:
    """A trial and its values of the metric by split."""

    trial: PlannedTrial
    values: Mapping[str, UnitValues]


def known_of_units(plan: Plan) -> dict[str, Known]:
    """What is known of dev and test; without a split where nothing is known of it."""
    metric = plan.spec.objective.metric
    scored = list(_scored(plan, metric)) or list(_measured(plan, metric))
    found = {name: _known(plan, scored, name) for name in ("dev", "test")}
    return {name: known for name, known in found.items() if known} or _assumed(plan, metric)


def _assumed(plan: Plan, metric: str) -> dict[str, Known]:
    """By the number of queries alone; nothing for a metric of other units."""
    splits = next(iter(plan.data.values()))
    names = ["dev"] if splits.test is splits.dev else ["dev", "test"]
    counts = {name: _queries(splits, name, metric) for name in names}
    low, high = SPREADS
    return {
        name: Known(
            "assumed scores",
            tuple(correlated(low**2 / n, high**2 / n, n, n, len(plan.spec.seeds))),
            unit="query",
        )
        for name, n in counts.items()
        if n > 1
    }


def _queries(splits: Splits, name: str, metric: str) -> int:
    """How many queries of a split the metric is a mean of; 0 where that is not known."""
    if splits.retrieval is not None and name in splits.retrieval.sets:
        return len(splits.retrieval.sets[name].queries)
    if metric not in {each.name for each in OF_PAIRS}:
        return 0
    pairs = splits[name]
    rows = zip(pairs.text_1, pairs.text_2, pairs.label, strict=True)
    return len({one for one, other, label in rows if label == 1 and one != other})


def _scored(plan: Plan, metric: str) -> Iterator[_Scored]:
    for trial in plan.trials:
        result = trial.folder.result()
        if isinstance(result, Completed) and trial.folder.units_file.exists():
            trial.folder.check_files(result, trial.folder.units_file.name)
            yield _Scored(trial, _values(trial.folder.units_file, metric))


def _measured(plan: Plan, metric: str) -> Iterator[_Scored]:
    """The base model's, as `plan --measure` has left them, if they are of this plan."""
    try:
        key = unsealed(plan.folder.measured_file).get("baseline")
        values = _values(plan.folder.measured_units, metric)
    except (OSError, RecordError, ValueError, KeyError, pa.ArrowInvalid):
        return
    trial = next((trial for trial in plan.trials if trial.key == key), None)
    if trial is not None:
        yield _Scored(trial, values)


def _values(path: Path, metric: str) -> dict[str, UnitValues]:
    by_split = load_units(path)
    return {split: values[metric] for split, values in by_split.items() if metric in values}


def _known(plan: Plan, scored: Sequence[_Scored], split: str) -> Known | None:
    """By trained trials where two configurations have values of the same units, else by the base
    model.
    """
    here = [each for each in scored if split in each.values]
    if not here:
        return None
    same = [each for each in here if here[0].values[split].matches(each.values[split])]
    groups: dict[str, list[_Scored]] = {}
    for each in same:
        if not each.trial.spec.is_baseline:
            groups.setdefault(repr(each.trial.params), []).append(each)
    metric, seeds = plan.spec.objective.metric, len(plan.spec.seeds)
    first = same[0].values[split]
    some = list(groups.values())[:_MOST_CONFIGURATIONS]
    results = [found for group in some if (found := _resampled(group, split, metric, first))]
    if len(results) > 1:
        return of_trained(results, metric, seeds, len(first), first.unit)
    base = [each for each in same if each.trial.spec.is_baseline][:1]
    found = _resampled(base, split, metric, first) if base else None
    if found is None:
        return None
    variance, effective = score_variance(found, metric), found.effective_units
    designs = tuple(correlated(variance, variance, len(first), effective, seeds))
    return Known("base model", designs, unit=first.unit)


def _resampled(
    group: Sequence[_Scored], split: str, metric: str, first: UnitValues
) -> BootstrapResult | None:
    tables = [each.values[split] for each in group]
    return resampled_units(metric, tables, first.drawn, resampling(metric))
