"""The search space: axes under dotted paths -> points.

As in scikit-learn, a mapping is a product and a list of mappings is their union. Knows the names of
the fields (to refuse axes that no field has), not their bounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from embft.errors import SpecError, nearest
from embft.spec.base import Fields
from embft.spec.data import DataSpec
from embft.spec.model import ModelSpec
from embft.spec.source import Source, Where
from embft.spec.train import TrainSpec

Point = Mapping[str, Any]

MAX_POINTS = 100_000
SECTIONS: dict[str, type[Fields]] = {"data": DataSpec, "model": ModelSpec, "train": TrainSpec}
# Sections that may be written as one of their fields alone, as in `loss: cosent`, and which.
_SHORT = {"train.loss": "name", "data.dev": "file", "data.test": "file"}


def axis_names() -> list[str]:
    """Every field and every section that may vary, as a dotted path."""
    return [name for section, model in SECTIONS.items() for name in _paths(section, model)]


def _paths(path: str, model: type[BaseModel]) -> Iterator[str]:
    yield path
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        yield from _paths(f"{path}.{name}", inner) if inner else [f"{path}.{name}"]


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field's type is or may be, or None for a single value."""
    options = [annotation, *get_args(annotation)]
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def read_axes(source: Source) -> list[tuple[Where, dict[str, list[Any]]]]:
    """The products of the space, each with where it stands. Refuses malformed axes."""
    space = source.data.get("space")
    if space is None:
        return [((), {})]
    products = space if isinstance(space, list) else [space]
    at = [("space", i) if isinstance(space, list) else ("space",) for i in range(len(products))]
    if not products:
        raise SpecError(f"{source.at(('space',))}: space is empty: remove it, or name axes in it")
    return [(where, _product(source, where, p)) for where, p in zip(at, products, strict=True)]


def _product(source: Source, where: Where, product: Any) -> dict[str, list[Any]]:
    if not isinstance(product, dict) or not product:
        raise SpecError(
            f"{source.at(where)}: space must be a mapping of axes to lists of values, or a list of "
            f"such mappings, not {product!r}"
        )
    names = axis_names()
    for axis, values in product.items():
        here = source.at((*where, axis))
        if axis not in names:
            raise SpecError(f"{here}: no field is called {axis!r}: {nearest(axis, names)}")
        if not isinstance(values, list):
            raise SpecError(f"{here}: {axis} must be a list of values: write [{values}]")
        if not values:
            raise SpecError(f"{here}: {axis} has no values: give at least one, or remove the axis")
    return product


def count_points(axes: Sequence[Mapping[str, Sequence[Any]]]) -> int:
    """How many points a union of products has, before equal ones are joined."""
    total = 0
    for product in axes:
        size = 1
        for values in product.values():
            size *= len(values)
        total += size
    return total


def points(axes: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Point, dict[str, int]]]:
    """The points of one product, in the order written; beside each the position on every axis."""
    for choice in itertools.product(*(list(enumerate(values)) for values in axes.values())):
        yield (
            {axis: value for axis, (_, value) in zip(axes, choice, strict=True)},
            {axis: i for axis, (i, _) in zip(axes, choice, strict=True)},
        )


def with_point(sections: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """A copy of the plain sections with the point's values set under their dotted paths.

    A mapping is merged into what the section says; its shorter axes come before its longer ones.
    """
    merged: dict[str, Any] = {name: _copied(section) for name, section in sections.items()}
    for axis, value in sorted(point.items(), key=lambda item: item[0].count(".")):
        parts = axis.split(".")
        inner = merged
        for end in range(1, len(parts)):
            name = parts[end - 1]
            inner[name] = _in_full(".".join(parts[:end]), inner.get(name))
            inner = inner[name]
        inner[parts[-1]] = _merged(axis, inner.get(parts[-1]), value)
    return merged


def _merged(path: str, there: Any, value: Any) -> Any:
    """The value, with what stands there and the value does not name."""
    if isinstance(there, dict) and path in _SHORT and value is not None:
        value = _in_full(path, value)
    if not isinstance(value, dict):
        return value
    there = _in_full(path, there)
    return {
        **there,
        **{name: _merged(f"{path}.{name}", there.get(name), new) for name, new in value.items()},
    }


def _in_full(path: str, value: Any) -> dict[str, Any]:
    """A section as a mapping, however it is written; nothing of what is no section."""
    if isinstance(value, dict):
        return value
    return {_SHORT[path]: value} if path in _SHORT and value is not None else {}


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in value.items()} if isinstance(value, dict) else value
