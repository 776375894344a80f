"""Who gets more seeds: the configurations that may still be the best, until one is recommended as
resolved.

A configuration that few seeds have excluded gets no more, and comes back where more seeds of the
others show that seeds vary more than was thought. Nothing is said of configurations before some
have two seeds: a model that is better than another says nothing of their recipes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embft.leaderboard.rows import Leaderboard
from embft.results.seed_rounds import Why

# How much seeds vary, two configurations with two seeds hardly tell.
FEWEST_AT_FIRST = 4


@dataclass(frozen=True)
class Look:
    """What one look at the results says. contenders: the folders' names of the trials of each
    configuration that gets more seeds. why: why none does.
    """

    contenders: tuple[tuple[str, ...], ...]
    best_set: int
    why: Why | None = None


def look_at(leaderboard: Leaderboard) -> Look:
    """Who gets more seeds, by the results so far."""
    decision, trained = leaderboard.decision, [g for g in leaderboard.groups if not g.is_base]
    if decision is None or not trained:
        return Look((), 0, "nothing trained")
    known = decision.scope == "configurations"
    if known and decision.resolved:
        return Look((), decision.best_set, "resolved")
    may_be = [bool(group.in_best_set) or group.recommended for group in trained]
    chosen = [trained[i] for i in who(may_be, known=known)]
    names = {g.best.configuration: _trials(leaderboard, g.best.configuration) for g in chosen}
    why: Why | None = None if names else "nothing trained"
    return Look(tuple(names.values()), decision.best_set, why)


def who(may_be_best: Sequence[bool], *, known: bool) -> list[int]:
    """Which of the configurations, by rank, get more seeds. known: whether it is known how much
    seeds vary; until then there are some at least.
    """
    chosen = [i for i, may_be in enumerate(may_be_best) if may_be]
    others = [i for i, may_be in enumerate(may_be_best) if not may_be]
    return sorted(chosen if known else [*chosen, *others[: max(0, FEWEST_AT_FIRST - len(chosen))]])


def _trials(leaderboard: Leaderboard, configuration: str) -> tuple[str, ...]:
    """The folders of a configuration's trials, whatever became of them."""
    return tuple(row.folder.name for row in leaderboard.rows if row.configuration == configuration)
