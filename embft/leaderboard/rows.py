"""The tables' types: a row for each trial, a group for each configuration, the leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from embft.metrics.best import Scope
from embft.metrics.comparison import Comparison
from embft.metrics.optimism import Optimism
from embft.results.folders import SweepDir, TrialDir
from embft.results.records import Completed, EpochScore, Metrics, Status, TrialResult
from embft.spec import Objective
from embft.spec.search import Cost
from embft.spec.seeds import SeedsSpec

Interval = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One trial. `result` is None while it is pending or running.

    trial: the folder's name, or `baseline`. params: the varying parameters under their dotted
    paths, mappings, lists and paths by short names; None where a parameter does not apply (a LoRA
    rank in full fine-tuning). values: what stands behind those names. to_yaml: writes the trial's
    spec for a folder and some seeds, which few rows of a large table are ever asked for.
    derived_dev, derived: scores on dev and on test that take other rows too.
    """

    trial: str
    folder: TrialDir
    status: Status
    is_baseline: bool
    seed: int
    params: Mapping[str, Any]
    result: TrialResult | None
    to_yaml: Callable[[Path | None, Sequence[int]], str]
    derived: Metrics = field(default_factory=dict)
    derived_intervals: Mapping[str, Interval] = field(default_factory=dict)
    derived_dev: Metrics = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def spec_yaml(self) -> str:
        """A spec file that runs this one trial from its sweep's folder."""
        return self.spec_yaml_in(self.folder.sweep.path)

    def spec_yaml_in(self, folder: Path | None, seeds: Sequence[int] = ()) -> str:
        """The same from another folder, None for the current one, where absolute paths stay so;
        with `seeds`, with each of them.
        """
        return self.to_yaml(folder, seeds)

    @property
    def configuration(self) -> str:
        """What trials that differ in their seed alone have in common; a baseline has its own."""
        return self.trial if self.is_baseline else repr(self.params)

    @cached_property
    def completed(self) -> Completed | None:
        """The result, if the trial completed."""
        return self.result if isinstance(self.result, Completed) else None

    @property
    def dev(self) -> Metrics:
        """Scores on the dev split; empty unless completed."""
        return {**self.completed.dev, **self.derived_dev} if self.completed else {}

    @property
    def test(self) -> Metrics:
        """Scores on the test split; empty unless completed."""
        return {**self.completed.test, **self.derived} if self.completed else {}

    @property
    def test_intervals(self) -> Mapping[str, Interval]:
        """95 % intervals of the test scores, for the metrics that have one."""
        return {**self.completed.test_intervals, **self.derived_intervals} if self.completed else {}

    @property
    def dev_intervals(self) -> Mapping[str, Interval]:
        """95 % intervals of the dev scores, for the metrics that have one."""
        return self.completed.dev_intervals if self.completed else {}

    def starts(self, other: Row) -> bool:
        """Whether this base model is the one that `other` was trained from, on its data."""
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

    rank counts from 1 by the mean dev objective, rank_low to rank_high are the ranks that it may
    have, for all configurations at once; a base model's are those that it would have among the
    trained. score and interval: the objective on the test split, the mean over seeds.

    in_best_set: whether it may be the best on dev; None where it was not compared. loss_high: the
    most that it loses on dev against the best, for all at once. to_best: its dev objective less
    that of the best of the others; to_recommended, to_base: its test objective less that of the
    recommended configuration and of its base model; to_base_on_dev: the last on dev. All in the
    metric's own unit and direction, None where there is nothing to compare. detectable: the
    smallest difference to the recommended one that this test split shows with a probability of
    80 %.
    """

    params: Mapping[str, Any]
    rows: tuple[Row, ...]
    rank: int
    rank_low: int
    rank_high: int
    dev_score: float
    score: float
    interval: Interval | None
    is_base: bool = False
    in_best_set: bool | None = None
    loss_high: float | None = None
    to_best: Comparison | None = None
    to_recommended: Comparison | None = None
    to_base: Comparison | None = None
    to_base_on_dev: Comparison | None = None
    detectable: float | None = None
    recommended: bool = False

    @property
    def best(self) -> Row:
        """The seed with the best dev objective, whose model one would ship."""
        return self.rows[0]


@dataclass(frozen=True)
class Needed:
    """How many dev pairs, or else how many seeds, would probably decide; None where no number."""

    pairs: int | None
    seeds: int | None


@dataclass(frozen=True)
class Incomplete:
    """A configuration without a score for each of its seeds, and what became of the others."""

    params: Mapping[str, Any]
    missing: tuple[tuple[int, Status], ...]


@dataclass(frozen=True)
class Decision:
    """How sure the recommendation is.

    resolved: whether the recommended configuration is shown to lose no more than the tolerance
    against the best, to be better than the base model where it is a trained one, and no
    configuration is incomplete. scope: what this is said of. compared: how many configurations
    were, the base model among them; 0 where their single values are not on disk. best_set: how many
    may be the best. loss_high: the most that the recommended one loses.
    better_than_base: whether that is shown; None where it is a base model or there is none.
    unit, units: what was scored on dev, and how many. needed, needed_for_base: what would probably
    show the first and the second. seed_spread: the standard deviation between seeds.
    """

    objective: Objective
    resolved: bool = False
    scope: Scope = "trained models"
    compared: int = 0
    best_set: int = 0
    loss_high: float | None = None
    better_than_base: bool | None = None
    unit: str = "pair"
    units: int = 0
    needed: Needed | None = None
    needed_for_base: Needed | None = None
    seed_spread: float | None = None
    incomplete: tuple[Incomplete, ...] = ()


@dataclass(frozen=True)
class Weighed:
    """One configuration, a base model among them, with a value in each objective.

    costs: means over the seeds that have one, of an index the largest. interval: 95 %, of its score
    on dev. on_front: whether no other is at least as good in every objective, and better in one.
    """

    group: Group
    costs: Mapping[Cost, float]
    interval: Interval | None
    on_front: bool = False


@dataclass(frozen=True)
class Leaderboard:
    """Everything a report shows, computed.

    rows: baseline included; completed ones by rank, then pruned, failed, running and pending.
    groups: completed configurations by rank. bases: the base models beside them, which compete for
    the recommendation. decision: how sure that is; None while nothing has completed.
    axes: the parameters that vary, in the spec's order.
    warnings: what a reader must know before deciding, in sentences. optimism: the selection bias
    of the leader's score, where there is no test split or a search has proposed it. dev_is_cut: dev
    was taken from train. test_is_dev: there is no test split, and dev stands in its place.
    more_seeds: where some configurations get more seeds than others. suggested: how many a search
    has proposed; None where none was searched for. continuous: the axes that it drew from
    distributions; logarithmic: those of them that are logarithmic; costs: what it kept low beside
    the score; front: the configurations with these, those on the Pareto front marked.
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
    warnings: tuple[str, ...]
    verdict: tuple[str, ...]
    audit: Mapping[str, Any] | None
    folder: SweepDir
    optimism: Optimism | None = None
    bases: tuple[Group, ...] = ()
    decision: Decision | None = None
    dev_is_cut: bool = False
    test_is_dev: bool = False
    more_seeds: SeedsSpec | None = None
    suggested: int | None = None
    continuous: tuple[str, ...] = ()
    logarithmic: tuple[str, ...] = ()
    costs: tuple[Cost, ...] = ()
    front: tuple[Weighed, ...] = ()

    @property
    def epoch_metric(self) -> str:
        """What each epoch of a training was judged by: the objective, of several tasks one."""
        objective = self.decision.objective if self.decision else None
        return objective.metric if objective and objective.tasks else self.metric

    @property
    def recommended(self) -> Group | None:
        """The configuration to ship, which may be a base model; None while nothing completed."""
        return next((g for g in (*self.groups, *self.bases) if g.recommended), None)

    @cached_property
    def recommended_yaml(self) -> str | None:
        """A spec file that runs the recommended configuration, with each of its seeds, from its
        sweep's folder.
        """
        chosen = self.recommended
        if chosen is None:
            return None
        folder = chosen.best.folder.sweep.path
        return chosen.best.spec_yaml_in(folder, sorted(row.seed for row in chosen.rows))

    @property
    def shown(self) -> Group | None:
        """The trained configuration that charts are about: the recommended one, or where the base
        model is to be kept, the first.
        """
        chosen = self.recommended
        if chosen is not None and not chosen.is_base:
            return chosen
        return next((group for group in self.groups if not group.is_base), chosen)

    def baseline_of(self, row: Row) -> Row | None:
        """The base model that a trial started from, or None."""
        own = (other for other in self._baselines if other.starts(row))
        return next(own, self.baseline)

    @cached_property
    def _baselines(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.result and row.result.spec.is_baseline)

    def count(self, status: Status) -> int:
        """How many trials, the baseline not counted, have this status."""
        return sum(row.status == status and not row.is_baseline for row in self.rows)
