"""Which trained models stay on disk: all, or those with the best objective on dev.

A model is removed only after its trial has its record, which stays as it is; a file beside it says
that the model is gone, and why.
"""

from __future__ import annotations

import bisect
import shutil
from collections.abc import Iterable

from embft.results.folders import TrialDir
from embft.results.observer import Observed, Observer
from embft.results.records import Completed, TrialResult
from embft.spec import Goal
from embft.spec.resources import Artifacts
from embft.storage.files import write_atomic
from embft.storage.seal import sealed


class Retention(Observer):
    """Takes trials as they finish, and removes the models that `artifacts.keep` does not keep.

    Of equal scores the earlier trial's model stays. Baselines have no model of their own.
    """

    def __init__(
        self, artifacts: Artifacts, objective: Goal, finished: Iterable[TrialDir] = ()
    ) -> None:
        self.artifacts, self.objective = artifacts, objective
        self.kept: list[tuple[float, TrialDir]] = []
        for folder in finished:
            self._take(folder, folder.result())

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """Remove the trial's model, or the one that it ousts."""
        self._take(trial.folder, result)

    def _take(self, folder: TrialDir, result: TrialResult | None) -> None:
        count = self.artifacts.count
        if count is None or not isinstance(result, Completed) or result.spec.is_baseline:
            return
        score = result.dev.get(self.objective.metric, float("-inf"))
        worth = score if self.objective.mode == "max" else -score
        bisect.insort_right(self.kept, (worth, folder), key=lambda entry: -entry[0])
        while len(self.kept) > count:
            self._remove(self.kept.pop()[1])

    def _remove(self, folder: TrialDir) -> None:
        if not folder.model_folder.exists():
            return
        write_atomic(folder.removed_file, sealed({"keep": self.artifacts.keep}))
        # Under another name first: a folder that is half deleted must not look like a model.
        going = folder.removing_folder
        shutil.rmtree(going, ignore_errors=True)
        folder.model_folder.rename(going)
        shutil.rmtree(going)
