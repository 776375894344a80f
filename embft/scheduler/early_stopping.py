"""Ray Tune's schedulers of early stopping over trials whose training waits for each decision.

A training that is to end finds that in its folder, and ends by itself, with its record; Ray hears
of it as of any trial that is done. One that is to pause saves where it is first, since Ray gives
its place to another at once.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from embft.execution.launcher import write_pruned
from embft.results.folders import TrialDir
from embft.results.records import PruneDecision
from embft.scheduler.ray_tune import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    Trial,
    TrialScheduler,
)
from embft.scheduler.searchers import METRIC
from embft.scheduler.unsaved import Unsaved
from embft.spec.search import Scheduler

EVALUATION = "evaluation"  # what schedulers count, from 1
_LOOK_SECONDS = 0.05
_NEVER: Any = math.inf


def make_scheduler(spec: Scheduler, mode: str, most: int) -> TrialScheduler:
    """Ray's scheduler of this name. most: evaluations of the longest trial."""
    common: dict[str, Any] = {"time_attr": EVALUATION, "metric": METRIC, "mode": mode}
    if spec.algorithm == "median":
        # It never pauses, or it would run trials in turns until it has enough of them to compare.
        return MedianStoppingRule(
            **common, grace_period=spec.grace, min_time_slice=_NEVER, min_samples_required=3
        )
    common |= {"max_t": most, "reduction_factor": spec.reduction_factor}
    if spec.algorithm == "hyperband":
        return HyperBandScheduler(**common)
    # The last evaluation of the longest trial ends it in any case: as completed.
    return AsyncHyperBandScheduler(**common, grace_period=spec.grace, stop_last_trials=False)


class EarlyStopping(Unsaved, FIFOScheduler):
    """Has one of Ray's schedulers decide, and carries out what it decides."""

    _supports_buffered_results = False

    def __init__(self, spec: Scheduler, mode: str, most: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.spec, self.most = spec, most
        self.inner = make_scheduler(spec, mode, most)
        self.ended: set[str] = set()

    @property
    def pauses(self) -> bool:
        """Whether trials wait for each other, and lose their place while they do."""
        return self.spec.algorithm == "hyperband"

    @property
    def ahead(self) -> int:
        """How many trials must be there for one of them to run: of HyperBand's brackets each is
        filled before the next (Li et al., 2018; Ray's sizes), of the others none waits.
        """
        if not self.pauses:
            return 1
        factor = self.spec.reduction_factor
        brackets = round(math.log(self.most) / math.log(factor)) + 1
        return sum(math.ceil(brackets / (s + 1) * factor**s) for s in range(brackets))

    def set_search_properties(self, metric: str | None, mode: str | None, **_: Any) -> bool:
        """Both are known."""
        return metric is None and mode is None

    def on_trial_add(self, controller: Any, trial: Trial) -> None:
        """Pass it on."""
        self.inner.on_trial_add(controller, trial)

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Carry out what is decided of a trial that goes on."""
        if trial.trial_id in self.ended or METRIC not in result:
            return str(TrialScheduler.CONTINUE)
        decision = str(self.inner.on_trial_result(controller, trial, result))
        folder = _folder(trial)
        finished = folder.result_file.exists()  # and its record is only gone through again
        if decision == TrialScheduler.STOP:
            self.ended.add(trial.trial_id)
            if not finished:
                folder.write_decision(self._decision(result))
            return str(TrialScheduler.CONTINUE)
        if decision == TrialScheduler.PAUSE and not finished:
            _pause(folder)
        return decision

    def on_trial_complete(self, controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Pass on the end of a trial, with its last evaluation if it has one."""
        self._end_paused(trial)
        if METRIC in result and EVALUATION in result:
            self.inner.on_trial_complete(controller, trial, result)
        else:
            self.inner.on_trial_remove(controller, trial)

    def on_trial_error(self, controller: Any, trial: Trial) -> None:
        """Pass it on."""
        self.inner.on_trial_error(controller, trial)

    def on_trial_remove(self, controller: Any, trial: Trial) -> None:
        """Pass on that a trial that waits is not to go on."""
        self._end_paused(trial)
        self.inner.on_trial_remove(controller, trial)

    def choose_trial_to_run(self, controller: Any) -> Trial | None:
        """The inner one's choice."""
        return self.inner.choose_trial_to_run(controller)

    def debug_string(self) -> str:
        """The inner one's."""
        return str(self.inner.debug_string())

    def _end_paused(self, trial: Trial) -> None:
        """Write the record of a trial that is paused and is not to go on."""
        folder = _folder(trial)
        if folder.pause_file.exists() and not folder.result_file.exists():
            write_pruned(folder, folder.read_input(), self._decision(trial.last_result))
            folder.forget_attempts()

    def _decision(self, result: dict[str, Any]) -> PruneDecision:
        after, score = result.get(EVALUATION, 0), result.get(METRIC)
        reached = f" at {score:.4f}" if score is not None else ""
        return PruneDecision(
            reason=f"stopped by {self.spec.algorithm} after evaluation {after}{reached}",
            scheduler=self.spec.model_dump(),
        )


def _folder(trial: Trial) -> TrialDir:
    return TrialDir(Path(trial.config["trial"]))


def _pause(folder: TrialDir) -> None:
    """Have a training save where it is, and wait until its launcher has left it."""
    folder.pause_file.touch()
    while folder.running_file.exists():
        time.sleep(_LOOK_SECONDS)
