"""How a search went: the trials in the order in which they were proposed, and the best so far."""

from __future__ import annotations

from dataclasses import dataclass

from embft.errors import RecordError
from embft.leaderboard.labels import config_label
from embft.leaderboard.rows import Leaderboard, Row
from embft.results.records import Status
from embft.results.search_log import Suggested, read_next, read_search


@dataclass(frozen=True)
class Proposed:
    """One trial of a search. number: of those proposed, from 1.

    score: the objective on dev, of one that was stopped early its last; None where it has none.
    best: the best of those that have completed so far.
    """

    number: int
    trial: str
    label: str
    status: Status
    score: float | None
    best: float | None


def search_history(leaderboard: Leaderboard) -> list[Proposed]:
    """The trials of a search, each once; empty for a grid, and for several sweeps together."""
    sign, best = (1 if leaderboard.mode == "max" else -1), None
    found: list[Proposed] = []
    for row in suggested_rows(leaderboard):
        score = row_score(row, leaderboard.metric)
        if score is not None and row.completed and (best is None or sign * score > sign * best):
            best = score
        label = config_label(row.params, leaderboard.axes)
        found.append(Proposed(len(found) + 1, row.trial, label, row.status, score, best))
    return found


def next_points(leaderboard: Leaderboard) -> list[str]:
    """What the searcher would have tried next, in words; empty where nothing is known of it."""
    return [config_label(point, leaderboard.axes) for point in read_next(leaderboard.folder)]


def suggested_rows(leaderboard: Leaderboard) -> list[Row]:
    """The trials that a search has proposed, each once, in that order."""
    try:
        events = read_search(leaderboard.folder)
    except RecordError:  # the leaderboard itself says so
        return []
    rows = {row.folder.name: row for row in leaderboard.rows}
    names = dict.fromkeys(e.folder for e in events if isinstance(e, Suggested) and e.folder)
    return [rows[name] for name in names if name in rows]


def row_score(row: Row, metric: str) -> float | None:
    """A trial's score on dev; of one that was stopped early its last, None where it has none."""
    if row.completed:
        return row.dev.get(metric)
    curve = [epoch.dev[metric] for epoch in row.epochs if metric in epoch.dev]
    return curve[-1] if curve else None


def history_finding(history: list[Proposed]) -> str:
    """What the history shows, as the title of its chart."""
    best = history[-1].best
    pruned = sum(each.status == Status.PRUNED for each in history)
    first = next((each.number for each in history if each.best == best and best is not None), None)
    stopped = f", {pruned} of them stopped early" if pruned else ""
    if first is None:
        return f"{len(history)} trials were proposed{stopped}; none has completed"
    return f"The best of {len(history)} trials was the {_ordinal(first)} proposed{stopped}"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in {11, 12, 13} else ending}"
