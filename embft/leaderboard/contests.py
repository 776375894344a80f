"""The configurations of a sweep as a contest on one split: whose scores compare, and how they do.

Finds the configurations among the rows, resamples what they were scored on, and hands those that
were scored on the same to `metrics.best`. Decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from embft.leaderboard.resampled import Draw, Drawn
from embft.leaderboard.rows import Interval, Row
from embft.metrics.best import Contest, field_of, seed_table
from embft.metrics.bootstrap import Interval as Ends
from embft.metrics.bootstrap import with_seeds
from embft.metrics.comparison import Comparison
from embft.metrics.resampling import Resampling
from embft.metrics.seed_variance import seed_variance
from embft.spec.objective import Goal

# With more configurations the first on dev are compared, and of the others it is only asked whether
# they may be the best, so that a table of 10,000 stands in seconds.
MOST_COMPARED, FIRST_COMPARED = 200, 100
_RESAMPLES, _FEW_RESAMPLES, _MANY = 1000, 400, 40


@dataclass(frozen=True)
class Member:
    """A configuration's completed trials, best seed on dev first, and resamples of their scores.

    interval: of the mean over seeds on test, which includes what seeds vary.
    """

    rows: tuple[Row, ...]
    dev_score: float
    dev: Drawn | None = None
    test: Drawn | None = None
    interval: Interval | None = None

    @property
    def is_base(self) -> bool:
        """Whether the configuration is the base model, with nothing trained."""
        done = self.rows[0].completed
        return done is not None and done.spec.is_baseline


@dataclass(frozen=True)
class Members:
    """All configurations with a score on dev. bases: base models that are no points of the space.
    trained: the others, the best first, of which the first `compared` are compared.
    """

    goal: Goal
    bases: tuple[Member, ...]
    trained: tuple[Member, ...]
    compared: int

    @property
    def higher(self) -> bool:
        """Whether larger values are better."""
        return self.goal.mode == "max"

    @cached_property
    def entered(self) -> tuple[Member, ...]:
        """Those that are compared, base models first."""
        return (*self.bases, *self.trained[: self.compared])

    @cached_property
    def first(self) -> int:
        """The entered one that leads on dev."""
        sign = 1.0 if self.higher else -1.0
        return max(range(len(self.entered)), key=lambda i: sign * self.entered[i].dev_score)

    def base_of(self, entered: int) -> int | None:
        """The entered one that is this one's base model, itself where it is one, or None."""
        member = self.entered[entered]
        if member.is_base:
            return entered
        bases = [i for i, other in enumerate(self.entered) if other.is_base]
        own = (i for i in bases if self.entered[i].rows[0].starts(member.rows[0]))
        return next(own, next(iter(bases), None))


def members(rows: Sequence[Row], goal: Goal) -> Members:
    """The configurations among the rows, those that are compared resampled."""
    bases = list(_configurations([row for row in rows if row.is_baseline], goal))
    trained = list(_configurations([row for row in rows if not row.is_baseline], goal))
    compared = len(trained) if len(trained) <= MOST_COMPARED else FIRST_COMPARED
    draw = _Drawing(goal.metric, _RESAMPLES if compared <= _MANY else _FEW_RESAMPLES)
    entered = [draw.member(group) for group in trained[:compared]]
    rest = [Member(group, _mean_dev(group, goal.metric)) for group in trained[compared:]]
    trained_members = (*_with_seeds(entered, goal.metric), *rest)
    return Members(goal, tuple(map(draw.member, bases)), trained_members, compared)


def _configurations(rows: Sequence[Row], goal: Goal) -> Iterator[tuple[Row, ...]]:
    """The completed rows of each configuration, best seed first, best configuration first."""
    sign = -1.0 if goal.mode == "max" else 1.0
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.completed and goal.metric in row.dev:
            found.setdefault(row.trial if row.is_baseline else repr(row.params), []).append(row)
    groups = [
        sorted(group, key=lambda row: sign * row.dev[goal.metric]) for group in found.values()
    ]
    groups.sort(key=lambda group: sign * _mean_dev(group, goal.metric))
    yield from map(tuple, groups)


