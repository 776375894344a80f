"""The answer in plain sentences, made from the leaderboard's numbers.

Every sentence keeps to the decision's scope: with one seed it speaks of these trained models. What
a reader must know besides is in `warnings.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from embft.leaderboard.costs import COSTS
from embft.leaderboard.front import front_sentence
from embft.leaderboard.labels import (
    config_label,
    metric_label,
    number,
    percent,
    plural,
    sentence_case,
)
from embft.leaderboard.rows import Decision, Group, Incomplete, Interval, Leaderboard, Needed
from embft.leaderboard.seeds_spent import seeds_spent
from embft.leaderboard.significance import SIGNIFICANCE, direction, is_ahead
from embft.metrics.comparison import Comparison
from embft.results.records import Status

_MOST_NAMED = 4


def verdict(leaderboard: Leaderboard) -> Iterator[str]:
    """What to use, how sure that is, and what it costs."""
    chosen, decision = leaderboard.recommended, leaderboard.decision
    if chosen is None or decision is None:
        pending = leaderboard.count(Status.PENDING) + leaderboard.count(Status.RUNNING)
        yield "No trial has completed yet." if pending else "No trial completed."
        return
    name = (
        f"keep {group_name(leaderboard, chosen)}"
        if chosen.is_base
        else group_name(leaderboard, chosen)
    )
    yield (
        f"Recommended{'' if decision.resolved else ', but unresolved'}: {name}, test "
        f"{metric_label(leaderboard.metric)} {with_interval(chosen.score, chosen.interval)}."
    )
    yield from _why(leaderboard, chosen, decision)
    yield from _better_than_base(chosen, decision)
    yield from _incomplete(leaderboard, decision)
    yield from _on_test(leaderboard, chosen)
    yield from _found_by_search(leaderboard)
    if (of_front := front_sentence(leaderboard)) is not None:
        yield of_front
    yield _scope(leaderboard, decision)
    yield from seeds_spent(leaderboard)
    if not chosen.is_base:
        yield _costs(chosen)


def _why(leaderboard: Leaderboard, chosen: Group, decision: Decision) -> Iterator[str]:
    """What dev says of the recommended one against the best."""
    if decision.loss_high is None:
        yield (
            "It leads on dev, but the values of single pairs or units, which a "
            "comparison needs, are not on disk: nothing is known of how sure that is."
        )
        return
    if decision.compared == 1:
        return
    tolerance = number(decision.objective.tolerance)
    among = f"the best of the {decision.compared} {_models(decision)} compared"
    lost = f"at most {number(decision.loss_high)} (95 % confidence, for all at once)"
    leads = _leader(leaderboard) is chosen
    if decision.loss_high > decision.objective.tolerance:
        yield (
            f"On dev it leads, but {decision.best_set} of the {decision.compared} "
            f"{_models(decision)} compared may be the best, and it may lose up to "
            f"{number(decision.loss_high)} against the best of them (95 % confidence); the "
            f"tolerance is {tolerance}.{_takes(decision, decision.needed)}"
        )
    elif leads and decision.best_set == 1:
        yield (
            f"On dev it is significantly better than each of the other {decision.compared - 1} "
            f"{_models(decision)} compared (95 % confidence, for all at once)."
        )
    elif leads:
        yield f"It leads on dev, and loses {lost} against {among}; the tolerance is {tolerance}."
    else:
        yield (
            f"On dev it loses {lost} against {among}, within the tolerance of {tolerance}, and is "
            f"the cheapest of which that is shown ({_cheapest(chosen, decision)})."
        )


def _cheapest(chosen: Group, decision: Decision) -> str:
    prefer = decision.objective.prefer
    return "it needs no training" if chosen.is_base and prefer != "serving" else COSTS[prefer]


def _better_than_base(chosen: Group, decision: Decision) -> Iterator[str]:
    """Say so where a trained model is not shown to be better than the base model."""
    seen = chosen.to_base_on_dev
    if decision.better_than_base is not False or seen is None:
        return
    yield (
        f"It is not shown to be better than the base model: on dev the difference is "
        f"{with_interval(seen.difference, (seen.low, seen.high))}."
        f"{_takes(decision, decision.needed_for_base)}"
    )


def _takes(decision: Decision, found: Needed | None) -> str:
    """How many pairs or seeds would probably decide, as a sentence."""
    if found is None:
        return ""
    ways = []
    if found.pairs is not None:
        what = plural(decision.unit)
        ways.append(f"about {rounded(found.pairs)} dev {what} (now {decision.units:,})")
    if found.seeds is not None:
        ways.append(f"{found.seeds:,} seeds")
    if not ways:
        return (
            f" If the differences are those seen, neither more dev {plural(decision.unit)} alone "
            "nor more seeds alone decide it; more of both may."
        )
    text = " or ".join(ways)
    return (
        f" {sentence_case(text)} would decide it with a probability of 80 %, if the true "
        "differences are those seen."
    )


def _incomplete(leaderboard: Leaderboard, decision: Decision) -> Iterator[str]:
    """Name the configurations that failed, miss seeds or have not finished."""
    open_still, stopped = (Status.PENDING, Status.RUNNING), (Status.PRUNED,)
    judged = sum(_all(each, stopped) for each in decision.incomplete)
    found = [
        each
        for each in decision.incomplete
        if not _all(each, open_still) and not _all(each, stopped)
    ]
    if found:
        named = "; ".join(_missing(leaderboard, each) for each in found[:_MOST_NAMED])
        more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        counted = "1 configuration has" if len(found) == 1 else f"{len(found)} configurations have"
        failed = any(status is Status.FAILED for each in found for _, status in each.missing)
        retry = ". `embft sweep --retry-failed` runs failed trials again" if failed else ""
        yield f"{counted} no score with every seed, and might be better: {named}{more}{retry}."
    if judged:
        were, they = ("was", "It has") if judged == 1 else ("were", "They have")
        what = "configuration" if judged == 1 else "configurations"
        yield (
            f"{judged} {what} {were} stopped early, behind others after as much training. {they} "
            "no final score and no rank."
        )
    if unfinished := len(decision.incomplete) - len(found) - judged:
        yield f"{unfinished} of the configurations have not finished, and might be better."


def _all(each: Incomplete, states: Sequence[Status]) -> bool:
    return all(status in states for _, status in each.missing)


def _missing(leaderboard: Leaderboard, each: Incomplete) -> str:
    label = config_label(each.params, leaderboard.axes)
    states = dict.fromkeys(str(status) for _, status in each.missing)
    parts = [
        f"{state}" + (f" with seed {_seeds(each, state)}" if len(leaderboard.seeds) > 1 else "")
        for state in states
    ]
    return f"{label} ({', '.join(parts)})"


def _seeds(each: Incomplete, state: str) -> str:
    return ", ".join(str(seed) for seed, status in each.missing if str(status) == state)


def _on_test(leaderboard: Leaderboard, chosen: Group) -> Iterator[str]:
    """The gain over the base model on test, and where others are ahead there."""
    if chosen.is_base:
        yield from _trained_on_test(leaderboard)
    if chosen.is_base or not math.isfinite(chosen.score):
        return
    gain = chosen.to_base
    if gain is not None:
        base = number(chosen.score - gain.difference)
        yield (
            f"On test its difference to the base model ({base}) is "
            f"{with_interval(gain.difference, (gain.low, gain.high))}: "
            f"{_meaning(leaderboard, gain)}."
        )
    elif leaderboard.baseline is not None and leaderboard.metric in leaderboard.baseline.test:
        base = number(leaderboard.baseline.test[leaderboard.metric])
        yield f"On test the base model has {base}."


def _found_by_search(leaderboard: Leaderboard) -> Iterator[str]:
    """How much of the leader's dev score is selection bias, where a search has proposed it."""
    if leaderboard.suggested is None or leaderboard.test_is_dev:
        return
    what = f"The search has proposed {leaderboard.suggested:,} configurations."
    bias = leaderboard.optimism
    if bias is None:
        yield (
            f"{what} By how much being the best of these flatters the leader's dev score is not "
            "known here; its test score is not affected."
        )
        return
    flattery = number(max(bias.optimism, 0.0))
    yield (
        f"{what} Being the best of these flatters the leader's dev score, {number(bias.naive)}, by "
        f"about {flattery} (cross-fitted over the dev pairs); its test score is not affected."
    )


