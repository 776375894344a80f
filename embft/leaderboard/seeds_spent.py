"""How a sweep's seeds were spent, in sentences, where some configurations got more than others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from embft.errors import RecordError
from embft.leaderboard.rows import Leaderboard
from embft.results.seed_rounds import Why, read_rounds
from embft.spec.seeds import SeedsSpec

_ENDED: dict[Why, str] = {
    "resolved": "No further seeds are needed: the recommendation is resolved.",
    "no more seeds": "Those that may still be the best have all the seeds of `seeds.most`.",
    "nothing trained": "No trained configuration may be the best, so that none got more.",
}


def seeds_spent(leaderboard: Leaderboard) -> Iterator[str]:
    """How many configurations have how many seeds, what that saved, and why it ended."""
    given = leaderboard.more_seeds
    counts = seeds_of_each(leaderboard)
    if given is None or not counts:
        return
    total, most = sum(counts.values()), len(counts) * given.most
    yield f"{_counted(counts)}: {total} trainings, where {given.most} seeds for all take {most}."
    ended = _ended(leaderboard)
    if ended is not None:
        yield _ENDED[ended]
    if given.looks > 1:
        yield _looks(given)


def seeds_of_each(leaderboard: Leaderboard) -> dict[str, int]:
    """How many seeds each trained configuration has, whatever became of them."""
    return Counter(row.configuration for row in leaderboard.rows if not row.is_baseline)


def _counted(counts: dict[str, int]) -> str:
    """`7 configurations have 1 seed, 2 have 2, 3 have 4`."""
    parts: list[str] = []
    for seeds, configurations in sorted(Counter(counts.values()).items()):
        of = "" if parts else " configuration" if configurations == 1 else " configurations"
        has = "has" if configurations == 1 else "have"
        noun = "" if parts else " seed" if seeds == 1 else " seeds"
        parts.append(f"{configurations}{of} {has} {seeds}{noun}")
    return ", ".join(parts)


def _looks(given: SeedsSpec) -> str:
    return (
        f"As seeds come in, the configurations are compared up to {given.looks} times; what is "
        "said at 95 % holds for all of these looks together (Bonferroni)."
    )


def _ended(leaderboard: Leaderboard) -> Why | None:
    try:
        found = read_rounds(leaderboard.folder)
    except RecordError:  # the sweep itself decides them anew
        return None
    return found.ended if found else None
