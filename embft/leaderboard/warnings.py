"""What a reader must know before deciding, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from embft.leaderboard.contests import FIRST_COMPARED, MOST_COMPARED
from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.significance import direction, is_ahead, is_significant
from embft.leaderboard.verdict import group_name, with_interval
from embft.leaderboard.worlds import mixed_worlds, smaller_batches
from embft.results.records import Status


def warnings(board: Leaderboard) -> Iterator[str]:
    """Every warning of a board, the gravest first."""
    if board.test_is_dev:
        yield (
            "There is no test split: the numbers are optimistic, because epoch, threshold, "
            "calibration and winner were chosen on the very pairs that are reported"
            f"{_selection_bias(board)}. Give data.test pairs that nothing was chosen on."
        )
    if board.dev_is_cut:
        yield "No dev split was given: a part of train was set aside for choosing."
    if failed := board.count(Status.FAILED):
        yield f"{failed} of {_trained(board)} trials failed; their reasons are below."
    if unfinished := board.count(Status.PENDING) + board.count(Status.RUNNING):
        yield f"{unfinished} of {_trained(board)} trials have not finished: this is an early look."
    yield from _without_leaks(board)
    yield from _test_disagrees(board)
    yield from _uncertain_interval(board)
    yield from mixed_worlds(board)
    yield from smaller_batches(board)
    yield from _uncompared(board)
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


def _selection_bias(board: Leaderboard) -> str:
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


def _test_disagrees(board: Leaderboard) -> Iterator[str]:
    """Say so where test puts another that may be the best ahead of what was chosen on dev."""
    among = [g for g in (*board.bases, *board.groups) if g.in_best_set and g.to_recommended]
    ahead = [
        group
        for group in among
        if (found := group.to_recommended) and is_significant(found) and is_ahead(found, board.mode)
    ]
    if not ahead:
        return
    best = max(ahead, key=lambda group: direction(board.mode) * group.score)
    found = best.to_recommended
    assert found is not None  # noqa: S101 - for mypy
    more = f"; so are {len(ahead) - 1} more" if len(ahead) > 1 else ""
    corrected = f", corrected for {len(among)} comparisons" if len(among) > 1 else ""
    yield (
        f"On test, {group_name(board, best)} is significantly better than the recommended "
        f"configuration: the difference is "
        f"{with_interval(found.difference, (found.low, found.high))}{corrected}{more}. The choice "
        "stays with dev: a test split that chooses no longer tests. A larger dev split chooses "
        "better."
    )


def _uncertain_interval(board: Leaderboard) -> Iterator[str]:
    """What must be known of the recommended configuration's interval, or why it has none."""
    chosen = board.recommended
    done = chosen.best.completed if chosen else None
    note = done.interval_notes.get(board.metric) if done else None
    if note:
        yield f"{metric_label(board.metric)} of the recommended configuration on test: {note}."


def _uncompared(board: Leaderboard) -> Iterator[str]:
    """Say which comparisons were not made one by one."""
    if len(board.groups) > MOST_COMPARED:
        yield (
            f"Of {len(board.groups):,} configurations the first {FIRST_COMPARED} on dev were "
            "compared pair by pair. Of the others it was only asked whether they may be the best, "
            "from their scores and intervals, on the safe side."
        )


def _trained(board: Leaderboard) -> int:
    return sum(not row.is_baseline for row in board.rows)
