"""The tables' types: a row for each trial, a group for each configuration, the leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from embft.metrics.optimism import Optimism
from embft.results.folders import SweepDir, TrialDir
from embft.results.records import Completed, EpochScore, Metrics, Status, TrialResult

Interval = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One trial. `result` is None while it is pending or running.

    trial: the folder's name, or `baseline`. params: the varying parameters under their dotted
    paths, mappings, lists and paths by short names; None where a parameter does not apply (a LoRA
    rank in full fine-tuning). values: what stands behind those names. to_yaml: writes `spec_yaml`,
    which few rows of a large table are ever asked for. derived: test scores that take other rows
    too.
    """

    trial: str
    folder: TrialDir
    status: Status
    is_baseline: bool
    seed: int
    params: Mapping[str, Any]
    result: TrialResult | None
    to_yaml: Callable[[], str]
    derived: Metrics = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def spec_yaml(self) -> str:
        """A spec file that runs this one trial."""
        return self.to_yaml()

    @cached_property
    def completed(self) -> Completed | None:
        """The result, if the trial completed."""
        return self.result if isinstance(self.result, Completed) else None

    @property
    def dev(self) -> Metrics:
        """Scores on the dev split; empty unless completed."""
        return self.completed.dev if self.completed else {}

    @property
    def test(self) -> Metrics:
        """Scores on the test split; empty unless completed."""
        return {**self.completed.test, **self.derived} if self.completed else {}

    @property
    def test_intervals(self) -> Mapping[str, Interval]:
        """95 % intervals of the test scores, for the metrics that have one."""
        return self.completed.test_intervals if self.completed else {}

    @property
    def dev_intervals(self) -> Mapping[str, Interval]:
        """95 % intervals of the dev scores, for the metrics that have one."""
        return self.completed.dev_intervals if self.completed else {}

    def starts(self, other: Row) -> bool:
        """Whether this untrained model is the one that `other` was trained from, on its data."""
        one, two = self.result, other.result
        return bool(
            one
            and two
            and one.spec.is_baseline
            and not two.spec.is_baseline
            and (one.model_digest, one.data_digest) == (two.model_digest, two.data_digest)
            and one.spec.model == two.spec.model
        )

    @property
    def epochs(self) -> tuple[EpochScore, ...]:
        """Loss and dev scores after each epoch, as far as the trial came."""
        return self.result.epochs if self.result else ()


@dataclass(frozen=True)
class Group:
    """One configuration: the trials that differ in nothing but their seed.

    rank counts from 1 by the mean dev objective. rank_low to rank_high: the ranks that dev cannot
    tell apart. tied: dev cannot tell it from the leader. recommended: the cheapest of the tied.
    score and interval: the objective on the test split, the mean over seeds. difference: test
    objective of this group minus the leader's, with its interval and a p-value corrected for the
    number of comparisons (Holm, 1979); None for the leader.
    """

    params: Mapping[str, Any]
    rows: tuple[Row, ...]
    rank: int
    rank_low: int
    rank_high: int
    dev_score: float
    score: float
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None
    p_value: float | None
    tied: bool
    recommended: bool

    @property
    def best(self) -> Row:
        """The seed with the best dev objective, whose model one would ship."""
        return self.rows[0]


@dataclass(frozen=True)
class Leaderboard:
    """Everything a report shows, computed.

    rows: baseline included; completed ones by rank, then pruned, failed, running and pending.
    groups: completed configurations by rank. axes: the parameters that vary, in the spec's order.
    cautions: what a reader must beware of, in sentences. comparisons: how many configurations were
    compared with the leader. scheme: what was resampled for the intervals. optimism: how much of
    the leader's score is luck, where there is no test split. dev_is_cut: dev was taken from train.
    test_is_dev: there is no test split, and dev stands in its place.
    """

    name: str
    description: str
    metric: str
    mode: str
    axes: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    baseline: Row | None
    pairs: Mapping[str, int]
    group_columns: tuple[str, ...]
    cautions: tuple[str, ...]
    verdict: tuple[str, ...]
    audit: Mapping[str, Any] | None
    folder: SweepDir
    optimism: Optimism | None = None
    dev_is_cut: bool = False
    test_is_dev: bool = False

    @property
    def recommended(self) -> Group | None:
        """The configuration to ship, or None while nothing completed."""
        return next((group for group in self.groups if group.recommended), None)

    def baseline_of(self, row: Row) -> Row | None:
        """The untrained model that a trial started from, or None."""
        own = (other for other in self._baselines if other.starts(row))
        return next(own, self.baseline)

    @cached_property
    def _baselines(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.result and row.result.spec.is_baseline)

    def count(self, status: Status) -> int:
        """How many trials, the baseline not counted, have this status."""
        return sum(row.status == status and not row.is_baseline for row in self.rows)
