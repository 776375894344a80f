"""The answer in plain sentences, made from the leaderboard's numbers, and what to beware of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean

from embft.leaderboard.labels import config_label, metric_label, number, percent
from embft.leaderboard.ranking import MOST_COMPARED, SIGNIFICANCE
from embft.leaderboard.rows import Group, Interval, Leaderboard
from embft.leaderboard.worlds import mixed_worlds, smaller_batches
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.results.records import Status


def verdict(board: Leaderboard) -> Iterator[str]:
    """What to ship, how sure that is, and what it costs."""
    chosen = board.recommended
    if chosen is None:
        pending = board.count(Status.PENDING) + board.count(Status.RUNNING)
        yield "No trial has completed yet." if pending else "No trial completed."
        return
    yield (
        f"Recommended: {_name(board, chosen)}, test {metric_label(board.metric)} "
        f"{with_interval(chosen.score, chosen.interval)}."
    )
    yield from _against_baseline(board, chosen)
    yield from _against_others(board, chosen)
    yield _costs(chosen)


def _against_baseline(board: Leaderboard, chosen: Group) -> Iterator[str]:
    if board.baseline is None or board.metric not in board.baseline.test:
        return
    base = board.baseline.test[board.metric]
    interval = board.baseline.test_intervals.get(board.metric)
    change = chosen.score - base
    if not math.isfinite(change):
        return
    gain = change if board.mode == "max" else -change
    word = "better" if gain > 0 else "worse"
    overlap = chosen.interval and interval and _overlap(chosen.interval, interval)
    sure = "; the two intervals overlap" if overlap else ""
    yield (
        f"That is {abs(change):.3f} {word} than the untrained base model "
        f"({with_interval(base, interval)}){sure}."
    )


def _against_others(board: Leaderboard, chosen: Group) -> Iterator[str]:
    tied = [group for group in board.groups if group.tied]
    leader = board.groups[0]
    if len(board.groups) == 1:
        return
    if len(tied) == 1:
        second = board.groups[1]
        if board.metric not in PAIR_METRICS:
            yield f"On dev it leads; next is {_name(board, second)}, test {number(second.score)}."
            return
        yield (
            f"On dev it is really ahead of the runner-up, {_name(board, second)}; on test that one "
            f"has {with_interval(second.score, second.interval)}{_difference(second)}."
        )
        return
    them = f"{len(tied)} of {len(board.groups)} configurations cannot be told apart on dev"
    if chosen is leader:
        yield f"{them}; this one leads and is also the cheapest of them."
    else:
        yield (
            f"{them} from the leader, {_name(board, leader)} (test "
            f"{with_interval(leader.score, leader.interval)}); the recommended one is the cheapest "
            f"of them, by trainable parameters, then rows trained on{_difference(chosen)}."
        )


def _difference(group: Group) -> str:
    """A group's difference to the leader on test, with its interval and what it means."""
    if group.difference is None or group.difference_interval is None or group.p_value is None:
        return ""
    low, high = group.difference_interval
    if group.p_value < SIGNIFICANCE:
        sure = "surely different"
    elif low <= 0 <= high:
        sure = "not surely different"
    else:
        sure = "not surely different once corrected for the number of comparisons"
    return (
        f"; on test its difference to the leader is "
        f"{with_interval(group.difference, group.difference_interval)}, {sure}"
    )


def _costs(chosen: Group) -> str:
    result = chosen.best.completed
    if result is None:
        return ""
    share = percent(result.trainable_parameters / max(result.total_parameters, 1))
    memory = f", at most {result.peak_memory_mb / 1000:.1f} GB" if result.peak_memory_mb else ""
    return (
        f"It trains {result.trainable_parameters:,} parameters ({share} of the model), took "
        f"{result.timings.train:.0f} s to train{memory}, and is "
        f"{result.artifact_bytes / 1e6:.2g} MB on disk."
    )


