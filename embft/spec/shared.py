"""Specs of records: sections that are equal are one object, checked once.

Thousands of trials of a sweep differ in a field or two.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from embft.spec.fields import TrialSpec


def trial_spec(content: Any) -> TrialSpec:
    """The spec of a record's JSON, as plain data. Raises pydantic's ValidationError."""
    if not isinstance(content, Mapping):
        return TrialSpec.model_validate(content)
    sections = {
        name: _section(name, value) if _is_section(name, value) else value
        for name, value in content.items()
    }
    return TrialSpec.model_validate(sections)


def _is_section(name: str, value: Any) -> bool:
    return name in TrialSpec.model_fields and isinstance(value, dict | list)


# Under a section's name and its own bytes. marshal writes them several times as fast as json, and
# in format 2 as a function of the content alone.
_MOST, _MARSHAL = 256, 2
_kept: dict[tuple[str, bytes], Any] = {}


def _section(name: str, value: Any) -> Any:
    key = name, marshal.dumps(value, _MARSHAL)
    found = _kept.get(key)
    if found is None:
        if len(_kept) >= _MOST:
            _kept.clear()
        found = _kept[key] = _checks(name).validate_json(json.dumps(value))
    return found


@cache
def _checks(name: str) -> TypeAdapter[Any]:
    annotation: Any = TrialSpec.model_fields[name].annotation
    return TypeAdapter(annotation)
