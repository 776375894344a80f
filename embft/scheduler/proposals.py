"""A search's suggestions as trials: written down, planned, answered from their records.

Ray Tune asks `ProposedTrials` as it asks any searcher; that asks the real one. The order is always:
the searcher suggests, the suggestion is on the disk, the trial runs, its record is on the disk, the
searcher is told of it, the answer is on the disk. What an earlier run of the sweep has left is
given to a fresh searcher in the same order, so that it goes on as if nothing had happened
(docs/decisions/0023-a-plan-that-grows.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from embft.errors import EmbftError, SearchError
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.take_over import adopt_finished
from embft.results.costs import Finished, trial_cost
from embft.results.folders import TrialDir
from embft.results.records import Completed, Status, TrialResult
from embft.results.search_log import (
    Answered,
    Began,
    SearchLog,
    Suggested,
    answer,
    refused_answer,
)
from embft.results.serving import known_serving
from embft.scheduler.ray_tune import Searcher
from embft.scheduler.searchers import METRIC, make_searcher, versions
from embft.scheduler.unsaved import Unsaved
from embft.storage.seal import canonical_json

_SIGNAL_SECONDS = 0.5
_MOST_REPEATS = 100  # suggestions in a row that are no new trial: then nothing new is to come
EVALUATION = "training_iteration"  # Ray's name of what a searcher counts evaluations by

_log = logging.getLogger("embft")


class Suggestions:
    """The searcher of one sweep, with everything that was suggested so far.

    measure: measures what a trial's model comes to in service, where an objective goes by that.
    """

    def __init__(self, plan: Plan, measure: Callable[[TrialDir], None] | None = None) -> None:
        assert plan.planner is not None  # noqa: S101 - every plan that make_plan has made
        self.plan, self.planner, self.goal = plan, plan.planner, plan.spec.objective.goal
        self.searcher, self.measure = make_searcher(plan.spec), measure
        self.log = SearchLog(plan.folder, _began(plan))
        self.trials: dict[int, PlannedTrial | None] = {}
        self.answered: set[int] = set()
        self.repeats = 0
        self._replay()

    @property
    def keys(self) -> set[str]:
        """The keys of the trials that were suggested."""
        return {trial.key for trial in self.trials.values() if trial is not None}

    @property
    def finished(self) -> list[PlannedTrial]:
        """The trials that had a record when this was first asked, each once."""
        return [trial for trial in self._each() if trial.finished is not None]

    @property
    def unfinished(self) -> list[PlannedTrial]:
        """The others."""
        return [trial for trial in self._each() if trial.finished is None]

    def _each(self) -> list[PlannedTrial]:
        found = {trial.key: trial for trial in self.trials.values() if trial is not None}
        return list(found.values())

    @property
    def exhausted(self) -> bool:
        """Whether the searcher has proposed what it had proposed before, again and again."""
        return self.repeats >= _MOST_REPEATS

    @property
    def left(self) -> int:
        """How many more trials may be proposed; 0 where nothing new is to come."""
        if self.exhausted:
            return 0
        return max(0, (self.plan.spec.search.trials or 0) - len(self.keys))

    def next(self) -> int:
        """Ask for one more, and write it down. Returns its number."""
        number = len(self.trials)
        params = self._asked(number)
        known = self.keys
        trial = self._planned(params, number)
        self.repeats = 0 if trial is not None and trial.key not in known else self.repeats + 1
        return number

    def ahead(self, count: int) -> list[dict[str, Any]]:
        """What the searcher would propose next; it is written nowhere, and this one is then done
        with. Empty where it fails.
        """
        known = len(self.trials)
        with contextlib.suppress(SearchError):
            return [self._asked(known + i) for i in range(count)]
        return []

    def tell(
        self,
        number: int,
        result: TrialResult | None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Give the searcher what a trial's record says, once. None: it was no trial.

        ended: whether the sweep is ending. A cost that is not known then was perhaps not measured
        for that, and the trial is answered when the sweep goes on.
        """
        if number in self.answered:
            return
        found = refused_answer(number)
        if result is not None:
            costs = self._costs(number, result)
            if costs is None and self._priced(result) and _hears(ended):
                return
            found = answer(number, result, self.goal, costs)
        self._told(found)
        self.log.append(found)

    def _priced(self, result: TrialResult) -> TypeGuard[Completed]:
        """Whether a trial has costs that the searcher hears of."""
        return bool(self.plan.spec.search.costs) and isinstance(result, Completed)

    def _costs(self, number: int, result: TrialResult) -> dict[str, float] | None:
        """What a completed trial costs in the search's objectives; None where it is not known."""
        spec, trial = self.plan.spec, self.trials[number]
        if trial is None or not self._priced(result):
            return None
        if self.measure is not None and spec.search.by_service:
            self.measure(trial.folder)
        rows, tolerance = len(self.planner.data(trial.data_digest).train), spec.objective.tolerance
        done = Finished(result, rows, known_serving(trial.folder), tolerance)
        found = {cost: trial_cost(cost, done) for cost in spec.search.costs}
        unknown = [cost for cost, value in found.items() if value is None]
        if unknown:
            _log.warning(
                "%s: its %s is not known, and the searcher does not learn of it",
                trial.folder.short,
                unknown[0],
            )
        return {cost: v for cost, v in found.items() if v is not None} if not unknown else None

    def _asked(self, number: int) -> dict[str, Any]:
        try:
            return dict(self.searcher.suggest(str(number)) or {})
        except Exception as error:
            raise self._failed(error) from error

    def _told(self, found: Answered) -> None:
        self.answered.add(found.number)
        name = str(found.number)
        last: dict[str, Any] | None = None
        try:
            for count, value in enumerate(found.curve, 1):
                last = {METRIC: value, EVALUATION: count}
                self.searcher.on_trial_result(name, last)
            known = found.costs is not None or not self.plan.spec.search.costs
            if found.status == Status.COMPLETED and found.score is not None and known:
                last = {METRIC: found.score, EVALUATION: max(1, len(found.curve))}
                self.searcher.on_trial_complete(name, last | (found.costs or {}))
            else:  # without a score, or its cost: stopped early, or failed
                failed = found.status != Status.PRUNED
                self.searcher.on_trial_complete(name, None, error=failed)
        except Exception as error:
            raise self._failed(error) from error

    def _planned(self, params: dict[str, Any], number: int) -> PlannedTrial | None:
        """The trial of a suggestion, which is written down."""
        try:
            trial = self.planner.proposed(params)
        except EmbftError as error:
            self.trials[number] = None
            self.log.append(Suggested(number=number, params=params, refused=str(error)))
            _log.warning("suggestion %d is no trial: %s", number + 1, error)
            return None
        self.trials[number] = trial
        spec = trial.spec.model_dump(mode="json")
        name = trial.folder.name
        self.log.append(Suggested(number=number, params=params, folder=name, spec=spec))
        return trial

    def _replay(self) -> None:
        """Give a fresh searcher what was suggested and answered before."""
        seen: set[str] = set()
        for event in list(self.log.events):
            if isinstance(event, Answered):
                self._told(event)
            elif isinstance(event, Suggested):
                params = self._asked(event.number)
                if params != event.params:
                    raise SearchError(
                        f"{self.log.path}: suggestion {event.number + 1} was {event.params} by "
                        f"{_text(self.log.began.versions)} and is {params} by "
                        f"{_text(versions(self.plan.spec))}: install the former, or move the file "
                        "away: then a new search begins, which is answered from the trials that "
                        "are there"
                    )
                trial = None if event.refused else self.planner.proposed(params)
                self.trials[event.number] = trial
                new = trial is not None and trial.key not in seen
                seen |= {trial.key} if trial else set()
                self.repeats = 0 if new else self.repeats + 1

    def _failed(self, error: Exception) -> SearchError:
        name = self.plan.spec.search.algorithm
        return SearchError(
            f"search.algorithm {name} ({_text(versions(self.plan.spec))}) failed: "
            f"{type(error).__name__}: {error}. Everything that has finished is kept"
        )


