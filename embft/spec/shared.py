"""Specs of records: sections that are equal are one object, checked once.

Thousands of trials of a sweep differ in a field or two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from embft.spec.fields import TrialSpec

_MOST_KNOWN = 256
_NAMES = frozenset(TrialSpec.model_fields)
_known: dict[tuple[str, str], Any] = {}
_last: list[tuple[Mapping[str, Any], TrialSpec]] = []


def trial_spec(content: Any) -> TrialSpec:
    """The spec of a record's JSON, as plain data. Raises pydantic's ValidationError."""
    if not isinstance(content, Mapping):
        return TrialSpec.model_validate(content)
    for before, spec in _last:  # a plan's trial, then the record of that trial
        if before == content:
            return spec
    sections = {
        name: _section(name, value) if _is_section(name, value) else value
        for name, value in content.items()
    }
    spec = TrialSpec.model_validate(sections)
    _last[:] = [(content, spec)]
    return spec


def _is_section(name: str, value: Any) -> bool:
    return name in _NAMES and isinstance(value, dict | list)


def _section(name: str, value: Any) -> Any:
    # Of plain data the repr differs where the JSON does, and takes less time than that.
    key = (name, repr(value))
    found = _known.get(key)
    if found is None:
        found = _checks(name).validate_json(json.dumps(value))
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    return found


@cache
def _checks(name: str) -> TypeAdapter[Any]:
    annotation: Any = TrialSpec.model_fields[name].annotation
    return TypeAdapter(annotation)
