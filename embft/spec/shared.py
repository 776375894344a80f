"""Specs of records: sections that are equal are one object, checked once.

Thousands of trials of a sweep differ in a field or two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from embft.spec.base import Fields
from embft.spec.trial import TrialSpec

_MOST_KNOWN = 256
_NAMES = frozenset(TrialSpec.model_fields)
_known: dict[tuple[str, bytes], Any] = {}
_last: list[TrialSpec] = []


def trial_spec(content: Any) -> TrialSpec:
    """The spec of a record's JSON, as plain data. Raises pydantic's ValidationError."""
    if not isinstance(content, Mapping) or not content.keys() <= _NAMES:
        return TrialSpec.model_validate(content)
    sections = {name: _section(name, value) for name, value in content.items()}
    if len(sections) < len(_NAMES):
        return TrialSpec.model_validate(sections)
    for spec in _last:  # a plan's trial, then the record of that trial
        if vars(spec) == sections:
            return spec
    # Each section has been checked, and a spec has no checks beyond those of its sections.
    spec = TrialSpec.model_construct(**sections)
    _last[:] = [spec]
    return spec


def _section(name: str, value: Any) -> Any:
    try:
        key = (name, to_json(value))
    except PydanticSerializationError:  # half a surrogate pair, hundreds of levels
        return _checks(name).validate_json(json.dumps(value))  # says so
    found = _known.get(key)
    if found is None:
        found = _checks(name).validate_json(key[1])
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    return found


@cache
def _checks(name: str) -> TypeAdapter[Any]:
    annotation: Any = TrialSpec.model_fields[name].annotation
    is_section = isinstance(annotation, type) and issubclass(annotation, Fields)
    return TypeAdapter(annotation, config=None if is_section else Fields.model_config)
