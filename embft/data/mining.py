"""What will be mined for train: among which texts, by which model, by which rule.

A recipe and its digest, which stand for the negatives until they are mined, so that a trial's key
is known before. Mines nothing: `synthesis/hard_negatives.py` does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from embft.data.column import parts
from embft.data.texts import normalise
from embft.spec.negatives import NegativesSpec

SCORES_AT_ONCE = 50_000_000
"""Of queries with texts, that a mining holds in memory."""
VERSION = 1
"""Raise it when a change of ours makes the same recipe give other negatives."""


@dataclass(frozen=True)
class Pool:
    """The texts that negatives are taken from. name: how messages call them."""

    texts: Sequence[str]
    name: str

    @property
    def digest(self) -> str:
        """SHA-256 over the texts in their order."""
        return self._read[0]

    @property
    def size(self) -> int:
        """How many bytes the texts are, about: as JSON."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        for (part,) in parts(self.texts):
            written = json.dumps(part).encode()
            digest.update(written)
            size += len(written)
        return digest.hexdigest(), size

    def different(self, most: int) -> int:
        """How many texts differ by more than case and punctuation, counted up to `most`."""
        found = set[str]()
        for (part,) in parts(self.texts):
            found.update(map(normalise, part))
            if len(found) >= most:
                return most
        return len(found)


@dataclass(frozen=True)
class Mining:
    """The recipe of train's negatives.

    model, judge: digests of the model that mines and of the cross-encoder, if there is one. seed:
    of what is drawn. source: where a worker finds both models and what it computes on; it decides
    nothing. described: the model in words.
    """

    rule: NegativesSpec
    pool: Pool
    model: str
    judge: str | None
    seed: int
    source: Mapping[str, Any] = field(compare=False)
    described: str = field(compare=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that decides the negatives, but for train itself."""
        rule = self.rule.model_dump(mode="json", exclude={"mine", "cross_encoder", "corpus"})
        decided = [VERSION, rule, self.pool.digest, self.model, self.judge, self.seed]
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()

    @property
    def encoded(self) -> str:
        """What decides the vectors: the same for all recipes of one model and pool."""
        return hashlib.sha256(f"{self.model}:{self.pool.digest}".encode()).hexdigest()

    def text(self, rows: int) -> str:
        """What will be mined, in a sentence. rows: of train."""
        rule, (first, last) = self.rule, self.rule.range
        margin = "" if rule.margin is None else f", at most {rule.margin:g} of the positive's score"
        judge = "" if rule.cross_encoder is None else f" by {rule.cross_encoder}"
        what = "hard negative" if rule.number == 1 else "hard negatives"
        return (
            f"{rule.number} {what} for each of the {rows:,} pairs of train, mined by "
            f"{self.described} among {self.pool.name}: {rule.sampling} of ranks {first} to {last}"
            f"{margin}{judge}"
        )
