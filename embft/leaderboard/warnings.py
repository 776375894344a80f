"""What a reader must know before deciding, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from embft.leaderboard.comparisons import FIRST_COMPARED, MOST_COMPARED
from embft.leaderboard.environments import mixed_environments, smaller_batches
from embft.leaderboard.epoch_choice import epoch_choice_warning
from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.significance import direction, is_ahead, is_significant
from embft.leaderboard.verdict import group_name, with_interval
from embft.results.records import Status


def warnings(leaderboard: Leaderboard) -> Iterator[str]:
    """Every warning of a leaderboard, the gravest first."""
    if leaderboard.test_is_dev:
        yield (
            "There is no test split: the numbers are optimistic, because epoch, threshold, "
            "calibration and winner were chosen on the very pairs that are reported"
            f"{_selection_bias(leaderboard)}. Give data.test pairs that nothing was chosen on."
        )
    if leaderboard.dev_is_cut:
        yield "No dev split was given: a part of train was set aside for choosing."
    if failed := leaderboard.count(Status.FAILED):
        yield f"{failed} of {_trained(leaderboard)} trials failed; their reasons are below."
    if unfinished := leaderboard.count(Status.PENDING) + leaderboard.count(Status.RUNNING):
        yield (
            f"{unfinished} of {_trained(leaderboard)} trials have not finished: "
            "this is an early look."
        )
    yield from _without_leaks(leaderboard)
    yield from _test_disagrees(leaderboard)
    yield from _uncertain_interval(leaderboard)
    yield from mixed_environments(leaderboard)
    yield from smaller_batches(leaderboard)
    yield from epoch_choice_warning(leaderboard)
    yield from _uncompared(leaderboard)
    if leaderboard.audit:
        for finding in leaderboard.audit.get("findings", ()):
            if finding["severity"] == "problem":
                yield finding["message"]


def _without_leaks(leaderboard: Leaderboard) -> Iterator[str]:
    """The recommended score on the test pairs that were in no other split, where some were."""
    chosen = leaderboard.recommended
    rows = chosen.rows if chosen else ()
    found = [
        done.test_without_leaks.get(leaderboard.metric) for row in rows if (done := row.completed)
    ]
    known = [value for value in found if value is not None]
    if chosen and known:
        yield (
            "Some test pairs also stand in train or dev. On the others, the recommended "
            f"configuration has {metric_label(leaderboard.metric)} {number(fmean(known))}, against "
            f"{number(chosen.score)} on all: the column without leaks has every trial's."
        )


def _selection_bias(leaderboard: Leaderboard) -> str:
    """By how much the leader's score is too good, and what the estimate leaves out."""
    found = leaderboard.optimism
    if found is None:
        return ""
    if found.optimism <= 0:
        return (
            f". By cross-fitting, choosing among {len(leaderboard.groups)} configurations did not "
            f"flatter the best one's {metric_label(leaderboard.metric)}; choosing the epoch may "
            "have"
        )
    return (
        f". By cross-fitting, choosing the best of {len(leaderboard.groups)} configurations "
        f"flatters its {metric_label(leaderboard.metric)} by about {number(found.optimism)} "
        f"({number(found.naive)}, corrected {number(found.corrected)}); what choosing the epoch "
        "adds is not in this"
    )


def _test_disagrees(leaderboard: Leaderboard) -> Iterator[str]:
    """Say so where test puts another that may be the best ahead of what was chosen on dev."""
    among = [
        g for g in (*leaderboard.bases, *leaderboard.groups) if g.in_best_set and g.to_recommended
    ]
    ahead = [
        group
        for group in among
        if (found := group.to_recommended)
        and is_significant(found)
        and is_ahead(found, leaderboard.mode)
    ]
    if not ahead:
        return
    best = max(ahead, key=lambda group: direction(leaderboard.mode) * group.score)
    found = best.to_recommended
    assert found is not None  # noqa: S101 - for mypy
    others = len(ahead) - 1
    more = f"; so {'is' if others == 1 else 'are'} {others} more" if others else ""
    corrected = f", corrected for {len(among)} comparisons" if len(among) > 1 else ""
    yield (
        f"On test, {group_name(leaderboard, best)} is significantly better than the recommended "
        f"configuration: the difference is "
        f"{with_interval(found.difference, (found.low, found.high))}{corrected}{more}. The choice "
        "stays with dev: a test split that chooses no longer tests. A larger dev split chooses "
        "better."
    )


def _uncertain_interval(leaderboard: Leaderboard) -> Iterator[str]:
    """What must be known of the recommended configuration's interval, or why it has none."""
    chosen = leaderboard.recommended
    done = chosen.best.completed if chosen else None
    note = done.interval_notes.get(leaderboard.metric) if done else None
    if note:
        label = metric_label(leaderboard.metric)
        yield f"{label} of the recommended configuration on test: {note}."


def _uncompared(leaderboard: Leaderboard) -> Iterator[str]:
    """Say which comparisons were not made one by one."""
    if len(leaderboard.groups) > MOST_COMPARED:
        yield (
            f"Of {len(leaderboard.groups):,} configurations the first {FIRST_COMPARED} on dev were "
            "compared pair by pair. Of the others it was only asked whether they may be the best, "
            "from their scores and intervals, on the safe side."
        )


def _trained(leaderboard: Leaderboard) -> int:
    return sum(not row.is_baseline for row in leaderboard.rows)
