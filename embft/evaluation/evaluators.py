"""The evaluators by name, the user's own among them, and what their results must be.

An evaluator takes a `Context` and returns metrics by split. Built-in ones are listed here; the
user's are named `module:function` and may return metrics of test alone, flat. A fault in a user's
function costs its metrics, never the trial: its reason is reported in their place.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from embft.errors import EmbftError, nearest
from embft.evaluation.clusters import clusters
from embft.evaluation.collapse import collapse
from embft.evaluation.context import Context, Evaluator
from embft.evaluation.embed import EVALUATED, Embedded
from embft.evaluation.labelled import retrieval_of_pairs
from embft.evaluation.probe import probe
from embft.metrics.pairs import undefined_reasons

__all__ = ["EVALUATORS", "Context", "Embedded", "Evaluated", "Evaluator", "evaluate"]

EVALUATORS: dict[str, Evaluator] = {
    "clusters": clusters,
    "collapse": collapse,
    "probe": probe,
    "retrieval": retrieval_of_pairs,
}

# The names of the metrics that every trial has; an evaluator may not give them another meaning.
RESERVED = frozenset(undefined_reasons([0.0], [0.0], 0.0))


@dataclass(frozen=True)
class Evaluated:
    """What the evaluators found, by metric; `undefined` says why a metric of theirs is absent."""

    dev: dict[str, float]
    test: dict[str, float]
    undefined: dict[str, str]


def evaluate(context: Context, names: Sequence[str], folder: Path | None = None) -> Evaluated:
    """Run these evaluators, in this order. `folder`: where users' modules stand beside the spec.

    Of two evaluators that give one metric the first counts. Raises EmbftError for a name that
    `find_evaluator` does not know.
    """
    found = Evaluated({}, {}, {})
    for name, evaluator in {name: find_evaluator(name, folder) for name in names}.items():
        taken = RESERVED | found.dev.keys() | found.test.keys()
        try:
            result: Any = evaluator(context)
        except Exception as error:  # a user's function may raise anything
            if name in EVALUATORS:
                raise
            found.undefined[name] = f"{type(error).__name__}: {error}"
            continue
        _take(name, result, taken, found)
    return found


def _take(name: str, result: Any, taken: set[str] | frozenset[str], found: Evaluated) -> None:
    for split, metrics in _by_split(name, result, found.undefined).items():
        kept: dict[str, float] = getattr(found, split)
        for metric, value in metrics.items():
            reason = _fault(metric, value, taken)
            if reason is None:
                kept[metric] = float(value)
            elif split == "test" or "test" not in result:
                clash = metric in taken
                found.undefined[f"{name}.{metric}" if clash else str(metric)] = reason


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
        number = float(value)
    except (TypeError, ValueError):
        return f"the evaluator gave {type(value).__name__}, not a number"
    return None if math.isfinite(number) else f"the evaluator gave {number}"


def find_evaluator(name: str, folder: Path | None = None) -> Evaluator:
    """The evaluator of this name: a built-in one, or the user's `module:function`.

    The user's module is `module.py` in `folder`, or else whatever Python can import by that name.
    Raises EmbftError that says what there is instead.
    """
    if name in EVALUATORS:
        return EVALUATORS[name]
    module_name, colon, function_name = name.partition(":")
    if not colon or not module_name or not function_name:
        raise EmbftError(
            f"evaluator {name!r}: {nearest(name, EVALUATORS)}, or module:function for your own"
        )
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
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing and f"{module}.".startswith(f"{missing}."):
                raise _no_module(name, module, folder) from None
            raise EmbftError(
                f"evaluator {name!r}: importing {module} failed: {type(error).__name__}: {error}"
            ) from error


def _no_module(name: str, module: str, folder: Path | None) -> EmbftError:
    files = [] if folder is None else [path.stem for path in folder.glob("*.py")]
    at = "" if folder is None else f"neither {folder / module}.py nor a package of that name; "
    advice = nearest(module, files) if files else "put the module beside the spec"
    return EmbftError(f"evaluator {name!r}: there is no module {module!r}: {at}{advice}")


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
    """Let the user's module import what stands beside it."""
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
