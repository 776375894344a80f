"""Finished trials whose training is another trial's too: that one is scored, and not trained again.

Evaluators, groups and the test split may be edited without touching a weight
(docs/decisions/0026-scoring-again.md). Looks in all sweeps of a results folder, reads records of
any version whose trainings are as today's, and writes nothing; `take_over.py` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from embft.data.pairs import Splits
from embft.errors import RecordError
from embft.results.dataset import open_splits
from embft.results.folders import SweepDir, TrialDir, finished_in, sweeps_beside
from embft.results.key import TRAINED_ALIKE, training_digest, training_key, trial_key
from embft.results.records import Completed, TrialInput
from embft.storage.seal import check_digests

if TYPE_CHECKING:
    from embft.planning.plan import PlannedTrial


@dataclass(frozen=True)
class TrainedBefore:
    """A finished training. folder: of the trial that has its model; kept: whether it still has.

    by: the key of the trial that was trained. micro_batch_size: what it came to.
    """

    folder: TrialDir
    by: str
    kept: bool
    micro_batch_size: int | None = None


class Trainings:
    """The finished trainings beside a sweep, looked up when a first one is asked for."""

    def __init__(self, sweep: SweepDir) -> None:
        self.sweep = sweep
        self._digests: dict[str, str | None] = {}

    def of(self, trial: PlannedTrial, splits: Splits) -> TrainedBefore | None:
        """The finished training of a trial that has no record; the one that has its model, if one
        has. None where there is none, or the trial trains nothing.
        """
        if trial.spec.is_baseline or trial.folder.result_file.exists():
            return None
        if (begun := _begun(trial.folder)) is not None:
            return begun
        key = training_key(trial.spec, "", trial.base.digest, trial.evaluators)
        lost = None
        for folder, given in self._known.get(key, ()):
            if not self._same_data(folder, given, trial.data_digest, splits):
                continue
            found = _finished(folder, given)
            if found is not None and found.kept:
                return found
            lost = lost or found
        return lost

    @cached_property
    def _known(self) -> dict[str, list[tuple[TrialDir, TrialInput]]]:
        """By the key of their training, the data left out: this sweep's own first."""
        found: dict[str, list[tuple[TrialDir, TrialInput]]] = {}
        for folder in self._folders():
            given = _comparable(folder)
            if given is not None:
                key = training_key(given.spec, "", given.model_digest, given.evaluators)
                found.setdefault(key, []).append((folder, given))
        return found

    def _folders(self) -> Iterator[TrialDir]:
        for sweep in sweeps_beside(self.sweep):
            yield from finished_in(sweep).values()

    def _same_data(self, folder: TrialDir, given: TrialInput, digest: str, splits: Splits) -> bool:
        """Whether the pairs that decide a training are the same, by content."""
        if given.data_digest == digest:
            return True
        if digest not in self._digests:
            self._digests[digest] = training_digest(splits)
        if given.data_digest not in self._digests:
            self._digests[given.data_digest] = _frozen_digest(folder, given)
        return self._digests[given.data_digest] == self._digests[digest]


def _begun(folder: TrialDir) -> TrainedBefore | None:
    """What an interrupted scoring has taken over already, if it is whole."""
    try:
        given = folder.read_input()
        if given.trained_by is None:
            return None
        check_digests(folder.path, folder.read_trained().files)
    except (FileNotFoundError, RecordError):
        return None
    return TrainedBefore(folder, given.trained_by, True, given.micro_batch_size)


def _comparable(folder: TrialDir) -> TrialInput | None:
    """What a finished trial was given, if it was trained as today's embft trains."""
    try:
        given = folder.read_input()
    except (FileNotFoundError, RecordError):
        return None
    if given.spec.is_baseline:
        return None
    decided = (given.spec, given.data_digest, given.model_digest, given.evaluators)
    keys = (trial_key(*decided, version) for version in TRAINED_ALIKE)
    return given if given.key in keys else None


def _finished(folder: TrialDir, given: TrialInput) -> TrainedBefore | None:
    """The training of a trial that has completed; with its model where that and all that goes with
    it are whole.
    """
    try:
        result = folder.result()
        if not isinstance(result, Completed):
            return None
        by = given.trained_by or given.key
        kept = folder.model_folder.is_dir() and not folder.removed_file.exists()
        if kept:
            check_digests(folder.path, folder.read_trained().files)
    except (FileNotFoundError, RecordError):
        return TrainedBefore(folder, given.key, False)
    return TrainedBefore(folder, by, kept, given.micro_batch_size)


def _frozen_digest(folder: TrialDir, given: TrialInput) -> str | None:
    """Of the data that a trial was trained on; None where they are gone or no longer the same."""
    try:
        splits, digest = open_splits(folder.sweep.dataset(given.data))
    except (FileNotFoundError, RecordError, OSError):
        return None
    return training_digest(splits) if digest == given.data_digest else None
