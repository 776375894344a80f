"""Configurations ranked and compared, and one of them recommended.

Ranks, the set of the best and the recommendation come from dev; scores, intervals and differences
that are reported come from test, on which nothing is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from embft.leaderboard.comparisons import Compared, Member, Members, compared, members
from embft.leaderboard.costs import cost
from embft.leaderboard.decision import Candidates, Choice, choose, incomplete, needed, weakens
from embft.leaderboard.rows import Decision, Group, Row
from embft.leaderboard.unseen import Unseen, unseen
from embft.metrics.best import Contest
from embft.metrics.borda import BordaContest
from embft.metrics.comparison import Comparison
from embft.metrics.power import detectable_difference
from embft.spec import Objective


@dataclass(frozen=True)
class Ranking:
    """Configurations by rank, the base models beside them, and how sure the recommendation is."""

    groups: tuple[Group, ...]
    bases: tuple[Group, ...]
    decision: Decision | None


def rank(rows: Sequence[Row], objective: Objective, looks: int = 1) -> Ranking:
    """The completed configurations by their mean dev objective, the best first.

    looks: how often they are compared at most, with more seeds each time.
    """
    everyone = members(rows, objective, looks)
    if not everyone.entered:
        return Ranking((), (), None)
    missing, groups = incomplete(rows, everyone.goal.metric), _groups(everyone)
    dev = compared(everyone, "dev", everyone.first, range(len(everyone.entered)))
    if dev is None:
        chosen, decision = everyone.first, Decision(objective)
    else:
        beyond = unseen(everyone, dev)
        candidates = _candidates(everyone, dev, beyond, objective)
        choice = choose(candidates, objective)
        chosen = dev.places[choice.one]
        _place(groups, everyone, dev, candidates, beyond)
        _test(groups, everyone, chosen)
        best_set = sum(bool(group.in_best_set) for group in groups)
        decision = _decision(candidates, choice, dev, best_set, objective)
    resolved = decision.resolved and not weakens(missing)
    decision = replace(decision, resolved=resolved, incomplete=missing)
    groups[chosen] = replace(groups[chosen], recommended=True)
    count = len(everyone.bases)
    return Ranking(tuple(groups[count:]), tuple(groups[:count]), decision)


def _groups(everyone: Members) -> list[Group]:
    """Base models, then configurations by rank, with what is known of each alone."""
    metric, sign = everyone.goal.metric, 1.0 if everyone.higher else -1.0
    scores = [sign * member.dev_score for member in everyone.trained]
    places = [1 + sum(s > sign * base.dev_score for s in scores) for base in everyone.bases]
    places += range(1, len(scores) + 1)
    return [
        Group(
            params=member.rows[0].params,
            rows=member.rows,
            rank=place,
            rank_low=place,
            rank_high=place,
            dev_score=member.dev_score,
            score=fmean(row.test.get(metric, math.nan) for row in member.rows),
            interval=_interval(member, metric),
            is_base=member.is_base,
        )
        for member, place in zip((*everyone.bases, *everyone.trained), places, strict=True)
    ]


def _interval(member: Member, metric: str) -> tuple[float, float] | None:
    """On test, over seeds; a single seed has its own."""
    only = member.rows[0].test_intervals.get(metric) if len(member.rows) == 1 else None
    return member.interval or only


def _candidates(
    everyone: Members, dev: Compared, beyond: Unseen, objective: Objective
) -> Candidates:
    return Candidates(
        dev.contest,
        [cost(everyone.entered[i].rows, objective) for i in dev.places],
        [None if (b := everyone.base_of(i)) is None else dev.at(b) for i in dev.places],
        np.maximum(dev.contest.loss_high, beyond.threat),
    )


def _place(
    groups: list[Group], everyone: Members, dev: Compared, candidates: Candidates, beyond: Unseen
) -> None:
    """Fill in what dev says: ranks, the set of the best, and losses."""
    contest = dev.contest
    trained = np.array([i >= len(everyone.bases) for i in dev.places])
    low, high = contest.ranks(trained)
    # Configurations that were not compared may stand anywhere below those that were.
    high += len(everyone.trained) - int(trained.sum())
    to_base = {b: contest.against(b) for b in set(candidates.bases) if b is not None}
    for i, place in enumerate(dev.places):
        base = candidates.bases[i]
        groups[place] = replace(
            groups[place],
            rank_low=min(int(low[i]), groups[place].rank),
            rank_high=max(int(high[i]), groups[place].rank),
            in_best_set=bool(contest.in_best_set[i]),
            loss_high=float(candidates.loss_high[i]),
            to_best=dev.turned(_to_best(contest, i)),
            to_base_on_dev=None if base in (None, i) else dev.turned(to_base[base][i]),
        )
    for i, place in enumerate(range(len(everyone.entered), len(groups))):
        loss = float(beyond.loss_high[i])
        groups[place] = replace(
            groups[place],
            rank_high=len(everyone.trained),
            in_best_set=bool(beyond.in_best_set[i]),
            loss_high=loss if math.isfinite(loss) else None,
        )


def _to_best(contest: Contest, one: int) -> Comparison:
    """One's score less the best of the others', with Hsu's intervals and p-values."""
    ahead = np.delete(contest.ahead[one], one)
    low, high = contest.difference_to_best[one]
    return Comparison(
        difference=-float(ahead.max(initial=-math.inf)) if len(ahead) else 0.0,
        low=float(low),
        high=float(high),
        p_value=float(contest.p_best_raw[one]),
        p_adjusted=float(contest.p_best[one]),
    )


