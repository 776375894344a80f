"""The JSON Schema of a spec: what editors complete and check by.

Built from the fields themselves, with the meanings of `meanings.yaml`. It accepts every spec that
embft accepts; it cannot know everything that embft refuses (what files hold, how fields fit).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from embft.spec.distributions import KINDS
from embft.spec.losses import LossSpec
from embft.spec.parse import Document
from embft.spec.space import SECTIONS, axis_names

SCHEMA_FILE = Path(__file__).with_name("spec.schema.json")
"""The schema as it is published with the package."""

_MEANINGS = Path(__file__).with_name("meanings.yaml")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

# What stands below these is described elsewhere.
_CLOSED = {"space", "evaluators", "data.dev.columns", "data.test.columns"}


def spec_schema() -> Schema:
    """The schema of a spec file."""
    found = Document.model_json_schema()
    shared: Schema = found["$defs"]
    for name, model in SECTIONS.items():
        section = model.model_json_schema()
        parts = {**section.pop("$defs", {}), model.__name__: section}
        for part in parts.values():
            part.pop("required", None)  # an axis of the space may set it
        shared |= parts
        found["properties"][name] = {"$ref": f"#/$defs/{model.__name__}"}
    _allow_short_forms(shared)
    found["properties"]["space"] = _space(found)
    _describe(found)
    return {"$schema": _DIALECT, **_tidy(found), "title": "embft spec", "description": _ABOUT}


_ABOUT = "A sweep of embft: base model, data, training, and what varies."


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n"


def meanings() -> dict[str, str]:
    """What each field means, by its dotted path."""
    found: dict[str, str] = yaml.safe_load(_MEANINGS.read_text(encoding="utf-8"))
    return found


def fields() -> Iterator[tuple[str, Schema]]:
    """Each field of a spec by its dotted path, with its schema."""
    schema = spec_schema()
    for name in schema["properties"]:
        yield from _fields(schema, name, schema["properties"][name])


def resolved(schema: Schema, field: Schema) -> list[Schema]:
    """The forms that a field may have: the members of its union, references followed."""
    if "$ref" in field:
        return resolved(schema, schema["$defs"][field["$ref"].rpartition("/")[2]])
    if "anyOf" in field:
        return [form for option in field["anyOf"] for form in resolved(schema, option)]
    return [field]


def _fields(schema: Schema, path: str, field: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, field
    if path in _CLOSED:
        return
    for form in resolved(schema, field):
        for name, inner in form.get("properties", {}).items():
            yield from _fields(schema, f"{path}.{name}", inner)


def _allow_short_forms(shared: Schema) -> None:
    """A loss may be written as its name alone."""
    loss = shared[LossSpec.__name__]
    names = {"enum": loss["properties"]["name"]["enum"], "type": "string"}
    shared[LossSpec.__name__] = {"anyOf": [names, loss]}


def _space(schema: Schema) -> Schema:
    """A mapping of axes to lists of values or distributions, or a list of such mappings."""
    axes = {name: _axis(_at(schema, name)) for name in axis_names()}
    schema["$defs"]["Distribution"] = _distribution()
    product = {"type": "object", "properties": axes, "additionalProperties": False}
    schema["$defs"]["Product"] = product
    one = {"$ref": "#/$defs/Product"}
    return {"anyOf": [one, {"type": "array", "items": one}, {"type": "null"}]}


def _axis(field: Schema) -> Schema:
    values = {"type": "array", "items": field}
    choice = {"type": "object", "properties": {"choice": values}, "required": ["choice"]}
    return {"anyOf": [values, choice, {"$ref": "#/$defs/Distribution"}]}


def _distribution() -> Schema:
    """One distribution of numbers, under its name."""
    numbers = {kind: {"type": "array", "items": {"type": "number"}} for kind in KINDS}
    del numbers["choice"]
    return {
        "type": "object",
        "properties": numbers,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _at(schema: Schema, path: str) -> Schema:
    """The field at a dotted path, its default left out."""
    here: Schema = schema
    for part in path.split("."):
        here = next(
            form["properties"][part]
            for form in resolved(schema, here)
            if part in form.get("properties", {})
        )
    return {name: value for name, value in here.items() if name not in {"default", "title"}}


def _describe(schema: Schema) -> None:
    """Write each field's meaning to it."""
    for path, meaning in meanings().items():
        parent, _, name = path.rpartition(".")
        holders = resolved(schema, _at(schema, parent) if parent else schema)
        for holder in holders:
            if name in holder.get("properties", {}):
                holder["properties"][name]["description"] = meaning


def _tidy(value: Any) -> Any:
    """Without titles, which only repeat the fields' names."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _tidy(inner)
        for key, inner in value.items()
        if not (key == "title" and isinstance(inner, str))
    }
