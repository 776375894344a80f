"""A search along each axis from which it draws: what trials came to, and where it has looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embft.leaderboard.labels import config_label, is_log_axis, value_text
from embft.leaderboard.rows import Leaderboard, Row
from embft.leaderboard.search_history import row_score, suggested_rows
from embft.results.records import Status
from embft.results.search_log import read_next

_BINS = 12
_MOST_KINDS = 4  # of trials on one axis, each in its own colour


@dataclass(frozen=True)
class Tried:
    """One trial on an axis. score: the objective on dev, of one stopped early its last. kind: its
    value on the axis that tells the space's products apart, if one does.
    """

    trial: str
    label: str
    value: float
    score: float
    status: Status
    kind: str = ""


@dataclass(frozen=True)
class Slice:
    """One axis. low, high: its ends. counts: how many suggestions lie in each of as many parts of
    equal width (on a log axis of equal ratio). next: the values that the searcher would try next.
    """

    axis: str
    log: bool
    low: float
    high: float
    tried: tuple[Tried, ...]
    counts: tuple[int, ...]
    next: tuple[float, ...]

    @property
    def kinds(self) -> list[str]:
        """What distinguishes the trials, each once; empty where nothing does."""
        return sorted({each.kind for each in self.tried} - {""})

    def edges(self) -> list[float]:
        """The ends of the parts, one more than there are."""
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        found = np.linspace(*ends, len(self.counts) + 1)
        return [float(v) for v in (np.exp(found) if self.log else found)]


def _kinds_axis(leaderboard: Leaderboard, rows: Sequence[Row]) -> str | None:
    """The first axis of few choices on which these trials differ: mostly the training's method."""
    for axis in leaderboard.axes:
        values = {repr(row.params.get(axis)) for row in rows}
        if axis not in leaderboard.continuous and 1 < len(values) <= _MOST_KINDS:
            return axis
    return None


def search_slices(leaderboard: Leaderboard) -> list[Slice]:
    """Each axis that is a distribution, in the spec's order; empty where nothing was searched."""
    rows = suggested_rows(leaderboard)
    found = (_slice(leaderboard, axis, rows) for axis in leaderboard.continuous)
    return [each for each in found if each is not None]


def _slice(leaderboard: Leaderboard, axis: str, rows: Sequence[Row]) -> Slice | None:
    valued = [
        (row, float(row.params[axis]))
        for row in rows
        if isinstance(row.params.get(axis), (int, float))
    ]
    values = [value for _, value in valued]
    ahead = [float(p[axis]) for p in read_next(leaderboard.folder) if axis in p]
    if len(set(values)) < 2:
        return None
    low, high = min([*values, *ahead]), max([*values, *ahead])
    log = axis in leaderboard.logarithmic or is_log_axis(axis, [*values, *ahead])
    places = [math.log(v) for v in values] if log else values
    ends = (math.log(low), math.log(high)) if log else (low, high)
    counts = np.histogram(places, bins=_BINS, range=ends)[0]
    by = _kinds_axis(leaderboard, [row for row, _ in valued])
    tried = tuple(
        Tried(
            row.trial,
            config_label(row.params, leaderboard.axes),
            value,
            score,
            row.status,
            value_text(row.params.get(by)) if by else "",
        )
        for row, value in valued
        if (score := row_score(row, leaderboard.metric)) is not None
    )
    return Slice(axis, log, low, high, tried, tuple(int(c) for c in counts), tuple(ahead))