def _trained_on_test(leaderboard: Leaderboard) -> Iterator[str]:
    """What the first of the trained ones has on test, where the base model is recommended."""
    first = next((group for group in leaderboard.groups if not group.is_base), None)
    if first is None or first.to_base is None:
        return
    gain = first.to_base
    yield (
        f"Of the trained ones {group_name(leaderboard, first)} leads on dev. On test it has "
        f"{number(first.score)}, and its difference to the base model is "
        f"{with_interval(gain.difference, (gain.low, gain.high))}: {_meaning(leaderboard, gain)}."
    )


def _meaning(leaderboard: Leaderboard, gain: Comparison) -> str:
    if gain.p_value >= SIGNIFICANCE:
        return "no significant difference"
    return "significantly better" if is_ahead(gain, leaderboard.mode) else "significantly worse"


def _scope(leaderboard: Leaderboard, decision: Decision) -> str:
    """What all this is said of."""
    if decision.scope == "configurations" and decision.seed_spread is None:
        return (
            "This is said of the configurations: every interval and comparison includes what "
            "scores vary by between seeds."
        )
    if decision.scope == "configurations":
        spread = number(decision.seed_spread or 0.0, 4)
        return (
            f"This is said of the configurations: between seeds a score has a standard deviation "
            f"of {spread}, which every interval and comparison includes."
        )
    if len(leaderboard.groups) == 0:
        return "This is said of the base model alone."
    more = "[42, 43, 44]" if leaderboard.suggested is None else "{start: 1, most: 5}"
    return (
        "This is said of these trained models: with one seed it is unknown how another training "
        f"would turn out. With two or more, such as `seeds: {more}`, it is said of the "
        "configurations."
    )


