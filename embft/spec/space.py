"""The search space: axes under dotted paths -> points.

As in scikit-learn, a mapping is a product and a list of mappings is their union. Knows the names of
the fields (to refuse axes that no field has) and which take numbers, not their bounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from embft.errors import SpecError, nearest
from embft.spec.base import Fields
from embft.spec.data import DataSpec
from embft.spec.distributions import Domain, Product, read_domain
from embft.spec.elsewhere import written_elsewhere
from embft.spec.model import ModelSpec
from embft.spec.source import Source, Where
from embft.spec.train import TrainSpec

Point = Mapping[str, Any]

MAX_POINTS = 100_000
_MAX_CORNERS = 256
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


def _annotation(axis: str) -> Any:
    """The type of the field at a dotted path."""
    name, *inner = axis.split(".")
    found: Any = SECTIONS[name]
    for part in inner:
        found = _section(found).model_fields[part].annotation  # type: ignore[union-attr]
    return found


def read_axes(source: Source) -> list[tuple[Where, Product]]:
    """The products of the space, each with where it stands. Refuses malformed axes."""
    space = source.data.get("space")
    if space is None:
        return [((), {})]
    products = space if isinstance(space, list) else [space]
    at = [("space", i) if isinstance(space, list) else ("space",) for i in range(len(products))]
    if not products:
        raise SpecError(f"{source.at(('space',))}: space is empty: remove it, or name axes in it")
    return [(where, _product(source, where, p)) for where, p in zip(at, products, strict=True)]


def _product(source: Source, where: Where, product: Any) -> Product:
    if not isinstance(product, dict) or not product:
        raise SpecError(
            f"{source.at(where)}: space must be a mapping of axes to lists of values or "
            f"distributions, or a list of such mappings, not {product!r}"
        )
    names = axis_names()
    found: dict[str, Domain] = {}
    for axis, given in product.items():
        here = source.at((*where, axis))
        if axis not in names:
            meant = written_elsewhere(axis, names) or nearest(axis, names)
            raise SpecError(f"{here}: no field is called {axis!r}: {meant}")
        try:
            found[axis] = read_domain(given, _annotation(axis))
        except ValueError as error:
            raise SpecError(f"{here}: {axis} {error}") from None
    return found


def listed(source: Source, axes: Sequence[tuple[Where, Product]]) -> list[dict[str, list[Any]]]:
    """The products of a grid. Raises SpecError for a distribution, which has no list of values."""
    for where, product in axes:
        for axis, domain in product.items():
            if domain.kind != "choice":
                raise SpecError(
                    f"{source.at((*where, axis))}: {axis} is a distribution ({domain.kind}), of "
                    "which a grid cannot take every value: give a list of values, or draw from it "
                    "with `search: {algorithm: tpe, trials: 40}` (or random)"
                )
    return [{axis: domain.ends for axis, domain in product.items()} for _, product in axes]


def corners(product: Product) -> list[dict[str, list[Any]]]:
    """Products of single values that together stand for all points of one: every choice and both
    ends of every distribution, with each other where those are few.
    """
    ends = {axis: domain.ends for axis, domain in product.items()}
    if count_points([ends]) <= _MAX_CORNERS:
        return [ends]
    first = {axis: values[:1] for axis, values in ends.items()}
    return [{**first, axis: values} for axis, values in ends.items()]


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
