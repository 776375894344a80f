"""Trials that another sweep has finished are taken over, not run again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from embft.errors import RecordError
from embft.planning.clean import refuse_links
from embft.planning.plan import Plan, PlannedTrial
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
