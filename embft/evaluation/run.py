"""Runs a spec's evaluators on a model, and takes what they find.

An evaluator is a class derived from `spec.evaluators.Evaluator` in a module of this package, found
by its name. What each may return is in `context.py`; a user's function may also return one number
for each unit in place of a metric, which is then their mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embft.data.pairs import Pairs, Splits
from embft.data.retrieval import Retrieval
from embft.evaluation.context import EVALUATED, Context, Estimate, Interval
from embft.evaluation.embed import cosines, embed_splits
from embft.evaluation.scoring import dev_threshold, score_dev
from embft.metrics.bootstrap import weighted_interval
from embft.metrics.registry import in_every_trial
from embft.results.records import Metrics
from embft.results.units import UnitValues
from embft.spec import EvaluatorSpec

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Bound = tuple[EvaluatorSpec, Path | None]
"""An entry of the spec, and the folder in which what it reads is frozen."""


def _no_splits() -> dict[str, Any]:
    return {split: {} for split in EVALUATED}


@dataclass(frozen=True)
class Evaluated:
    """What the evaluators found, by metric; `undefined` says why a metric of theirs is absent.

    by_unit: split -> metric -> what it is made of, where its evaluator has that.
    """

    dev: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    dev_intervals: dict[str, Interval] = field(default_factory=dict)
    test_intervals: dict[str, Interval] = field(default_factory=dict)
    by_unit: dict[str, dict[str, UnitValues]] = field(default_factory=_no_splits)


def evaluate(context: Context, entries: Sequence[Bound]) -> Evaluated:
    """Run these evaluators, in this order.

    Of two evaluators that give one metric the first counts. Raises EmbftError for one that cannot
    run, before any does.
    """
    found = Evaluated()
    for entry, run in [(entry, entry.fields.load(folder)) for entry, folder in entries]:
        taken = in_every_trial() | found.dev.keys() | found.test.keys()
        try:
            result: Any = run(context)
        except Exception as error:  # a user's function, and a package's task, may raise anything
            if not entry.fields.foreign:
                raise
            found.undefined[entry.label] = f"{type(error).__name__}: {error}"
            continue
        _take(entry, result, taken, found)
    return found


def epoch_metrics(
    model: SentenceTransformer,
    dev: Pairs,
    seed: int,
    extra: Sequence[Bound],
    retrieval: Retrieval | None = None,
) -> Metrics:
    """The metrics of the dev split while training, with those of the extra evaluators.

    retrieval: the corpus and the judged queries, where the data are such.
    """
    splits = Splits(dev, dev, dev, retrieval=retrieval)
    embedded = embed_splits(model, splits)
    scores = cosines(embedded["dev"])
    metrics = score_dev(dev, scores)
    if not extra:
        return metrics
    context = Context(model, splits, embedded, dev_threshold(dev, scores), seed, ("dev",))
    return {**metrics, **evaluate(context, extra).dev}


def _take(entry: EvaluatorSpec, result: Any, taken: frozenset[str], found: Evaluated) -> None:
    for split, metrics in _by_split(entry.label, result, found.undefined).items():
        for name, value in metrics.items():
            metric = entry.prefixed(name) if isinstance(name, str) else name
            estimate = _name_fault(metric, taken) or _estimate(value)
            if isinstance(estimate, Estimate):
                _keep(found, split, metric, estimate)
            elif split == "test" or "test" not in result:
                clash = metric in taken
                found.undefined[f"{entry.label}.{metric}" if clash else str(metric)] = estimate


def _keep(found: Evaluated, split: str, metric: str, estimate: Estimate) -> None:
    getattr(found, split)[metric] = float(estimate.value)
    if estimate.interval:
        getattr(found, f"{split}_intervals")[metric] = estimate.interval
    if estimate.by_unit is not None:
        found.by_unit[split][metric] = estimate.by_unit


def _by_split(name: str, result: Any, undefined: dict[str, str]) -> Mapping[str, Mapping[str, Any]]:
    """The result by split, whichever of its two shapes it has; {} with a reason otherwise."""
    if not isinstance(result, Mapping):
        undefined[name] = f"it returned {type(result).__name__}, not a dict of metrics"
        return {}
    if not any(isinstance(value, Mapping) for value in result.values()):
        return {"test": result}
    strange = [key for key, value in result.items() if key not in EVALUATED]
    strange += [key for key, value in result.items() if not isinstance(value, Mapping)]
    if strange:
        undefined[name] = (
            f"it returned {strange[0]!r}: by split the keys are dev and test, each with a dict of "
            "metrics"
        )
        return {}
    return result


def _name_fault(metric: Any, taken: frozenset[str]) -> str | None:
    """Why nothing can be recorded under this name, or None."""
    if not isinstance(metric, str) or not metric.isidentifier():
        return f"a metric's name is letters, digits and _, not {metric!r}"
    return "another metric has this name" if metric in taken else None


def _estimate(value: Any) -> Estimate | str:
    """The value that can be recorded, or why there is none."""
    if isinstance(value, str):
        return value
    try:
        found = _read(value)
    except (TypeError, ValueError):
        return f"the evaluator gave {type(value).__name__}, not a number"
    if isinstance(found, Estimate) and not math.isfinite(found.value):
        return f"the evaluator gave {found.value}"
    return found


def _read(value: Any) -> Estimate | str:
    """A number, an estimate, or values by unit. Raises TypeError or ValueError for what is none."""
    if isinstance(value, Estimate):
        return value
    if isinstance(value, UnitValues):
        return _of_units(value)
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1:
        values = np.asarray(value, np.float64)
        return _of_units(UnitValues("unit", tuple(map(str, range(len(values)))), values))
    return Estimate(float(value))


def _of_units(found: UnitValues) -> Estimate | str:
    if not len(found):
        return "the evaluator gave no values"
    if bad := int((~np.isfinite(found.values)).sum()):
        return f"{bad} of the {len(found)} values that the evaluator gave are not finite numbers"
    interval = weighted_interval(found.resampled, found.drawn) if len(found) > 1 else None
    return Estimate(found.estimate(), interval, found)
