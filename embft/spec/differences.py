"""Two specs field by field: plain data under dotted paths, and where they are not equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from embft.spec.trial import TrialSpec


def flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested mapping's values under their dotted paths."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def in_effect(spec: TrialSpec) -> dict[str, Any]:
    """The fields of a trial as they take effect: those without effect at their default."""
    return dict(flat(spec.normalised().model_dump(mode="json")))


def differing(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not equal in two mappings: name -> both values, None where there is none."""
    names = dict.fromkeys((*one, *two))
    return {
        name: (one.get(name), two.get(name)) for name in names if one.get(name) != two.get(name)
    }