def _models(decision: Decision) -> str:
    """What is compared, in the plural."""
    return "models" if decision.scope == "trained models" else "configurations"


def _leader(leaderboard: Leaderboard) -> Group:
    """The configuration, base models among them, that leads on dev."""
    return max(
        (*leaderboard.bases, *leaderboard.groups),
        key=lambda g: direction(leaderboard.mode) * g.dev_score,
    )


def _costs(chosen: Group) -> str:
    result = chosen.best.completed
    if result is None:
        return ""
    share = percent(result.trainable_parameters / max(result.total_parameters, 1))
    memory = f" and at most {result.peak_memory_mb / 1000:.1f} GB" if result.peak_memory_mb else ""
    return (
        f"It trains {result.trainable_parameters:,} parameters ({share} of the model), took "
        f"{result.timings.train:.0f} s{memory} to train, and is "
        f"{result.artifact_bytes / 1e6:.2g} MB on disk."
    )


def rounded(count: int) -> str:
    """A number of pairs to two digits: what is estimated has no more."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return f"{round(count / step) * step:,}"


def with_interval(score: float, interval: Interval | None) -> str:
    """A score with its interval, as sentences give it: `0.812 (0.790 to 0.831)`."""
    if not math.isfinite(score):
        return "undefined"
    between = f" ({number(interval[0])} to {number(interval[1])})" if interval else ""
    return number(score) + between


def group_name(leaderboard: Leaderboard, group: Group) -> str:
    """A configuration in words; of several base models each says which it is."""
    label = config_label(group.params, leaderboard.axes)
    if not group.is_base:
        return label
    several = sum(each.is_base for each in (*leaderboard.bases, *leaderboard.groups)) > 1
    return f"the base model ({label})" if several else "the base model"
