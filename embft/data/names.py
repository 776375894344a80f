"""Columns by their names, and where in which file something stands."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from embft.errors import DataError


class MissingColumnError(DataError):
    """A file has no such column. column: its name; fact: what is so, without what to do."""

    def __init__(self, message: str, column: str, fact: str) -> None:
        super().__init__(message)
        self.column, self.fact = column, fact


class Place(NamedTuple):
    """Where a row stands, as messages name it. unit: line, row or record, counted from 1."""

    path: Path
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.path}, {self.unit} {self.number}"


def as_compared(name: str) -> str:
    """A column's name without what people do not mean by it: case, and spaces around it."""
    return name.strip().casefold()


def find_columns(path: Path, wanted: Sequence[str], present: Sequence[str]) -> list[int]:
    """Where among a file's columns each wanted one stands: by its name, else but for case and
    spaces around it. Raises DataError where there is none, or more than one.
    """
    exact = _places(present)
    about = _places(list(map(as_compared, present)))
    found = []
    for name in wanted:
        places = exact.get(name) or about.get(as_compared(name), [])
        if not places:
            raise missing(path, name, present, wanted)
        if len(places) > 1:
            names = ", ".join(repr(present[place]) for place in places)
            raise DataError(f"{path}: the header has {name!r} twice ({names}); rename one of them.")
        found.append(places[0])
    return found


def _places(names: Sequence[str]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return found


def missing(
    path: Path, name: str, present: Sequence[str], wanted: Sequence[str], where: str = ""
) -> MissingColumnError:
    """The error for a column that is not there; what is meant is a column not wanted otherwise."""
    hint = ""
    if any("\r" in other.strip("\r") for other in present):
        hint = " Are the line ends bare carriage returns? Save the file with line feeds."
    elif not where and not {".csv", ".tsv", ".tab"}.isdisjoint(map(str.lower, path.suffixes)):
        hint = " A csv or tsv file without a header needs positions, such as `text_1: 0`."
    if name == "label":
        hint += (
            " For pairs without labels say so: `data.columns: {label: null}`; with hard negatives "
            "name their columns as `negatives`."
        )
    close = difflib.get_close_matches(name, [other for other in present if other not in wanted], 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    fact = f"{path}{where}: no column {name!r}; {meant}the file has: {_listed(present)}."
    return MissingColumnError(
        f"{fact} Set `data.columns` (or `data.groups`) to the file's own names." + hint, name, fact
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)) or "none"
    return shown if len(shown) <= 300 else f"{shown[:299]}…"


def cut(value: object) -> str:
    """How a message shows a value: its repr, at most 60 characters."""
    shown = repr(value[:80] if isinstance(value, str) else value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
