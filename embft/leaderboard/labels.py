"""What axes, values and configurations are called in tables and charts.

Covers titles, value texts and their order. Formats no scores and draws nothing.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from embft.leaderboard.rows import Group
from embft.metrics import registry
from embft.spec.names import value_name

_TITLES = {
    "train.lora": "LoRA",
    "train.lora.rank": "LoRA rank",
    "train.lora.alpha": "LoRA alpha",
    "train.lora.dropout": "LoRA dropout",
    "train.lora.target_modules": "LoRA target modules",
    "train.loss.name": "loss",
    "model.base": "base model",
}
# Axes whose values need no title before them.
_USERS = ("base", "data", "model")
_LOSSES = ("loss", "loss.name")
_SPEAKING = ("method", "dataset", *_LOSSES, "lora", *_USERS)


def axis_title(axis: str) -> str:
    """The words for a dotted path: `train.learning_rate` -> `learning rate`."""
    return _TITLES.get(axis, axis.rpartition(".")[2].replace("_", " "))


def axis_titles(axes: Sequence[str]) -> dict[str, str]:
    """A title for each axis; axes that would share one keep their whole path."""
    titles = {axis: axis_title(axis) for axis in axes}
    counts = list(titles.values())
    return {axis: t if counts.count(t) == 1 else axis for axis, t in titles.items()}


def value_text(value: Any) -> str:
    """A parameter's value as people write it: 2e-05 -> `2e-5`, None -> a dash."""
    return value_name(value)


def config_label(params: Mapping[str, Any], axes: Sequence[str]) -> str:
    """One configuration in words: `LoRA, rank 8, lr 2e-4`."""
    label, users = "", False
    for axis in axes:
        value = params.get(axis)
        if value is None:
            continue
        value = _rounded(value)
        named = isinstance(value, str) and axis.endswith(_SPEAKING)
        part = value_text(value) if named else f"{_short(axis_title(axis))} {value_text(value)}"
        if axis.endswith(_LOSSES):  # in words, which a narrow table can break
            part = part.replace("_", " ")
        users = users or (not label and named and axis.endswith(_USERS))
        label = f"{label}, {part}" if label else part
    # A file or a model that stands first is called as the user calls it.
    return label if users else sentence_case(label) or "The only configuration"


def ordered_values(values: Iterable[Any]) -> list[Any]:
    """The distinct values, numbers by size, others as they first come; None last."""
    found: dict[Any, Any] = {}
    for value in values:
        # Names of layers come as a list, which no dict takes as a key.
        hashable = isinstance(value, Hashable)
        found.setdefault(value if hashable else (list, json.dumps(value)), value)
    distinct = list(found.values())
    present = [value for value in distinct if value is not None]
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in present):
        present.sort()
    return present + [None] * (len(present) < len(distinct))


def is_log_axis(axis: str, values: Iterable[Any]) -> bool:
    """Whether a numeric axis is read on a logarithmic scale: rates, and wide positive ranges."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if not numbers or min(numbers) <= 0:
        return False
    return axis.endswith(("learning_rate", "weight_decay")) or max(numbers) / min(numbers) > 50


def metric_label(metric: str) -> str:
    """The metric's name in words; an unknown metric keeps its own."""
    return registry.metric(metric).label


def higher_is_better(metric: str) -> bool:
    """The direction of a metric, from its definition. An unknown metric counts upward."""
    return registry.metric(metric).higher_is_better


_RANKS = (
    "A rank such as 2\N{EN DASH}4 holds the ranks that a configuration may have, for all of them "
    "at once with 95 % confidence."
)
_WIDER = (
    " Ranks rest on the comparison of every pair, the set of those that may be the best on the "
    "comparison with the best alone, so that a range may reach 1 outside of that set."
)


def ranks_note(groups: Iterable[Group]) -> str:
    """What a rank in the table means, and where ranks and the best set seem to disagree, why."""
    wider = any(g.rank_low == 1 and g.in_best_set is False and not g.is_base for g in groups)
    return _RANKS + _WIDER * wider


def number(value: float, digits: int = 3) -> str:
    """A score with a real minus sign; no minus before a zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) != 0 else text.lstrip("-")


def _rounded(value: Any) -> Any:
    """A number to four digits, which is what one reads of those that a search has drawn."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def sentence_case(text: str) -> str:
    """The text as a sentence begins, its other letters as they are."""
    return text[:1].upper() + text[1:]


def _short(title: str) -> str:
    return "lr" if title == "learning rate" else title.removeprefix("LoRA ")


def percent(share: float) -> str:
    """A share of 1 in percent: whole from 10 % on, and never rounded to nothing."""
    if share >= 0.1:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def plural(unit: str) -> str:
    """`pairs`, `queries`: more than one of what was scored."""
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
