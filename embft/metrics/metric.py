"""What a metric is: its name, label, direction, bounds, formula and source, and who computes it.

Covers single metrics and families with a cut-off, such as `ndcg_at_10`. Holds none of them:
`registry.py` finds them all by name. Computes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Direction = Literal["max", "min"]
Form = Literal["score", "count", "p"]
Bounds = tuple[float | None, float | None]

CORRELATION: Bounds = (-1.0, 1.0)
SHARE: Bounds = (0.0, 1.0)
UNBOUNDED: Bounds = (None, None)

PAIRS = "pairs"
LEADERBOARD = "leaderboard"
USERS = "a user's function"

BORDA = "borda"
"""The name of the score over several tasks (`borda.py`)."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    direction: which values are better, `max` or `min`; None for a quantity that is reported and
    that nothing is ranked by. bounds: its lowest and highest possible value, None where there is
    none. source: who defined it, where. computed_by: `PAIRS`, the name of an evaluator,
    `LEADERBOARD` or `USERS`. objective: whether trials may be chosen by its value on dev.
    binary_only: whether it needs labels that are all 0 or 1. form: what a reader is shown: a score
    with digits, a count, or a p-value, which is never rounded to 0.
    """

    name: str
    label: str
    formula: str
    direction: Direction | None = "max"
    bounds: Bounds = UNBOUNDED
    source: str = ""
    computed_by: str = PAIRS
    objective: bool = False
    binary_only: bool = False
    form: Form = "score"

    @property
    def higher_is_better(self) -> bool:
        """Whether larger values are better. A quantity without a direction counts upward."""
        return self.direction != "min"


@dataclass(frozen=True)
class Family:
    """Metrics that differ in their cut-off alone: `<stem>_at_<k>` looks at the first k results.

    label and formula: those of its members, with `{k}` for the cut-off.
    """

    stem: str
    label: str
    formula: str
    source: str
    computed_by: str

    def at(self, k: int) -> Metric:
        """The member with this cut-off, at least 1."""
        return Metric(
            name=f"{self.stem}_at_{k}",
            label=self.label.format(k=k),
            formula=self.formula.format(k=k),
            bounds=SHARE,
            source=self.source,
            computed_by=self.computed_by,
            objective=True,
        )

    def member(self, name: str) -> Metric | None:
        """The member of this name, `ndcg_at_100` for instance, or None where it is none."""
        found = re.fullmatch(rf"{self.stem}_at_([1-9]\d*)", name)
        return self.at(int(found[1])) if found else None
