"""A trial run again from its record, elsewhere, and compared with what it came to.

Writes nothing into the sweep: the second run has a folder of its own, which is then removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from embft.errors import EmbftError
from embft.execution.launcher import run_trial
from embft.leaderboard.environments import conditions
from embft.planning.estimate import CHECKPOINT_COPIES, CHECKPOINTS, FLOAT, free_disk, size_text
from embft.results.folders import SweepDir, TrialDir
from embft.results.records import Completed, Failed
from embft.results.scores import load_scores

Outcome = Literal["identical", "inside the interval", "different"]
_OTHER_BYTES = 50_000_000  # tokenizer, log, scores


@dataclass(frozen=True)
class Score:
    """A metric of test: as it is recorded, with its 95 % interval, and as it came out now."""

    recorded: float
    now: float
    interval: tuple[float, float] | None

    @property
    def is_inside(self) -> bool:
        """Whether the new score lies in the interval; without one, whether it is the same."""
        if self.interval is None:
            return self.now == self.recorded
        return self.interval[0] <= self.now <= self.interval[1]


@dataclass(frozen=True)
class Rerun:
    """What a second run came to. changed: what of the environment is another, then and now.
    pair_difference: the largest between the similarities of one pair.
    """

    trial: str
    objective: str
    scores: Mapping[str, Score]
    identical: bool
    pair_difference: float
    changed: Mapping[str, tuple[str, str]]

    @property
    def outcome(self) -> Outcome:
        """In a word; by the objective, where it is not identical."""
        if self.identical:
            return "identical"
        return "inside the interval" if self.scores[self.objective].is_inside else "different"


def run_again(trial: TrialDir) -> Rerun:
    """Run a completed trial again in a folder of its own. Raises EmbftError where that cannot be,
    or where it does not complete.
    """
    then = _recorded(trial)
    _check_room(then)
    with TemporaryDirectory(prefix="embft-verify-") as name:
        again = _again(trial, SweepDir(Path(name) / "sweep"))
        run_trial(again)
        now = again.result()
        if not isinstance(now, Completed):
            reason = now.message if isinstance(now, Failed) else "it came to no result"
            raise EmbftError(f"{trial.name}: the second run did not complete: {reason}")
        difference = _pair_difference(trial, again)
    return Rerun(
        trial=trial.name,
        objective=then.spec.objective.metric,
        scores=_scores(then, now),
        identical=difference == 0 and (then.dev, then.test) == (now.dev, now.test),
        pair_difference=difference,
        changed=_changed(then, now),
    )


def _recorded(trial: TrialDir) -> Completed:
    result = trial.result()
    if not isinstance(result, Completed):
        ended = f"it is {result.status}" if result else "it has not finished"
        raise EmbftError(f"{trial.path}: there are no scores to verify: {ended}")
    trial.check_files(result, trial.scores_file.name)
    data = trial.sweep.dataset(trial.read_input().data)
    if not data.is_dir():
        raise EmbftError(
            f"{trial.path}: its data is not there ({data}): verify it in its sweep's folder, or "
            "copy that whole"
        )
    return result


def _check_room(then: Completed) -> None:
    checkpoints = FLOAT * then.trainable_parameters * CHECKPOINT_COPIES * CHECKPOINTS
    needed = then.artifact_bytes + checkpoints + _OTHER_BYTES
    with TemporaryDirectory() as name:
        free = free_disk(Path(name))
    if needed > free:
        raise EmbftError(
            f"a second run needs about {size_text(needed)} of disk for temporary files, and "
            f"{size_text(free)} are free: free some, or set TMPDIR to a folder on another disk"
        )


def _again(trial: TrialDir, sweep: SweepDir) -> TrialDir:
    """A folder for the second run, which finds the data of the first."""
    sweep.path.mkdir()
    sweep.data_folder.symlink_to(trial.sweep.data_folder.resolve())
    if (
        trial.sweep.evaluators_folder.is_dir()
    ):  # a copy, for users' modules leave caches beside them
        shutil.copytree(trial.sweep.evaluators_folder, sweep.evaluators_folder)
    given = trial.read_input()
    again = sweep.trial(f"{given.name.rpartition('-')[0]}-{given.key}")
    again.create(given.model_copy(update={"prefix": None, "attempts": (), "trained_by": None}))
    return again


def _pair_difference(trial: TrialDir, again: TrialDir) -> float:
    """The largest difference of one pair's similarity, over dev and test."""
    then, now = (load_scores(each.scores_file) for each in (trial, again))
    return max(float(np.abs(then[split][1] - now[split][1]).max(initial=0)) for split in then)


def _scores(then: Completed, now: Completed) -> dict[str, Score]:
    return {
        name: Score(value, now.test[name], then.test_intervals.get(name))
        for name, value in then.test.items()
        if name in now.test
    } | {
        name: Score(value, now.dev[name], then.dev_intervals.get(name))
        for name, value in then.dev.items()
        if name not in then.test and name in now.dev
    }


def _changed(then: Completed, now: Completed) -> dict[str, tuple[str, str]]:
    if then.provenance is None or now.provenance is None:
        return {}
    before, after = conditions(then.provenance), conditions(now.provenance)
    names = dict.fromkeys([*before, *after])
    missing = "not installed"
    pairs = {name: (before.get(name, missing), after.get(name, missing)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
