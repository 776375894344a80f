"""Configurations ranked, compared and tied.

Ranks, ties and the recommendation come from dev; scores, intervals and differences that are
reported come from test, on which nothing is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from embft.leaderboard.pair_scores import pairs_digest, read_scores, read_texts, train_rows
from embft.leaderboard.rows import Group, Interval, Row
from embft.metrics.bootstrap import BootstrapResult, hierarchical
from embft.metrics.comparison import Comparison, compare, holm
from embft.metrics.resampling import Resampling, Units, independent_pairs, sampling_units

SIGNIFICANCE = 0.05
# With more configurations only the leader is compared: all pairs of 1,000 would take a minute.
_ALL_PAIRS = 40
# And with thousands only the first are compared with it, on fewer resamples (a variance from 200
# is off by a tenth), so that a table of 10,000 stands in seconds.
MOST_COMPARED = 100
_FEW_RESAMPLES = 200

Tested = dict[tuple[int, int], tuple[Comparison, float]]


@dataclass(frozen=True)
class _Drawn:
    """Resamples of a configuration's scores, and the digest of the pairs that were scored."""

    pairs: str
    scores: BootstrapResult


@dataclass(frozen=True)
class _Member:
    """A configuration's trials, best seed on dev first, and resamples of their scores."""

    rows: tuple[Row, ...]
    dev: _Drawn | None
    test: _Drawn | None


def rank_groups(rows: Sequence[Row], metric: str, *, higher: bool) -> list[Group]:
    """Completed configurations by their mean dev objective, the best first."""
    groups = list(_configurations(rows, metric, higher))
    resampling = Resampling(only=(metric,))
    if len(groups) > _ALL_PAIRS:
        resampling = replace(resampling, resamples=_FEW_RESAMPLES)
    draw = _Draw(resampling)
    members = [
        _Member(group, draw.of(group, "dev"), draw.of(group, "test"))
        for group in groups[:MOST_COMPARED]
    ]
    members += [_Member(group, None, None) for group in groups[MOST_COMPARED:]]
    places = _Places(members, metric)
    on_test = _compared(members, "test", metric)
    return [
        _group(member, metric, places, place, on_test.get((0, place)))
        for place, member in enumerate(members)
    ]


def _configurations(rows: Sequence[Row], metric: str, higher: bool) -> Iterator[tuple[Row, ...]]:
    """The completed rows of each configuration, best seed first, best configuration first."""
    sign = -1.0 if higher else 1.0
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.completed and not row.is_baseline and metric in row.dev:
            found.setdefault(repr(row.params), []).append(row)
    groups = [sorted(group, key=lambda row: sign * row.dev[metric]) for group in found.values()]
    groups.sort(key=lambda group: sign * _mean_dev(group, metric))
    yield from map(tuple, groups)


def _mean_dev(rows: Sequence[Row], metric: str) -> float:
    return fmean(row.dev[metric] for row in rows)


class _Places:
    """What dev says of the places 0, 1, ...: who is surely better than whom, who is tied."""

    def __init__(self, members: Sequence[_Member], metric: str) -> None:
        compared = _compared(members, "dev", metric)
        self.count, self.compared = len(members), bool(compared)
        self.surely = {pair for pair, (_, p_value) in compared.items() if p_value < SIGNIFICANCE}
        self.tied = [
            place == 0 or ((0, place) in compared and (0, place) not in self.surely)
            for place in range(self.count)
        ]
        candidates = [place for place in range(self.count) if self.tied[place]]
        self.recommended = _cheapest({i: _cost(members[i].rows) for i in candidates})

    def interval(self, place: int) -> tuple[int, int]:
        """The ranks, from 1, that dev cannot tell from this place; its own where none can tell."""
        if not self.compared:
            return place + 1, place + 1
        if self.count > _ALL_PAIRS:
            return (1, sum(self.tied)) if self.tied[place] else (place + 1, place + 1)
        better = sum(pair[1] == place for pair in self.surely)
        worse = sum(pair[0] == place for pair in self.surely)
        return 1 + better, self.count - worse


