"""The evaluators by name, the user's own among them, and what their results must be.

An evaluator takes a `Context` and returns metrics by split. Built-in ones are listed here; the
user's are named `module:function` and may return metrics of test alone, flat. A fault in a user's
function costs its metrics, never the trial: its reason is reported in their place.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs, Splits
from embft.errors import EmbftError, nearest
from embft.evaluation.attention import attention
from embft.evaluation.clusters import clusters
from embft.evaluation.collapse import collapse
from embft.evaluation.context import Context, Estimate, Evaluator, Interval
from embft.evaluation.embed import EVALUATED, Embedded, cosines, embed_splits
from embft.evaluation.labelled import classification, clustering, sts
from embft.evaluation.mteb_task import mteb_task
from embft.evaluation.probe import probe
from embft.evaluation.retrieval import retrieval_of_pairs
from embft.evaluation.scoring import dev_threshold, score_dev
from embft.metrics.metric import LEADERBOARD, PAIRS
from embft.metrics.registry import computed_by
from embft.results.records import Metrics
from embft.spec import EvaluatorSpec

__all__ = ["EVALUATORS", "Context", "Embedded", "Evaluated", "Evaluator", "evaluate"]

EVALUATORS: dict[str, Evaluator] = {
    "attention": attention,
    "clusters": clusters,
    "collapse": collapse,
    "probe": probe,
    "retrieval": retrieval_of_pairs,
}

# Those that tell how a model changes while it trains: they run at every evaluation.
DURING_TRAINING = frozenset({"attention"})

# The names of the metrics that every trial has; an evaluator may not give them another meaning.
RESERVED = frozenset({*computed_by(PAIRS), *computed_by(LEADERBOARD)})


@dataclass(frozen=True)
class Evaluated:
    """What the evaluators found, by metric; `undefined` says why a metric of theirs is absent."""

    dev: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    dev_intervals: dict[str, Interval] = field(default_factory=dict)
    test_intervals: dict[str, Interval] = field(default_factory=dict)


Bound = tuple[EvaluatorSpec, Path | None]
"""An entry of the spec, and the folder in which what it reads is frozen."""


def evaluate(context: Context, entries: Sequence[Bound]) -> Evaluated:
    """Run these evaluators, in this order.

    Of two evaluators that give one metric the first counts. Raises EmbftError for a function that
    `find_evaluator` does not find.
    """
    found = Evaluated()
    for entry, evaluator in [(entry, find_evaluator(entry, folder)) for entry, folder in entries]:
        taken = RESERVED | found.dev.keys() | found.test.keys()
        try:
            result: Any = evaluator(context)
        except Exception as error:  # a user's function, and a package's task, may raise anything
            if not (entry.is_users or entry.mteb):
                raise
            found.undefined[entry.label] = f"{type(error).__name__}: {error}"
            continue
        _take(entry, result, taken, found)
    return found


def epoch_metrics(
    model: SentenceTransformer, dev: Pairs, seed: int, extra: Sequence[Bound]
) -> Metrics:
    """The metrics of the dev split while training, with those of the extra evaluators."""
    splits = Splits(dev, dev, dev)
    embedded = embed_splits(model, splits)
    scores = cosines(embedded["dev"])
    metrics = score_dev(dev, scores)
    if not extra:
        return metrics
    context = Context(model, splits, embedded, dev_threshold(dev, scores), seed, ("dev",))
    return {**metrics, **evaluate(context, extra).dev}


def _take(
    entry: EvaluatorSpec, result: Any, taken: set[str] | frozenset[str], found: Evaluated
) -> None:
    for split, metrics in _by_split(entry.label, result, found.undefined).items():
        kept: dict[str, float] = getattr(found, split)
        for name, value in metrics.items():
            metric = entry.prefixed(name) if isinstance(name, str) else name
            reason = _fault(metric, value, taken)
            if reason is None:
                kept[metric] = float(_value(value))
                if isinstance(value, Estimate) and value.interval:
                    getattr(found, f"{split}_intervals")[metric] = value.interval
            elif split == "test" or "test" not in result:
                clash = metric in taken
                found.undefined[f"{entry.label}.{metric}" if clash else str(metric)] = reason


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Estimate) else value


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


def _fault(metric: Any, value: Any, taken: set[str] | frozenset[str]) -> str | None:
    """Why a value cannot be recorded under this name, or None."""
    if not isinstance(metric, str) or not metric.isidentifier():
        return f"a metric's name is letters, digits and _, not {metric!r}"
    if metric in taken:
        return "another metric has this name"
    if isinstance(value, str):
        return value
    try:
        number = float(_value(value))
    except (TypeError, ValueError):
        return f"the evaluator gave {type(value).__name__}, not a number"
    return None if math.isfinite(number) else f"the evaluator gave {number}"


def find_evaluator(entry: EvaluatorSpec, folder: Path | None = None) -> Evaluator:
    """The function of an entry; `folder` is where what it reads is frozen.

    The user's module is `module.py` there, or else whatever Python can import by that name. Raises
    EmbftError that says what there is instead.
    """
    if entry.is_users:
        return _users(str(entry.function), folder)
    if entry.function:
        return EVALUATORS[entry.function]
    if entry.mteb:
        return partial(mteb_task, entry.mteb)
    if folder is None:
        raise EmbftError(f"evaluator {entry.label!r}: its files are not frozen")
    if entry.clustering:
        return partial(clustering, entry.clustering, folder)
    if entry.classification:
        return partial(classification, entry.classification, folder)
    return partial(sts, folder)


def _users(name: str, folder: Path | None) -> Evaluator:
    module_name, _, function_name = name.partition(":")
    module = _imported(name, module_name, folder)
    function: Any = getattr(module, function_name, None)
    if function is None:
        there = [n for n, f in vars(module).items() if callable(f) and not n.startswith("_")]
        raise EmbftError(
            f"evaluator {name!r}: {module.__file__ or module_name} has no {function_name!r}; "
            f"{nearest(function_name, there)}"
        )
    if not callable(function):
        raise EmbftError(
            f"evaluator {name!r}: {function_name} is of type {type(function).__name__}; "
            "it must be a function that takes a Context and returns a dict of metrics"
        )
    evaluator: Evaluator = function
    return evaluator


def _imported(name: str, module: str, folder: Path | None) -> ModuleType:
    path = None if folder is None else folder / f"{module.replace('.', '/')}.py"
    with _importable(folder):
        try:
            if path is not None and path.is_file():
                return _from_file(path)
            return importlib.import_module(module)
        except Exception as error:  # importing runs the user's code
            raise EmbftError(
                f"evaluator {name!r}: importing {module} failed: {type(error).__name__}: {error}"
            ) from error


def _from_file(path: Path) -> ModuleType:
    """The module of a file, under a name of its own: a user's `metrics.py` hides nobody else's."""
    spec = importlib.util.spec_from_file_location(f"embft_evaluator_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it runs
    spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    """Let the user's module import what stands beside it, from its source and nothing else: byte
    code that lies there was not part of the plan.
    """
    if folder is None:
        yield
        return
    before = sys.pycache_prefix, sys.dont_write_bytecode
    sys.pycache_prefix, sys.dont_write_bytecode = os.devnull, True
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.pycache_prefix, sys.dont_write_bytecode = before
