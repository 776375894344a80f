"""A user's own function: `module:function`, found beside the spec or among installed packages.

It takes a `Context` and returns metrics by split, or those of test alone, flat. A fault in it costs
its metrics, never the trial.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator

from embft.errors import EmbftError, nearest
from embft.evaluation.context import Context, Found
from embft.metrics.metric import USERS, Direction, Metric
from embft.results.evaluators import EvaluatorFiles
from embft.spec.base import Below, Text
from embft.spec.evaluators import Evaluator


def _directions(given: Any) -> Any:
    """A mapping of metrics to `min` or `max`, as pairs: what is in a spec must be hashable."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{given!r:.80} is no mapping of each metric to min or max")
    for name, direction in given.items():
        if direction not in get_args(Direction):
            raise ValueError(
                f"{name} is {direction!r}: whether lower or higher is better, min or max"
            )
        if not str(name).isidentifier():
            raise ValueError(f"a metric's name is letters, digits and _, not {name!r}")
    return sorted(given.items())


Directions = Annotated[
    tuple[tuple[str, Direction], ...],
    BeforeValidator(_directions),
    Field(strict=False),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"enum": ["max", "min"]}}),
]


class Function(Evaluator):
    """function: `module:function`; folder: where the module stands, the spec's by default.

    metrics: which metrics it gives, and whether higher or lower is better, `max` or `min`. With it
    a plan knows which objective it can give; without it any, and all count upward.
    """

    function: Text
    folder: Text | None = None
    metrics: Directions | None = None

    foreign: ClassVar = True

    @field_validator("function")
    @classmethod
    def _names_both(cls, value: str) -> str:
        module, _, function = value.partition(":")
        if not module or not function:
            raise ValueError(f"{value!r} is not module:function")
        return value

    @property
    def title(self) -> str:
        """The function as the spec has it."""
        return self.function

    def dev_metrics(self) -> frozenset[str] | None:
        """Those that the spec names; None where only running it can tell."""
        return None if self.metrics is None else frozenset(dict(self.metrics))

    def metric(self, name: str) -> Metric | None:
        """One that the spec names, with its direction."""
        direction = dict(self.metrics or ()).get(name)
        label = name.replace("_", " ")
        return direction and Metric(name, label, "", direction=direction, computed_by=USERS)

    def content(self) -> dict[str, Any]:
        """The function; where it stands does not count, its code does."""
        return {"function": self.function}

    def relative_to(self, folder: Below) -> Self:
        """The same with its folder read as relative to this one."""
        return self.model_copy(update={"folder": str(folder / (self.folder or ""))})

    def find_files(self) -> EvaluatorFiles:
        """The module and the modules beside it that it imports, unexecuted."""
        from embft.evaluation.user_code import user_code

        return user_code(self.function, Path(self.folder or "."))

    def load(self, folder: Path | None) -> Callable[[Context], Mapping[str, Found]]:
        """The function. Its module is `module.py` in the folder, or else whatever Python can import
        by that name.
        """
        return find_function(self.function, folder)


def find_function(name: str, folder: Path | None) -> Callable[[Context], Mapping[str, Found]]:
    """The function that `module:function` names. Raises EmbftError that says what there is."""
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
    found: Callable[[Context], Mapping[str, Found]] = function
    return found


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