def _group(
    member: _Member,
    metric: str,
    places: _Places,
    place: int,
    compared: tuple[Comparison, float] | None,
) -> Group:
    low, high = places.interval(place)
    # Compared was the leader minus this one; a reader expects this one minus the leader.
    return Group(
        params=member.rows[0].params,
        rows=member.rows,
        rank=place + 1,
        rank_low=low,
        rank_high=high,
        dev_score=_mean_dev(member.rows, metric),
        score=fmean(row.test.get(metric, math.nan) for row in member.rows),
        interval=_interval(member, metric),
        difference=-compared[0].difference if compared else None,
        difference_interval=(-compared[0].high, -compared[0].low) if compared else None,
        p_value=compared[1] if compared else None,
        tied=places.tied[place],
        recommended=place == places.recommended,
    )


def _interval(member: _Member, metric: str) -> Interval | None:
    """On test, over seeds; a configuration that was not resampled has its only seed's own."""
    if member.test is None:
        only = member.rows[0] if len(member.rows) == 1 else None
        return only.test_intervals.get(metric) if only else None
    found = member.test.scores.intervals.get(metric)
    return (found.low, found.high) if found else None


def _cost(rows: Sequence[Row]) -> tuple[float, float]:
    """Trainable parameters, then rows trained on.

    Not seconds: what else the machine did would choose among equals, and the same sweep recommend
    something else each time.
    """
    return (
        fmean(row.completed.trainable_parameters for row in rows if row.completed),
        fmean(_trained_rows(row) for row in rows),
    )


def _trained_rows(row: Row) -> float:
    """In each epoch all that the data has; 0 without training."""
    return row.epochs[-1].epoch * (train_rows(row) or 1) if row.epochs else 0.0


def _cheapest(costs: Mapping[int, tuple[float, float]]) -> int | None:
    """The place with the least cost, of those that cost the same the better on dev."""
    return min(costs, key=lambda place: (costs[place], place), default=None)


def _compared(members: Sequence[_Member], split: str, metric: str) -> Tested:
    """Paired comparisons of places (one, other), p-values corrected for all of them."""
    places = range(len(members))
    pairs = combinations(places, 2) if len(members) <= _ALL_PAIRS else ((0, i) for i in places[1:])
    found = {
        pair: comparison
        for pair in pairs
        if (comparison := _compare(members[pair[0]], members[pair[1]], split, metric))
    }
    corrected = holm([c.p_value for c in found.values()]) if found else []
    return {pair: (found[pair], p) for pair, p in zip(found, corrected, strict=True)}


def _compare(one: _Member, other: _Member, split: str, metric: str) -> Comparison | None:
    first, second = getattr(one, split), getattr(other, split)
    if first is None or second is None or first.pairs != second.pairs:
        return None
    return compare(first.scores, second.scores, metric)


class _Draw:
    """Resamples of configurations' scores; what is drawn is found once for the same pairs."""

    def __init__(self, resampling: Resampling) -> None:
        self.resampling = resampling
        self.units: dict[str, Units] = {}

    def of(self, rows: Sequence[Row], split: str) -> _Drawn | None:
        """Resamples of a group's scores, or None where its per-pair scores are not on disk."""
        found = [read_scores(row, split) for row in rows]
        tables = [table for table in found if table is not None]
        if len(tables) < len(found):
            return None
        pairs = pairs_digest(rows[0], split)
        if pairs not in self.units:
            self.units[pairs] = pair_units(rows[0], split, len(tables[0].label))
        thresholds = [table.threshold or 0.0 for table in tables]
        scores = [table.score for table in tables]
        # Of dev only differences are asked for.
        resampling = replace(self.resampling, intervals=split == "test")
        drawn = hierarchical(scores, tables[0].label, thresholds, self.units[pairs], resampling)
        return _Drawn(pairs, drawn)


def pair_units(row: Row, split: str, count: int) -> Units:
    """What is resampled: single pairs where the texts that would say more are not on disk."""
    texts = read_texts(row, split)
    if texts is None:
        return independent_pairs(count)
    return sampling_units(texts.text_1, texts.text_2)