def _test(groups: list[Group], everyone: Members, chosen: int) -> None:
    """Fill in the differences on test: to the recommended configuration, and to the base model.

    Those of the set of the best are one family, and the recommended one is compared with each;
    those that dev has excluded are another, with all that are compared.
    """
    entered = range(len(everyone.entered))
    in_set = [i for i in entered if groups[i].in_best_set or i == chosen]
    for among in (entered, in_set):
        test = compared(everyone, "test", chosen, among)
        own = test.at(chosen) if test else None
        if test is None or own is None:
            return
        differences = test.contest.against(own)
        for i, place in enumerate(test.places):
            if place != chosen:
                groups[place] = replace(
                    groups[place],
                    to_recommended=test.turned(differences[i]),
                    detectable=_detectable(test.contest, i, own),
                )
            if isinstance(test.contest, BordaContest):
                low, high = map(float, test.contest.bounds[i])
                groups[place] = replace(groups[place], interval=(low, high))
    _to_bases(groups, everyone)


def _detectable(contest: Contest, one: int, other: int) -> float | None:
    """The smallest difference of the two that is found; None where no standard error is known."""
    error, freedom = float(contest.error[one, other]), float(contest.freedom[one, other])
    return detectable_difference(error, freedom) if math.isfinite(error) else None


def _to_bases(groups: list[Group], everyone: Members) -> None:
    """Fill in each one's difference to its base model on test, a comparison by itself."""
    bases = {i: everyone.base_of(i) for i in range(len(everyone.entered))}
    for base in {b for i, b in bases.items() if b is not None and b != i}:
        own = [i for i, other in bases.items() if other == base]
        test = compared(everyone, "test", base, own)
        number = test.at(base) if test else None
        if test is None or number is None:
            continue
        found = test.contest.each_against(number)
        for place, comparison in zip(test.places, found, strict=True):
            if place != base:
                groups[place] = replace(groups[place], to_base=test.turned(comparison))


def _decision(
    candidates: Candidates, choice: Choice, dev: Compared, best_set: int, objective: Objective
) -> Decision:
    """How sure the choice is, and what would make it surer. best_set: how many may be the best."""
    contest, one, count = candidates.contest, choice.one, dev.count
    base = candidates.bases[one]
    rivals = np.flatnonzero(contest.in_best_set).tolist()
    show_best = None if choice.within else needed(contest, one, rivals, objective.tolerance, count)
    show_base = None
    if choice.better is False and base is not None:
        show_base = needed(contest, one, [base], 0.0, count)
    return Decision(
        objective=objective,
        resolved=choice.within and choice.better is not False,
        scope=contest.scope,
        compared=len(dev.places),
        best_set=best_set,
        loss_high=float(candidates.loss_high[one]),
        better_than_base=choice.better,
        unit=dev.unit,
        units=count,
        needed=show_best,
        needed_for_base=show_base,
        seed_spread=math.sqrt(contest.seeds.pooled) if contest.seeds else None,
    )
