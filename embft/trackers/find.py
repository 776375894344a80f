"""A tracker by its name: a module of this package, or `module:Class` of the user's."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import embft.trackers
from embft.errors import EmbftError, nearest
from embft.results.observer import Observer


def names() -> list[str]:
    """The names of the trackers in this package, sorted."""
    modules = pkgutil.iter_modules(embft.trackers.__path__)
    return sorted(module.name for module in modules if module.name != "find")


def find_tracker(name: str) -> Observer:
    """The tracker of this name, ready to be given to a sweep.

    A user's module is one that Python can import, or `module.py` in the working directory. Raises
    EmbftError where there is none, and where it cannot be made.
    """
    module, colon, found = name.partition(":")
    if not colon and name not in names():
        raise EmbftError(
            f"--tracker {name}: {nearest(name, names())}, or module:Class for your own"
        )
    with _working_directory():
        try:
            path = module if colon else f"embft.trackers.{name}"
            tracker: Any = getattr(importlib.import_module(path), found if colon else "Tracker")()
        except Exception as error:  # importing runs the user's code
            reason = f"{type(error).__name__}: {error}"
            raise EmbftError(f"--tracker {name} cannot be made: {reason}") from error
    if not isinstance(tracker, Observer):
        raise EmbftError(
            f"--tracker {name}: {found} must be a class derived from "
            "embft.results.observer.Observer"
        )
    return tracker


@contextmanager
def _working_directory() -> Iterator[None]:
    """Let modules of the working directory be imported, after all others."""
    sys.path.append(str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