def cautions(board: Leaderboard) -> Iterator[str]:
    """What a reader must beware of."""
    if board.test_is_dev:
        yield (
            "There is no test split: the numbers are optimistic, because epoch, threshold, "
            "calibration and winner were chosen on the very pairs that are reported"
            f"{_luck(board)}. Give data.test pairs that nothing was chosen on."
        )
    if board.dev_is_cut:
        yield "No dev split was given: a part of train was set aside for choosing."
    if failed := board.count(Status.FAILED):
        yield f"{failed} of {_trained(board)} trials failed; their reasons are below."
    if unfinished := board.count(Status.PENDING) + board.count(Status.RUNNING):
        yield f"{unfinished} of {_trained(board)} trials have not finished: this is an early look."
    yield from _without_leaks(board)
    yield from _test_disagrees(board)
    yield from mixed_worlds(board)
    yield from smaller_batches(board)
    yield from _untold(board)
    if len(board.groups) > MOST_COMPARED:
        yield (
            f"Of {len(board.groups):,} configurations only the first {MOST_COMPARED} on dev were "
            "compared with the leader; those below count as not tied."
        )
    if len(board.seeds) == 1 and board.groups:
        yield (
            "One seed only: the intervals cover the choice of evaluation pairs, not the luck of "
            "one training. With seeds: [42, 43, 44] they cover both."
        )
    if board.audit:
        for finding in board.audit.get("findings", ()):
            if finding["severity"] == "problem":
                yield finding["message"]


def _without_leaks(board: Leaderboard) -> Iterator[str]:
    """The recommended score on the test pairs that were in no other split, where some were."""
    chosen = board.recommended
    rows = chosen.rows if chosen else ()
    found = [done.test_without_leaks.get(board.metric) for row in rows if (done := row.completed)]
    known = [value for value in found if value is not None]
    if chosen and known:
        yield (
            "Some test pairs also stand in train or dev. On the others, the recommended "
            f"configuration has {metric_label(board.metric)} {number(fmean(known))}, against "
            f"{number(chosen.score)} on all: the column without leaks has every trial's."
        )


def _luck(board: Leaderboard) -> str:
    """By how much the leader's score is too good, and what the estimate leaves out."""
    found = board.optimism
    if found is None:
        return ""
    if found.optimism <= 0:
        return (
            f". By cross-fitting, choosing among {len(board.groups)} configurations did not "
            f"flatter the best one's {metric_label(board.metric)}; choosing the epoch may have"
        )
    return (
        f". By cross-fitting, choosing the best of {len(board.groups)} configurations flatters its "
        f"{metric_label(board.metric)} by about {number(found.optimism)} ({number(found.naive)}, "
        f"corrected {number(found.corrected)}); what choosing the epoch adds is not in this"
    )


def _untold(board: Leaderboard) -> Iterator[str]:
    """Say so where the objective is an evaluator's: single pairs tell nothing of it."""
    if len(board.groups) > 1 and board.metric not in PAIR_METRICS:
        yield (
            f"{metric_label(board.metric)} is an evaluator's metric, not one of single pairs: "
            "configurations are ranked by it, but no comparison tells whether they really differ. "
            "Look at its spread, and at several seeds."
        )


def _test_disagrees(board: Leaderboard) -> Iterator[str]:
    """Say so where test puts others surely ahead of what was chosen on dev."""
    sign = 1 if board.mode == "max" else -1
    ahead = [
        group
        for group in board.groups
        if group.difference is not None
        and group.p_value is not None
        and group.p_value < SIGNIFICANCE
        and sign * group.difference > 0
    ]
    if ahead:
        best = max(ahead, key=lambda group: sign * group.score)
        others = f" and {len(ahead) - 1} more are" if len(ahead) > 1 else " is"
        yield (
            f"On test, {_name(board, best)} ({number(best.score)}){others} surely ahead of "
            f"{_name(board, board.groups[0])} ({number(board.groups[0].score)}), the leader on "
            "dev. Choosing on test would make its scores optimistic; a larger dev split chooses "
            "better."
        )


def _trained(board: Leaderboard) -> int:
    return sum(not row.is_baseline for row in board.rows)


def _overlap(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def with_interval(score: float, interval: Interval | None) -> str:
    """`0.812 (0.790 to 0.831)`."""
    if not math.isfinite(score):
        return "undefined"
    between = f" ({number(interval[0])} to {number(interval[1])})" if interval else ""
    return number(score) + between


def _name(board: Leaderboard, group: Group) -> str:
    return config_label(group.params, board.axes)
