"""Trials that another sweep has finished are taken over, not run again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from embft.errors import RecordError
from embft.planning.clean import refuse_links
from embft.planning.plan import PlannedTrial
from embft.results.folders import SweepDir, TrialDir, finished_trials
from embft.results.records import Completed
from embft.storage.files import replace_folder


def adopt_finished(sweep: SweepDir, pending: Sequence[PlannedTrial]) -> tuple[PlannedTrial, ...]:
    """Copy those that another sweep beside this one has completed. Returns the others."""
    keys = {trial.key for trial in pending if not trial.finished}
    elsewhere = finished_trials(sweep.path.parent, keys)
    return tuple(
        trial
        for trial in pending
        if not any(_adopt(trial, found) for found in elsewhere.get(trial.key, ()))
    )


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