def _hears(ended: Callable[[], bool]) -> bool:
    """Whether the sweep is ending: the signal that has ended a measurement arrives here later."""
    time.sleep(_SIGNAL_SECONDS)
    return ended()


def _text(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _began(plan: Plan) -> Began:
    """The first line of the log. Of the baselines' keys follows what data, models and evaluators
    are.
    """
    spec = plan.spec
    content: dict[str, Any] = {
        "search": spec.search.identity,
        "space": [{a: d.model_dump(mode="json") for a, d in p.items()} for p in spec.space],
        "order": [list(product) for product in spec.space],
        "goal": spec.objective.goal.model_dump(mode="json"),
        "trials": [t.key for t in (*plan.trials, *plan.samples) if not t.replicate],
        "scheduler": spec.scheduler.model_dump(mode="json") if spec.scheduler else None,
    }
    if spec.search.by_service:  # an index is as large as tolerance and dimensions allow
        serving = spec.serving.model_dump(mode="json") if spec.serving else None
        content["serving"] = [spec.objective.tolerance, serving]
    return Began(
        identity=hashlib.sha256(canonical_json(content).encode()).hexdigest(),
        algorithm=spec.search.algorithm,
        seed=spec.search.seed,
        versions=versions(spec),
    )


class ProposedTrials(Unsaved, Searcher):
    """What Ray Tune asks for the next trial of a search.

    begin: makes a trial's folder ready to run. again: keys of trials that run although they have a
    record. ended: whether no further trial is to begin.
    replays: whether trials that are finished go past Ray's scheduler, which then sees the curve on
    their records; without a scheduler they are answered at once.
    """

    def __init__(
        self,
        suggestions: Suggestions,
        begin: Callable[[PlannedTrial], None],
        *,
        ended: Callable[[], bool],
        replays: bool,
        again: set[str] | None = None,
    ) -> None:
        super().__init__(metric=METRIC, mode=suggestions.goal.mode)
        self.suggestions, self.begin = suggestions, begin
        self.ended, self.replays = ended, replays
        self.waiting = deque(suggestions.trials)
        self.running: dict[str, tuple[int, PlannedTrial]] = {}
        self.same: dict[str, list[int]] = {}  # suggestions that wait for a running trial's end
        self.again = again or set()
        self.error: Exception | None = None

    def set_search_properties(
        self,
        metric: str | None,  # noqa: ARG002 - Ray's signature
        mode: str | None,  # noqa: ARG002
        config: dict[str, Any],  # noqa: ARG002
        **_: Any,
    ) -> bool:
        """Ray's settings are known already."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial for Ray: its folder. FINISHED where none is to come."""
        try:
            found = None if self.error or self.ended() else self._next()
            if found is None:
                return Searcher.FINISHED
            number, trial = found
            if self._record(trial) is None:
                self.again.discard(trial.key)
                self.begin(trial)
        except Exception as error:  # noqa: BLE001 - raised where the sweep waits for Ray's end
            self.error = error
            return Searcher.FINISHED
        self.running[trial_id] = (number, trial)
        return {"trial": str(trial.folder.path.resolve())}

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # noqa: ARG002 - the record says it
        error: bool = False,  # noqa: ARG002
    ) -> None:
        """Tell the searcher what became of a trial; of one that is pending again, nothing."""
        number, trial = self.running.pop(trial_id)
        waiting = self.same.pop(trial.key, [])
        try:
            record = trial.result()
            if record is not None:
                for each in (number, *waiting):
                    self.suggestions.tell(each, record, self.ended)
        except Exception as failure:  # noqa: BLE001 - raised where the sweep waits for Ray's end
            self.error = self.error or failure

    def _next(self) -> tuple[int, PlannedTrial] | None:
        """The next suggestion that is to run; those that are none or are finished are answered."""
        while (self.waiting or self.suggestions.left) and not self.ended():
            number = self.waiting.popleft() if self.waiting else self.suggestions.next()
            trial = self.suggestions.trials[number]
            if trial is None:
                self.suggestions.tell(number, None)
                continue
            if any(trial.key == running.key for _, running in self.running.values()):
                self.same.setdefault(trial.key, []).append(number)
                continue
            record = self._record(trial)
            if record is None or (self.replays and self._is_first(number, trial)):
                return number, trial
            self.suggestions.tell(number, record, self.ended)
        return None

    def _is_first(self, number: int, trial: PlannedTrial) -> bool:
        """Whether no earlier suggestion was the same trial, which the scheduler has then seen."""
        trials = self.suggestions.trials
        return not any(
            earlier < number and other is not None and other.key == trial.key
            for earlier, other in trials.items()
        )

    def _record(self, trial: PlannedTrial) -> TrialResult | None:
        """The trial's record, here or in another sweep; None where it is to run."""
        found = trial.result()
        if found is None:
            adopt_finished(trial.folder.sweep, [trial])
            return trial.result()
        return None if trial.key in self.again else found
