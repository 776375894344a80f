"""The values of trials on the axes of a sweep, and what they are called on the leaderboard.

Covers axes whose values are mappings (a loss with its parameters, a section of data), lists and
paths: a leaderboard shows a short name for each, and keeps the value for scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import to_jsonable_python

from embft.leaderboard.joined import SWEEP, JoinedTrial
from embft.leaderboard.rows import Row
from embft.spec import TrialSpec
from embft.spec.base import Fields
from embft.spec.names import distinct_names, identity

Written = Mapping[str, Any]
"""Which fields the values of an axis name; a field that is itself a mapping has its own."""


def written_fields(trials: Sequence[JoinedTrial]) -> Mapping[str, Written]:
    """For each axis with mappings as values the fields that at least one of them names."""
    found: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for axis, value in trial.params.items():
            if isinstance(value, Mapping):
                _add(found.setdefault(axis, {}), value)
    return found


def on_axis(axis: str, trial: JoinedTrial, spec: TrialSpec, fields: Written | None = None) -> Any:
    """The trial's value on an axis as plain data, or None where it has no effect.

    fields: of a section those to show; without them those that differ from their defaults.
    """
    section = axis.partition(".")[0]
    named = trial.params and axis == "train.method"  # a base model of the space itself
    base_model = spec.is_baseline and section not in {"model", "data"} and not named
    if base_model or (axis.startswith("train.lora") and spec.train.method != "lora"):
        return None
    if axis == SWEEP:
        return trial.origin.name
    value: Any = spec
    for name in axis.split("."):
        # None for a section that this trial does not have, or a text in its place.
        known = isinstance(value, Fields) and name in type(value).model_fields
        value = getattr(value, name) if known else None
    if isinstance(value, Fields):
        return _section(value, fields)
    value = to_jsonable_python(value)
    return "none" if axis == "model.template" and value is None else value


def with_names(rows: Sequence[Row], axes: Sequence[str]) -> list[Row]:
    """The rows with a short name in place of each mapping, list, path and long text."""
    names = {axis: distinct_names(axis, (row.params[axis] for row in rows)) for axis in axes}
    found = []
    for row in rows:
        called = {
            axis: name
            for axis, value in row.params.items()
            if isinstance(value, (str, list, Mapping))
            and (name := names[axis][identity(value)]).casefold() != str(value).casefold()
        }
        values = {axis: row.params[axis] for axis in called}
        found.append(replace(row, params={**row.params, **called}, values=values))
    return found


def _section(value: Fields, fields: Written | None) -> Any:
    """A section's fields; its name alone where it has nothing else."""
    content = value.model_dump(mode="json", exclude_none=True)
    shown = set(fields or value.model_dump(mode="json", exclude_defaults=True)) | {"name"}
    found = {
        name: _section(inner, (fields or {}).get(name))
        if isinstance(inner := getattr(value, name), Fields)
        else content[name]
        for name in content
        if name in shown
    }
    return found["name"] if found.keys() == {"name"} else found


def _add(into: dict[str, Any], value: Mapping[str, Any]) -> None:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            _add(into.setdefault(name, {}), inner)
        else:
            into.setdefault(name, {})