def _mean_dev(rows: Sequence[Row], metric: str) -> float:
    return fmean(row.dev[metric] for row in rows)


def _with_seeds(entered: Sequence[Member], metric: str) -> list[Member]:
    """The members, their intervals on test joined with what seeds vary over all configurations."""
    scores = [[row.test.get(metric, math.nan) for row in member.rows] for member in entered]
    seeds = [[row.seed for row in member.rows] for member in entered]
    trained = [i for i, member in enumerate(entered) if not member.is_base]
    table = seed_table([scores[i] for i in trained], [seeds[i] for i in trained])
    found = seed_variance(table) if trained else None
    if found is None:
        return list(entered)
    joined = list(entered)
    for place, i in enumerate(trained):
        variance = float(found.own[place]) / len(scores[i])
        freedom = float(found.own_freedom[place])
        joined[i] = _joined(entered[i], fmean(scores[i]), variance, freedom)
    return joined


def _joined(member: Member, centre: float, variance: float, freedom: float) -> Member:
    if member.interval is None:
        return member
    found = with_seeds(Ends(*member.interval), centre, variance, freedom)
    return replace(member, interval=(found.low, found.high))


class _Drawing:
    """Resamples what a configuration was scored on: to compare it on both splits, and where it has
    several seeds for its interval on test.
    """

    def __init__(self, metric: str, resamples: int) -> None:
        self.metric = metric
        linear = Resampling(resamples, only=(metric,), intervals=False, linear=True)
        self._compared = Draw(metric, linear)
        self._interval = Draw(metric, Resampling(only=(metric,)))

    def member(self, rows: tuple[Row, ...]) -> Member:
        """The configuration with its resamples."""
        dev, test = (self._compared.of(rows, split) for split in ("dev", "test"))
        return Member(rows, _mean_dev(rows, self.metric), dev, test, self._interval_of(rows))

    def _interval_of(self, rows: tuple[Row, ...]) -> Interval | None:
        if len(rows) == 1:
            return rows[0].test_intervals.get(self.metric)
        drawn = self._interval.of(rows, "test")
        found = drawn.result.of_units.get(self.metric) if drawn else None
        return (found.low, found.high) if found else None


@dataclass(frozen=True)
class Compared:
    """The contest of some members on one split: entered[places[i]] is the contest's i."""

    contest: Contest
    places: tuple[int, ...]
    drawn: Drawn
    higher: bool

    def at(self, entered: int) -> int | None:
        """The contest's number of an entered member, None where it is not in it."""
        return self.places.index(entered) if entered in self.places else None

    def turned(self, comparison: Comparison) -> Comparison:
        """A comparison in the metric's own direction; in the contest higher is better."""
        if self.higher:
            return comparison
        c = comparison
        return Comparison(-c.difference, -c.high, -c.low, c.p_value, c.p_adjusted)


def compared(all_members: Members, split: str, one: int, among: Sequence[int]) -> Compared | None:
    """The contest of `one` with those that were scored on the same; None where its single values
    are not on disk.
    """
    entered = all_members.entered
    drawn: dict[int, Drawn] = {
        i: found for i in {one, *among} if (found := getattr(entered[i], split)) is not None
    }
    if one not in drawn:
        return None
    places = tuple(i for i in sorted(drawn) if drawn[i].on == drawn[one].on)
    field = field_of(
        [drawn[i].result for i in places],
        all_members.goal.metric,
        higher_is_better=all_members.higher,
        seeds=[[row.seed for row in entered[i].rows] for i in places],
        fixed=[entered[i].is_base for i in places],
    )
    # On dev the field was chosen by the very scores that are compared.
    unseen = len(all_members.trained) - all_members.compared if split == "dev" else 0
    contest = Contest(field, rivals=len(places) + unseen if unseen else 0)
    return Compared(contest, places, drawn[one], all_members.higher)
