"""Imports a library without what it brings along for nothing, which takes most of the time."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from embft.system.speedups import go_without


def import_without(library: str, *others: str) -> None:
    """Import a library, and none of the others before something of theirs is called or asked for.
    Packages come before their modules. Where this version of the library needs more of them, all is
    imported as usual.
    """
    if library in sys.modules:
        return
    before = set(sys.modules)
    try:
        with imported_later(*others):
            importlib.import_module(library)
    except Exception as error:  # noqa: BLE001 - whatever it needs of them, it gets them now
        go_without(
            f"an import of {library} without {', '.join(others)}",
            f"{type(error).__name__}: {error}".partition("\n")[0],
        )
        top = library.partition(".")[0]
        for name in [n for n in set(sys.modules) - before if n.partition(".")[0] == top]:
            del sys.modules[name]
        importlib.import_module(library)


def import_sklearn(*modules: str) -> None:
    """Import these modules of scikit-learn without scipy.stats and pandas, which take twice its
    time, and which nothing calls that embft uses of it.
    """
    for module in modules:
        import_without(f"sklearn.{module}", "scipy.stats", "pandas")


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
