"""What an axis of a search may be: a list of values, or a distribution to draw from.

The names and meanings are those of Ray Tune: the upper end of `randint` and `lograndint` is left
out, `quniform` gives multiples of its third number. Knows no Ray; `scheduler/searchers.py` draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from embft.spec.base import Fields

Kind = Literal["choice", "uniform", "loguniform", "quniform", "randint", "lograndint"]
KINDS: tuple[str, ...] = get_args(Kind)
_WHOLE = ("randint", "lograndint")
_EXAMPLES = {
    "choice": "[8, 16, 32]",
    "uniform": "[0.0, 0.3]",
    "loguniform": "[1e-5, 1e-3]",
    "quniform": "[16, 128, 16]",
    "randint": "[2, 65]",
    "lograndint": "[2, 65]",
}


class Domain(Fields):
    """The values of one axis. values: the choices; or lower and upper end, and quniform's step.

    whole: whether the field takes whole numbers only.
    """

    kind: Kind
    values: tuple[Any, ...]
    whole: bool = False

    @property
    def ends(self) -> list[Any]:
        """The values that stand for all where the axis is checked: choices, or the two ends."""
        if self.kind == "choice":
            return list(self.values)
        low, high = self.values[:2]
        return [self.cast(low), self.cast(high - 1 if self.kind in _WHOLE else high)]

    @property
    def constant(self) -> bool:
        """Whether there is nothing to choose."""
        return self.kind == "choice" and len(self.values) == 1

    @property
    def size(self) -> float:
        """How many values the axis can have."""
        if self.kind == "choice":
            return len(self.values)
        if self.kind == "quniform":
            low, high, step = self.values
            return float(round((high - low) / step) + 1)
        return float(self.values[1] - self.values[0]) if self.kind in _WHOLE else math.inf

    def cast(self, value: Any) -> Any:
        """A drawn number as the field takes it."""
        if self.kind == "choice":
            return value
        return round(value) if self.whole else float(value)

    def holds(self, value: Any) -> bool:
        """Whether the axis can have this value."""
        if self.kind == "choice":
            return value in self.values
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        low, high = self.values[:2]
        return bool(low <= value <= high) and not (self.kind in _WHOLE and value == high)

    def text(self) -> str:
        """As a spec has it, `loguniform [1e-05, 0.001]`."""
        shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in self.values)
        return f"[{shown}]" if self.kind == "choice" else f"{self.kind} [{shown}]"


Product = Mapping[str, Domain]
"""One product of a space: each axis under its dotted path."""


def space_size(space: Sequence[Product]) -> float:
    """How many points a union of products has at most: infinity where an axis is no choice and has
    no whole values.
    """
    return sum(math.prod(domain.size for domain in product.values()) for product in space)


def read_domain(given: Any, annotation: Any) -> Domain:
    """An axis as it is written in a spec. annotation: the type of its field.

    Raises ValueError, worded for the user, for what is no axis or does not fit the field.
    """
    if isinstance(given, list):
        if not given:
            raise ValueError("has no values: give at least one, or remove the axis")
        return Domain(kind="choice", values=tuple(given))
    if not isinstance(given, dict):
        raise ValueError(f"must be a list of values: write [{given}]")
    if len(given) != 1 or next(iter(given)) not in KINDS:
        raise ValueError(
            f"is {given!r:.80}: write a list of values, or one distribution of "
            f"{', '.join(KINDS)}, such as {{loguniform: [1e-5, 1e-3]}}"
        )
    kind, values = next(iter(given.items()))
    if kind == "choice":
        return read_domain(values, annotation)
    _check_numbers(kind, values)
    return _of_numbers(kind, values, annotation)


def _check_numbers(kind: Any, values: Any) -> None:
    count, example = (3 if kind == "quniform" else 2), f"{{{kind}: {_EXAMPLES[kind]}}}"
    numbers = isinstance(values, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
    if not numbers or len(values) != count:
        what = "lower end, upper end and step" if count == 3 else "lower and upper end"
        raise ValueError(f"is {{{kind}: {values!r:.60}}}: give {what} as numbers: {example}")
    low, high = values[:2]
    if not low < high:
        raise ValueError(f"has a lower end {low:g} that is not below its upper end {high:g}")
    if kind.startswith("log") and low <= 0:
        raise ValueError(f"has a lower end {low:g}, and a logarithm needs one above 0")
    if kind in _WHOLE and not all(isinstance(v, int) for v in values):
        raise ValueError(f"is {{{kind}: {values}}}: its ends are whole numbers: {example}")
    if count == 3:
        _check_step(low, high, values[2])


def _check_step(low: float, high: float, step: float) -> None:
    if step <= 0 or any(abs(end / step - round(end / step)) > 1e-9 for end in (low, high)):
        raise ValueError(f"has a step {step:g}, of which {low:g} and {high:g} must be multiples")


def _of_numbers(kind: Any, values: list[Any], annotation: Any) -> Domain:
    takes = {annotation, *get_args(annotation)}
    takes |= {part for each in takes for part in get_args(each)}
    if not takes & {int, float}:
        raise ValueError(f"takes no number, so that it has no {kind}: give a list of values")
    whole = float not in takes
    if whole and not (kind in _WHOLE or all(isinstance(v, int) for v in values)):
        raise ValueError(f"takes whole numbers: {kind} with such ends would give others")
    if whole and kind in {"uniform", "loguniform"}:
        other = {"uniform": "randint", "loguniform": "lograndint"}[kind]
        raise ValueError(f"takes whole numbers: use {other} in place of {kind}")
    return Domain(kind=kind, values=tuple(values), whole=whole)
