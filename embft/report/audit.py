"""The findings of the data audit as the page shows them: each with figures, examples, advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from embft.leaderboard.rows import Leaderboard

_MOST_FIGURES = 18
_MOST_EXAMPLES = 3
_MOST_WORDS = 8


@dataclass(frozen=True)
class Example:
    """A pair that the finding is about. where: split and row; near: the pair that it resembles."""

    where: str
    texts: tuple[str, ...]
    near: str
    near_texts: tuple[str, ...]


@dataclass(frozen=True)
class AuditLine:
    """One finding. figures: what was counted or measured, as (name, value)."""

    severity: str
    message: str
    effect: str
    advice: str
    figures: tuple[tuple[str, str], ...]
    examples: tuple[Example, ...]


def audit_lines(leaderboard: Leaderboard) -> list[AuditLine]:
    """Every finding in the audit's own order, the gravest first."""
    return [_line(item) for item in (leaderboard.audit or {}).get("findings", ())]


def _line(item: Mapping[str, Any]) -> AuditLine:
    pairs = [_example(e) for e in item.get("examples", ()) if "text_1" in e]
    return AuditLine(
        str(item.get("severity", "")),
        str(item.get("message", "")),
        str(item.get("effect", "")),
        str(item.get("advice", "")),
        audit_figures(item),
        tuple(pairs[:_MOST_EXAMPLES]),
    )


def audit_figures(item: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What was counted or measured for a finding: how many it concerns, words, details."""
    count, total, details = item.get("count", 0), item.get("total", 0), item.get("details", {})
    named = {
        title: ", ".join(str(e[key]) for e in item.get("examples", ()) if key in e)
        for title, key in (("words", "word"), ("such as", "what"))
    }
    found = [(title, words) for title, words in named.items() if words]
    measured = list(_figures(details))
    if total and not (count == total and measured):  # what was looked at is no share of itself
        found.insert(0, ("concerned", f"{count:,} of {total:,} ({count / total:.3g})"))
    return (*found, *measured)[:_MOST_FIGURES]


def _figures(details: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    """Nested details, one after another, each under its name within its group."""
    for key, value in details.items():
        name = f"{group} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _figures(value, name)
        elif isinstance(value, list):
            yield name, ", ".join(_text(each) for each in value[:_MOST_WORDS])
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _example(found: Mapping[str, Any]) -> Example:
    near = found.get("near", {})
    if not near and "train_row" in found:
        near = {"split": "train", "row": found["train_row"]}
    return Example(_place(found), _texts(found), _place(near), _texts(near))


def _place(pair: Mapping[str, Any]) -> str:
    if "id" in pair:
        return f"{pair.get('split', '')} {pair['id']}"
    if "row" not in pair:
        return str(pair.get("split", ""))
    label = f", label {_text(pair['label'])}" if isinstance(pair.get("label"), int | float) else ""
    at = f" ({PurePath(str(pair['at'])).name})" if "at" in pair else ""
    return f"{pair.get('split', '')} row {_text(pair['row'])}{at}{label}"


def _texts(pair: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(pair[name]) for name in ("text_1", "text_2") if name in pair)
