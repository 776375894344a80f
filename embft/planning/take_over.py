"""What has been done is taken over: trials that another sweep has finished, and trainings of trials
that are to be scored otherwise.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from embft.errors import RecordError
from embft.planning.clean import refuse_links
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.trained_before import TrainedBefore
from embft.results.folders import SweepDir, TrialDir, finished_trials
from embft.results.records import Completed, TrialInput
from embft.spec.resources import Resources
from embft.storage.files import replace_folder
from embft.storage.seal import check_digests


def adopt_finished(sweep: SweepDir, pending: Sequence[PlannedTrial]) -> tuple[PlannedTrial, ...]:
    """Copy those that another sweep beside this one has completed. Returns the others."""
    keys = {trial.key for trial in pending if not trial.finished}
    elsewhere = finished_trials(sweep.path.parent, keys)
    return tuple(
        trial
        for trial in pending
        if not any(_adopt(trial, found) for found in elsewhere.get(trial.key, ()))
    )


def finished_elsewhere(plan: Plan) -> frozenset[str]:
    """The keys of a plan's pending trials that `adopt_finished` would take over. Writes nothing."""
    elsewhere = finished_trials(plan.folder.path.parent, {t.key for t in plan.pending()})
    return frozenset(key for key, found in elsewhere.items() if any(map(_is_whole, found)))


def _is_whole(found: TrialDir) -> bool:
    """Whether a trial has completed, and its files are those of its record."""
    try:
        record = found.result()
        if not isinstance(record, Completed):
            return False
        refuse_links(found.path)
        found.check_files(record)
    except RecordError:
        return False
    return True


def _adopt(trial: PlannedTrial, found: TrialDir) -> bool:
    """Copy a trial that another sweep has finished, if it completed. Returns whether it did."""
    try:
        record = found.result()
    except RecordError:
        return False
    if not isinstance(record, Completed):
        return False
    target = trial.folder.path
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        refuse_links(found.path)
        shutil.copytree(found.path, temporary)
        TrialDir(temporary).forget_attempts()
        TrialDir(temporary).check_files(record)
    except (RecordError, shutil.Error):  # the other sweep may be removing its model just now
        shutil.rmtree(temporary, ignore_errors=True)
        return False
    replace_folder(temporary, target)
    return True


def begin(trial: PlannedTrial, threads: int, resources: Resources | None = None) -> None:
    """Make the folder of a trial ready for its worker, with the training that it takes over.

    resources: of its sweep, which may name the number of threads; else its training may take fewer.
    """
    trial.folder.create(_input(trial, threads, resources))
    if trial.trained is None or trial.trained.folder.path == trial.folder.path:
        return
    try:
        _take_training(trial.folder, trial.trained)
    except (FileNotFoundError, RecordError):  # removed since it was planned: it is trained again
        given = trial.folder.read_input()
        trial.folder.write_input(given.model_copy(update={"trained_by": None}))


def _input(trial: PlannedTrial, threads: int, resources: Resources | None) -> TrialInput:
    if resources is None:
        return trial.input(threads)
    if resources.threads == "auto":
        return trial.input(threads, resources.device, chooses_threads=threads > 1)
    return trial.input(resources.threads, resources.device)


def _take_training(folder: TrialDir, before: TrainedBefore) -> None:
    """Give a trial another one's model, and what its training came to, which is written last.

    Raises FileNotFoundError and RecordError where they are not whole.
    """
    folder.trained_file.unlink(missing_ok=True)
    shutil.rmtree(folder.model_folder, ignore_errors=True)
    shutil.rmtree(folder.checkpoints_folder, ignore_errors=True)
    trained, result = before.folder.read_trained(), before.folder.result()
    for name in trained.files:
        _link(before.folder.path / name, folder.path / name)
    check_digests(folder.path, trained.files)
    under = result.trained_under or result.provenance if isinstance(result, Completed) else None
    folder.write_trained(trained.model_copy(update={"key": folder.key, "provenance": under}))


def _link(source: Path, target: Path) -> None:
    """The same file under another name, which takes no disk; a copy where that cannot be. Files of
    a finished training are never written again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
