"""What a value of the search space is called where people read it: in one short line, no Python.

Covers values of every form that an axis may have: numbers, texts, paths, lists, mappings. Which of
several values a name must be distinguished from is for `distinct_names`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

LIMIT = 60
MISSING = "\N{EN DASH}"
_WORDS = {"lora": "LoRA"}
# Fields of a mapping whose value says by itself what it is.
_SPEAKING = ("name", "dataset", "train", "file", "base", "method")
_PATHS = ("base", "train", "dev", "test", "file", "data")
_LISTED = 3  # of a longer list the first two are named
# Line separators break Vega's expressions, in which sort orders end up, and bidi marks turn labels
# round.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def one_line(text: str) -> str:
    """A user's word as a chart may show it: one line, no control marks, at most 60 characters."""
    plain = " ".join(_UNFIT.sub(" ", text).split())
    return plain if len(plain) <= LIMIT else plain[: LIMIT - 1] + "…"


def value_name(value: Any, axis: str = "", depth: int = 1) -> str:
    """One value in words: 2e-05 -> `2e-5`, a mapping -> `cosent (temperature 0.05)`.

    axis: the field that has the value, which says whether it is a path. depth: how many of a path's
    last parts are shown.
    """
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, (list, tuple)):
        return _list(value, axis, depth)
    text = str(value)
    if axis.rpartition(".")[2] in _PATHS:
        text = "/".join(PurePath(text).parts[-depth:]) or text
    return _WORDS.get(text) or _cut(text)


def distinct_names(axis: str, values: Iterable[Any]) -> dict[str, str]:
    """The name of each value of an axis under its `identity`; all but numbers differ.

    Of paths so many of the last parts are shown as tell them apart, and a mapping's field that is
    set to nothing is named where only that does.
    """
    found = {identity(value): value for value in values}
    names, depth = dict[str, str](), 1
    for depth in range(1, 2 + max(map(_deepest, found.values()), default=0)):
        names = {key: value_name(value, axis, depth) for key, value in found.items()}
        if len(set(names.values())) == len(names):
            return names
    taken = Counter(names.values())
    for key in [key for key, name in names.items() if taken[name] > 1]:
        names[key] = value_name(_spelled_out(found[key]), axis, depth)
    taken = Counter(names.values())
    place: Counter[str] = Counter()
    for key, name in names.items():
        if taken[name] > 1 and not isinstance(found[key], (int, float)):
            place[name] += 1
            names[key] = f"{name} ({place[name]})"
    return names


def _spelled_out(value: Any) -> Any:
    """The value, in whose mappings None is a word, so that it is named."""
    if not isinstance(value, Mapping):
        return value
    return {name: "none" if v is None else _spelled_out(v) for name, v in value.items()}


def identity(value: Any) -> str:
    """A text that equal values share and others do not."""
    return json.dumps(value, sort_keys=True, default=str)


def folder_name(value: Any) -> str:
    """One value in the name of a folder: 0.0002, `query+value`, `cosent+temperature=0.05`."""
    if isinstance(value, Mapping):
        return "+".join(
            folder_name(inner) if name in _SPEAKING else f"{name}={folder_name(inner)}"
            for name, inner in value.items()
        )
    if isinstance(value, (list, tuple)):
        return "+".join(map(folder_name, value))
    return f"{value:g}" if isinstance(value, float) else str(value).rpartition("/")[2]


def _cut(text: str) -> str:
    """Both ends of a long value: templates and paths that differ do so at either."""
    plain = " ".join(_UNFIT.sub(" ", text).split())
    return plain if len(plain) <= LIMIT else f"{plain[: LIMIT - 25]}…{plain[-24:]}"


def _number(value: float) -> str:
    if value != 0 and not 1e-2 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.6g}"


def _list(values: Sequence[Any], axis: str, depth: int) -> str:
    names = [value_name(value, axis, depth) for value in values]
    text = ", ".join(names)
    if len(text) <= LIMIT or len(names) <= _LISTED:
        return text
    return f"{', '.join(names[: _LISTED - 1])} and {len(names) - _LISTED + 1} more"


def _mapping(content: Mapping[str, Any], depth: int) -> str:
    """Its speaking field first, the others with their names behind it."""
    given = {name: value for name, value in content.items() if value is not None}
    head = next((name for name in _SPEAKING if name in given), None)
    first = value_name(given.pop(head), head, depth) if head else ""
    others = ", ".join(
        f"{name.replace('_', ' ')} {_inner(value, name, depth)}" for name, value in given.items()
    )
    if not (first and others):
        return first or others or "defaults"
    return f"{first} ({others})"


def _inner(value: Any, name: str, depth: int) -> str:
    text = value_name(value, name, depth)
    return f"[{text}]" if isinstance(value, (list, tuple, Mapping)) else text


def _deepest(value: Any) -> int:
    """How many parts the longest path in a value has."""
    if isinstance(value, Mapping):
        return max(map(_deepest, value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return max(map(_deepest, value), default=0)
    return len(PurePath(value).parts) if isinstance(value, str) else 0
