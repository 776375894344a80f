"""The recommendation: the cheapest configuration that is shown to be as good as the best.

Not significantly different is not equal: with few pairs nothing differs significantly, and the
cheapest would be recommended however bad it is. So a configuration, a base model among them, is
recommended for being cheap only where its loss against the best is at most the tolerance, by an
upper bound that holds for all configurations at once. Where that is shown for none, the leader is
recommended, and the answer is unresolved. Dev decides; test has no part in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from embft.leaderboard.costs import Cost
from embft.leaderboard.rows import Incomplete, Needed, Row
from embft.metrics.best import Contest
from embft.metrics.power import Design, pairs_needed, seeds_needed
from embft.metrics.weighted import FloatArray
from embft.results.records import Status
from embft.spec import Objective

_MOST_RIVALS = 10  # of those that may be the best, the ones that are hardest to compare with


@dataclass(frozen=True)
class Candidates:
    """What is chosen from. costs, and for each the number of its base model: its own where it is
    one, None where none was compared. loss_high (K,): the most that each may lose.
    """

    contest: Contest
    costs: Sequence[Cost]
    bases: Sequence[int | None]
    loss_high: FloatArray


@dataclass(frozen=True)
class Choice:
    """one: the number of the recommended candidate. within: whether its loss is shown to be at most
    the tolerance. better: whether it is shown to be better than its base model; None where it is
    one, or has none.
    """

    one: int
    within: bool
    better: bool | None


def choose(among: Candidates, objective: Objective) -> Choice:
    """Which of the candidates is recommended.

    A base model within the tolerance is always the cheapest, as it needs no training; but where
    the cost is that of serving.
    """
    contest, leader = among.contest, among.contest.leader
    within = [i for i in range(len(among.costs)) if among.loss_high[i] <= objective.tolerance]
    bases = [i for i in within if among.bases[i] == i and objective.prefer != "serving"]
    if objective.prefer == "none" and not bases:
        within = [i for i in within if i == leader]
    order = sorted(bases or within, key=lambda i: (among.costs[i], -contest.field.scores[i]))
    one = next(iter(order), leader)
    base = among.bases[one]
    better = None if base is None or base == one else bool(contest.better_than(base)[one])
    return Choice(one, bool(order), better)


def needed(
    contest: Contest, one: int, rivals: Iterable[int], margin: float, pairs: int
) -> Needed | None:
    """What would show that `one` is behind none of the rivals by more than the margin.

    With a probability of 80 %, if the true differences are those seen. pairs: how many dev pairs,
    or other units, there are. None without rivals.
    """
    error, lead = contest.error[one], -contest.ahead[one]
    others = [j for j in rivals if j != one and error[j] > 0]
    hardest = sorted(others, key=lambda j: (lead[j] + margin) / error[j])[:_MOST_RIVALS]
    if not hardest:
        return None
    designs = [_design(contest, one, j, pairs) for j in hardest]
    goals = [(float(lead[j] + margin), _level(contest, one, j)) for j in hardest]
    by_pairs, by_seeds = (
        [
            find(design, difference, level=level) if difference > 0 else None
            for design, (difference, level) in zip(designs, goals, strict=True)
        ]
        for find in (pairs_needed, seeds_needed)
    )
    return Needed(_largest(by_pairs), _largest(by_seeds))


def _design(contest: Contest, one: int, rival: int, pairs: int) -> Design:
    """How the two are compared now."""
    of_units = float(contest.units_variance[one, rival])
    seeds = int(np.isfinite(contest.field.seeds).sum(axis=1).max())
    of_seeds = (float(contest.error[one, rival]) ** 2 - of_units) * seeds
    several = contest.seeds is not None
    return Design(
        pairs=pairs,
        units=contest.field.freedom + 1,
        pairs_variance=of_units,
        seeds=seeds if several else 1,
        seeds_variance=of_seeds if several else None,
        configurations=len(contest.field.scores),
    )


def _level(contest: Contest, one: int, rival: int) -> float:
    """The two-sided level of a single comparison that has the contest's critical value."""
    freedom = float(contest.freedom[one, rival])
    return 2 * float(special.stdtr(freedom, -contest.critical[rival]))


def _largest(numbers: Sequence[int | None]) -> int | None:
    """The largest, None where one is None."""
    known = [number for number in numbers if number is not None]
    return max(known) if len(known) == len(numbers) else None


def incomplete(rows: Sequence[Row], metric: str) -> tuple[Incomplete, ...]:
    """The configurations without a score for each of their seeds, in the order of the rows."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if not row.is_baseline:
            found.setdefault(row.configuration, []).append(row)
    missing = {
        name: tuple((row.seed, row.status) for row in group if metric not in row.dev)
        for name, group in found.items()
    }
    return tuple(
        Incomplete(found[name][0].params, seeds) for name, seeds in missing.items() if seeds
    )


def weakens(found: Sequence[Incomplete]) -> bool:
    """Whether a configuration failed, misses a seed or is unfinished. Pruned ones were judged."""
    return any(status is not Status.PRUNED for each in found for _, status in each.missing)
