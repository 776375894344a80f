"""Specs of records: sections that are equal are one object, checked once.

Thousands of trials of a sweep differ in a field or two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from pydantic import TypeAdapter

from embft.spec.fields import TrialSpec


def trial_spec(content: Any) -> TrialSpec:
    """The spec of a record's JSON, as plain data. Raises pydantic's ValidationError."""
    if not isinstance(content, Mapping):
        return TrialSpec.model_validate(content)
    sections = {
        name: _section(name, json.dumps(value)) if _is_section(name, value) else value
        for name, value in content.items()
    }
    return TrialSpec.model_validate(sections)


def _is_section(name: str, value: Any) -> bool:
    return name in TrialSpec.model_fields and isinstance(value, dict | list)


@lru_cache(maxsize=256)
def _section(name: str, text: str) -> Any:
    return _checks(name).validate_json(text)


@cache
def _checks(name: str) -> TypeAdapter[Any]:
    annotation: Any = TrialSpec.model_fields[name].annotation
    return TypeAdapter(annotation)
