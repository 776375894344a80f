"""What is decided while a sweep runs: which trials there are, how far they go, when to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embft.planning.plan import Plan, PlannedTrial
from embft.results.folders import TrialDir
from embft.results.records import Status
from embft.scheduler.stopping import Enough

if TYPE_CHECKING:
    from embft.scheduler.early_stopping import EarlyStopping
    from embft.scheduler.proposals import Suggestions


@dataclass(frozen=True)
class Choices:
    """enough: when there are enough trials. early: which of them end early; known: those that have
    finished before, which the scheduler must know of. search: what is proposed; again: keys of
    those of its trials that run although they have failed; done: how many have finished before.
    """

    enough: Enough
    early: EarlyStopping | None = None
    known: Sequence[PlannedTrial] = ()
    search: Suggestions | None = None
    again: frozenset[str] = frozenset()
    done: int = 0

    @property
    def open(self) -> bool:
        """Whether the search has trials to run, or may propose some."""
        search = self.search
        return search is not None and bool(search.left or search.unfinished or self.again)


def choices_of(
    plan: Plan,
    pending: Sequence[PlannedTrial],
    resolved: Callable[[], bool] | None = None,
    *,
    measure: Callable[[TrialDir], None] | None = None,
    again: bool = False,
) -> Choices:
    """What a prepared plan leaves to decide. resolved: whether the recommendation is, asked of the
    results. measure: measures a trial's model in service, for a search that goes by that. again:
    whether what has failed runs again.

    Raises SearchError where the searcher fails, or proposes other points than it did.
    """
    spec, waiting = plan.spec, {trial.key for trial in pending}
    search, early = None, None
    if spec.search.proposes:  # imported here, since Ray's imports take a second
        from embft.scheduler.proposals import Suggestions

        search = Suggestions(plan, measure)
    if spec.scheduler is not None:
        from embft.scheduler.early_stopping import EarlyStopping

        early = EarlyStopping(spec.scheduler, spec.objective.mode, plan.most_evaluations)
    before = [
        trial
        for trial in plan.trials
        if trial.key not in waiting and not trial.spec.is_baseline and not trial.replicate
    ]
    proposed = search.finished if search else []
    enough = Enough(spec.stop, spec.objective.goal, plan.folder, resolved)
    if spec.stop.is_set:
        enough.count(result for t in (*before, *proposed) if (result := t.result()) is not None)
    return Choices(
        enough=enough,
        early=early,
        known=before,
        search=search,
        again=frozenset(t.key for t in proposed if again and t.finished == Status.FAILED),
        done=len(proposed),
    )
