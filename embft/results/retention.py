"""Which trained models stay on disk: all, or those with the best objective on dev.

A model is removed only after its trial has its record, which stays as it is; a file beside it says
that the model is gone, and why. Each removal is announced, and of trials that were finished before
the sweep none is removed that is beyond what is kept: `embft prune` does that, when it is asked to.
"""

from __future__ import annotations

import bisect
import shutil
from collections.abc import Callable, Iterable

from embft.results.folders import TrialDir
from embft.results.observer import Observed, Observer
from embft.results.records import Completed, TrialResult
from embft.spec import Goal
from embft.spec.resources import Artifacts
from embft.storage.files import write_atomic
from embft.storage.seal import sealed


class Kept:
    """The trials whose models are kept, best first. Of equal scores the earlier one's is."""

    def __init__(self, artifacts: Artifacts, objective: Goal) -> None:
        self.artifacts, self.objective = artifacts, objective
        self._kept: list[tuple[float, TrialDir]] = []

    def take(self, folder: TrialDir, result: TrialResult | None) -> list[TrialDir]:
        """Count a trial in, if it has a model. Returns those that are kept no longer, it or others.

        Baselines have no model of their own.
        """
        count = self.artifacts.count
        if count is None or not isinstance(result, Completed) or result.spec.is_baseline:
            return []
        score = result.dev.get(self.objective.metric, float("-inf"))
        worth = score if self.objective.mode == "max" else -score
        bisect.insort_right(self._kept, (worth, folder), key=lambda entry: -entry[0])
        beyond = [each for _, each in self._kept[count:]]
        del self._kept[count:]
        return beyond


class Retention(Observer):
    """Takes trials as they finish, and removes the models that `artifacts.keep` does not keep.

    finished: trials with a record from before. beyond: those of them whose models are not among
    what is kept, and stay for now. announce: is given a sentence for each model that is removed.
    needed: whether a trial's model is still to be measured, and stays until it was.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        objective: Goal,
        finished: Iterable[TrialDir] = (),
        announce: Callable[[str], None] = lambda _: None,
        needed: Callable[[TrialDir], bool] = lambda _: False,
    ) -> None:
        self.keep, self.announce, self.needed = artifacts.keep, announce, needed
        self._waiting: list[TrialDir] = []
        self._kept = Kept(artifacts, objective)
        over = [each for f in finished for each in self._kept.take(f, f.result())]
        self.beyond = tuple(each for each in over if each.model_folder.is_dir())

    def on_trial(self, trial: Observed, result: TrialResult) -> None:
        """Remove the trial's model, or the one that it ousts."""
        self._waiting += self._kept.take(trial.folder, result)
        self._remove([folder for folder in self._waiting if not self.needed(folder)])

    def on_end(self, error: BaseException | None) -> None:
        """Remove what has waited; of a sweep that goes on later it is needed then."""
        if error is None:
            self._remove(list(self._waiting))

    def _remove(self, folders: Iterable[TrialDir]) -> None:
        for folder in folders:
            self._waiting.remove(folder)
            if folder.model_folder.is_dir():
                self.announce(
                    f"{folder.short}: its model is removed, as artifacts.keep is {self.keep}"
                )
                remove_model(folder, self.keep)


def remove_model(folder: TrialDir, keep: str) -> None:
    """Remove a trial's model, if it is there. keep: what was asked to be kept."""
    if not folder.model_folder.exists():
        return
    write_atomic(folder.removed_file, sealed({"keep": keep}))
    # Under another name first: a folder that is half deleted must not look like a model.
    going = folder.removing_folder
    shutil.rmtree(going, ignore_errors=True)
    folder.model_folder.rename(going)
    shutil.rmtree(going)
