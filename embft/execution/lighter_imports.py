"""What importing sentence-transformers brings along for nothing is left out, or done once.

It imports scikit-learn for functions of its evaluators, and datasets, and with it pandas, for its
trainer: no trial calls either. transformers looks through the files of all its architectures twice.
Together that was a third of the warm process's start. Where another version needs more of them, all
is imported as usual. What each worker would do once more for itself is done before they are forked.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from embft.system.speedups import go_without, speedup

_LIBRARY = "sentence_transformers"


def import_sentence_transformers() -> None:
    """Import it, as lightly as this version allows."""
    if _LIBRARY in sys.modules:
        return
    speedup("one look at the architectures", _look_once)
    try:
        with imported_later("sklearn", "sklearn.metrics", "datasets"):
            importlib.import_module(_LIBRARY)
    except Exception as error:  # noqa: BLE001 - whatever it needs of them, it gets them now
        reason = f"{type(error).__name__}: {error}"
        go_without("an import without scikit-learn and datasets", reason)
        for name in [n for n in sys.modules if n.partition(".")[0] == _LIBRARY]:
            del sys.modules[name]
        importlib.import_module(_LIBRARY)
    speedup("models without the version of datasets", _leave_out_datasets)
    speedup("names of weights read once", _read_names_of_weights)


@contextmanager
def imported_later(*names: str) -> Iterator[None]:
    """In the block, what is imported from these modules stands for itself until it is called, or
    asked for something. Packages come before their modules. Those that are imported already stay.
    """
    found = [name for name in names if name not in sys.modules]
    placed = {name: _Later(name) for name in found}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module whose functions and classes are wanted later, if at all."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if "." not in name:  # others ask by it whether the package is installed
            self.__spec__ = importlib.util.find_spec(name)

    def __getattr__(self, name: str) -> _Stand:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Stand(name, (), {"__module__": self.__name__})


class _Stand(type):
    """Stands for a function or a class of a module that has not been imported.

    Nothing is an instance of a class whose module nobody has imported.
    """

    def __call__(cls, *given: Any, **named: Any) -> Any:
        return cls._real()(*given, **named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._real(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return cls.__module__ in sys.modules and isinstance(instance, cls._real())

    def _real(cls) -> Any:
        return getattr(importlib.import_module(cls.__module__), cls.__name__)


def _leave_out_datasets() -> None:
    """Each model notes for a model card, which embft writes itself, which version of datasets there
    is, and asks of the texts that it encodes whether they are a column of datasets. It imports it
    for either: a third of a second in every worker. Where it is not imported, nothing is of it.
    """
    for name in ("base.model_card", "base.model"):
        module = importlib.import_module(f"{_LIBRARY}.{name}")
        if not callable(module.is_datasets_available):
            raise TypeError(f"its {name} asks in another way")
        setattr(module, "is_datasets_available", _is_datasets_imported)  # noqa: B010 - for mypy


def _is_datasets_imported() -> bool:
    return "datasets" in sys.modules


def _read_names_of_weights() -> None:
    """With the first model transformers compiles the patterns by which it renames the weights of
    all architectures, a thousand of them.
    """
    mapping = importlib.import_module("transformers.conversion_mapping")
    mapping.get_checkpoint_conversion_mapping("bert")


def _look_once() -> None:
    """Have `transformers.models` take what `transformers` has found of the architectures."""
    import transformers

    import_utils: Any = importlib.import_module("transformers.utils.import_utils")
    plain = import_utils.define_import_structure
    models = Path(transformers.__file__).parent / "models"

    def structure(module_path: Any, prefix: str | None = None) -> Any:
        if prefix is not None or Path(module_path) != models / "__init__.py":
            return plain(module_path, prefix)
        named = plain(models, prefix="models")
        return {
            kind: {name.removeprefix("models."): each for name, each in modules.items()}
            for kind, modules in named.items()
        }

    import_utils.define_import_structure = structure
    try:
        importlib.import_module("transformers.models")
    finally:
        import_utils.define_import_structure = plain
