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

from embft.leaderboard.borda import borda_by_task
from embft.leaderboard.labels import higher_is_better
from embft.leaderboard.resampled import Draw, Drawn
from embft.leaderboard.rows import Interval, Row
from embft.metrics.best import Contest, Field, field_of, seed_table
from embft.metrics.bootstrap import Interval as Ends
from embft.metrics.bootstrap import with_seeds
from embft.metrics.borda import MANY_TASKS, BordaContest
from embft.metrics.comparison import Comparison
from embft.metrics.metric import BORDA
from embft.metrics.resampling import Resampling
from embft.metrics.seed_variance import seed_variance
from embft.results.units import UnitValues
from embft.spec.objective import Goal, Objective

# With more configurations the first on dev are compared, and of the others it is only asked whether
# they may be the best, so that a table of 10,000 stands in seconds.
MOST_COMPARED, FIRST_COMPARED = 200, 100
_RESAMPLES, _FEW_RESAMPLES, _MANY = 1000, 400, 40


@dataclass(frozen=True)
class Member:
    """A configuration's completed trials, best seed on dev first, and resamples of their scores on
    each split, one for each metric that counts; none where single values are not on disk.

    interval: of the mean over seeds on test, which includes what seeds vary.
    """

    rows: tuple[Row, ...]
    dev_score: float
    dev: tuple[Drawn, ...] = ()
    test: tuple[Drawn, ...] = ()
    interval: Interval | None = None

    @property
    def is_base(self) -> bool:
        """Whether the configuration is the base model, with nothing trained."""
        done = self.rows[0].completed
        return done is not None and done.spec.is_baseline


@dataclass(frozen=True)
class Members:
    """All configurations with a score on dev. bases: base models that are no points of the space.
    trained: the others, the best first, of which the first `compared` are compared. looks: how
    often that is done at most, with more seeds each time.
    """

    goal: Goal
    bases: tuple[Member, ...]
    trained: tuple[Member, ...]
    compared: int
    looks: int = 1

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


def members(rows: Sequence[Row], objective: Objective, looks: int = 1) -> Members:
    """The configurations among the rows, those that are compared resampled."""
    goal = objective.ranked_by
    bases = list(_configurations([row for row in rows if row.is_baseline], goal))
    trained = list(_configurations([row for row in rows if not row.is_baseline], goal))
    compared = len(trained) if len(trained) <= MOST_COMPARED else FIRST_COMPARED
    draw = _drawing(rows, objective, _RESAMPLES if compared <= _MANY else _FEW_RESAMPLES)
    entered = [draw.member(group) for group in trained[:compared]]
    rest = [Member(group, _mean_dev(group, goal.metric)) for group in trained[compared:]]
    trained_members = (*_with_seeds(entered, goal.metric), *rest)
    return Members(goal, tuple(map(draw.member, bases)), trained_members, compared, looks)


def _configurations(rows: Sequence[Row], goal: Goal) -> Iterator[tuple[Row, ...]]:
    """The completed rows of each configuration, best seed first, best configuration first."""
    sign = -1.0 if goal.mode == "max" else 1.0
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.completed and goal.metric in row.dev:
            found.setdefault(row.configuration, []).append(row)
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
        self._compared = [Draw(metric, _for_comparison(metric, resamples))]
        self._interval = Draw(metric, Resampling(only=(metric,)))

    def member(self, rows: tuple[Row, ...]) -> Member:
        """The configuration with its resamples."""
        dev, test = (self._drawn(rows, split) for split in ("dev", "test"))
        return Member(rows, _mean_dev(rows, self.metric), dev, test, self._interval_of(rows))

    def _drawn(self, rows: tuple[Row, ...], split: str) -> tuple[Drawn, ...]:
        found = [drawn for draw in self._compared if (drawn := draw.of(rows, split))]
        return tuple(found) if len(found) == len(self._compared) else ()

    def _interval_of(self, rows: tuple[Row, ...]) -> Interval | None:
        if len(rows) == 1:
            return rows[0].test_intervals.get(self.metric)
        return _interval(self._interval.of(rows, "test"), self.metric)


