"""Where the recommended model's pooled token looks, and where its base's did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embft.leaderboard.rows import Leaderboard, Row

KIND_NAMES = {
    "content": "text",
    "template": "template",
    "bos": "BOS",
    "eos": "EOS",
    "self": "itself",
}


@dataclass(frozen=True)
class AttentionPoint:
    """One model's share of attention on one kind of token at one layer, from 1."""

    model: str
    kind: str
    layer: int
    share: float


@dataclass(frozen=True)
class TokenWeight:
    """What one token of the example text gets at the pooled layer; place counts from 0."""

    model: str
    place: int
    token: str
    kind: str
    weight: float


@dataclass(frozen=True)
class AttentionStep:
    """The share on one kind of token at the pooled layer, at one evaluation of a training."""

    step: int
    kind: str
    share: float
    chosen: bool


@dataclass(frozen=True)
class Attention:
    """Points of all models and the tokens of one text, which is the same for all.

    content: share on the text at the pooled layer, by model.
    """

    points: tuple[AttentionPoint, ...]
    tokens: tuple[TokenWeight, ...]
    content: Mapping[str, float]
    texts: int


def attention_of(leaderboard: Leaderboard) -> Attention | None:
    """The recommended trial's attention beside its baseline's; None where it was not measured."""
    shipped = leaderboard.shown
    if shipped is None:
        return None
    base = leaderboard.baseline_of(shipped.best)
    rows = {"base model": base, "recommended": shipped.best}
    if base is None or not shipped.best.completed or shipped.best.completed.spec.is_baseline:
        rows = {"recommended": shipped.best}
    read = {name: _read(row) for name, row in rows.items() if row is not None}
    found = {name: content for name, content in read.items() if content is not None}
    if not found:
        return None
    last = next(reversed(found.values()))
    return Attention(
        points=tuple(point for name, content in found.items() for point in _points(name, content)),
        tokens=tuple(token for name, content in found.items() for token in _tokens(name, content)),
        content={n: c["layers"][c["pooled_layer"] - 1]["content"] for n, c in found.items()},
        texts=int(last["texts"]),
    )


def attention_steps(leaderboard: Leaderboard) -> list[AttentionStep]:
    """The recommended trial's shares on dev at each of its evaluations, where they were kept."""
    best = leaderboard.shown.best if leaderboard.shown else None
    done = best.completed if best else None
    if best is None or done is None:
        return []
    kept = [(e, {k: e.dev.get(f"attention_{k}") for k in KIND_NAMES}) for e in best.epochs]
    shown = [k for k in KIND_NAMES if any(shares[k] for _, shares in kept)]
    return [
        AttentionStep(epoch.step, KIND_NAMES[k], share, done.best_epoch == epoch.epoch)
        for epoch, shares in kept
        for k in shown
        if (share := shares[k]) is not None
    ]


def attention_finding(found: Attention) -> str:
    """What training did to the share on the text, in a sentence."""
    shares = [f"{share:.0%}" for share in found.content.values()]
    if len(shares) == 2:
        return f"Training moved the share of attention on the text from {shares[0]} to {shares[1]}"
    return f"{shares[-1]} of the pooled token's attention is on the text"


def _points(name: str, content: Mapping[str, Any]) -> list[AttentionPoint]:
    return [
        AttentionPoint(name, KIND_NAMES[kind], layer, share)
        for layer, shares in enumerate(content["layers"], 1)
        for kind, share in shares.items()
        if any(other[kind] > 0 for other in content["layers"])
    ]


def _tokens(name: str, content: Mapping[str, Any]) -> list[TokenWeight]:
    example = content["example"]
    parts = (example.get(name, ()) for name in ("tokens", "kind", "weight"))
    together = zip(*parts, strict=True)
    return [
        TokenWeight(name, place, token, KIND_NAMES[kind], weight)
        for place, (token, kind, weight) in enumerate(together)
    ]


def _read(row: Row) -> dict[str, Any] | None:
    path = row.folder.attention_file
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found