class _EachTask(_Drawing):
    """Resamples a configuration's scores in each of a few tasks. Its Borda score has no interval
    before it is compared.
    """

    def __init__(self, tasks: Sequence[str], resamples: int) -> None:
        self.metric = BORDA
        self._compared = [Draw(task, _for_comparison(task, resamples)) for task in tasks]

    def _interval_of(self, rows: tuple[Row, ...]) -> Interval | None:  # noqa: ARG002
        return None


class _ManyTasks(_Drawing):
    """Resamples tasks, of which a configuration's Borda score is the mean."""

    def __init__(self, rows: Sequence[Row], tasks: Sequence[str], resamples: int) -> None:
        super().__init__(BORDA, resamples)
        self._tasks = tuple(tasks)
        self._shares = {s: borda_by_task(rows, tasks, s) for s in ("dev", "test")}

    def _drawn(self, rows: tuple[Row, ...], split: str) -> tuple[Drawn, ...]:
        found = self._over_tasks(self._compared[0], rows, split)
        return (found,) if found else ()

    def _interval_of(self, rows: tuple[Row, ...]) -> Interval | None:
        return _interval(self._over_tasks(self._interval, rows, "test"), BORDA)

    def _over_tasks(self, draw: Draw, rows: tuple[Row, ...], split: str) -> Drawn | None:
        shares = [self._shares[split][r.trial] for r in rows if r.trial in self._shares[split]]
        tables = [UnitValues("task", self._tasks, each) for each in shares]
        return draw.of_units(tables) if len(tables) == len(rows) else None


def _drawing(rows: Sequence[Row], objective: Objective, resamples: int) -> _Drawing:
    """How this objective's configurations are resampled."""
    if not objective.tasks:
        return _Drawing(objective.metric, resamples)
    if len(objective.tasks) < MANY_TASKS:
        return _EachTask(objective.tasks, resamples)
    return _ManyTasks(rows, objective.tasks, resamples)


def _for_comparison(metric: str, resamples: int) -> Resampling:
    return Resampling(resamples, only=(metric,), intervals=False, linear=True)


def _interval(drawn: Drawn | None, metric: str) -> Interval | None:
    """Of these very seeds."""
    found = drawn.result.of_units.get(metric) if drawn else None
    return (found.low, found.high) if found else None


@dataclass(frozen=True)
class Compared:
    """The contest of some members on one split: entered[places[i]] is the contest's i."""

    contest: Contest
    places: tuple[int, ...]
    drawn: tuple[Drawn, ...]
    higher: bool

    @property
    def unit(self) -> str:
        """What is counted, and of what more would decide."""
        return self.drawn[0].unit if len(self.drawn) == 1 else "task"

    @property
    def count(self) -> int:
        """How many of these there are."""
        return self.drawn[0].count if len(self.drawn) == 1 else len(self.drawn)

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
    drawn: dict[int, tuple[Drawn, ...]] = {
        i: found for i in {one, *among} if (found := getattr(entered[i], split))
    }
    if one not in drawn:
        return None
    on = [each.on for each in drawn[one]]
    places = tuple(i for i in sorted(drawn) if [each.on for each in drawn[i]] == on)
    # On dev the field was chosen by the very scores that are compared.
    unseen = len(all_members.trained) - all_members.compared if split == "dev" else 0
    contests = [
        Contest(
            _field(all_members, places, [drawn[i][task] for i in places]),
            rivals=len(places) + unseen if unseen else 0,
            looks=all_members.looks,
        )
        for task in range(len(on))
    ]
    contest = contests[0] if len(contests) == 1 else BordaContest(contests)
    return Compared(contest, places, drawn[one], all_members.higher)


def _field(all_members: Members, places: Sequence[int], drawn: Sequence[Drawn]) -> Field:
    """The field of the entered members at these places, in the metric that was drawn."""
    metric, some = drawn[0].metric, [all_members.entered[i] for i in places]
    own = metric == all_members.goal.metric
    return field_of(
        [each.result for each in drawn],
        metric,
        higher_is_better=all_members.higher if own else higher_is_better(metric),
        seeds=[[row.seed for row in member.rows] for member in some],
        fixed=[member.is_base for member in some],
    )
