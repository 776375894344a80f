"""A sweep's folder before it is used: what must not be there is refused, leftovers are removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from embft.errors import NewerRecordError, RecordError
from embft.planning.plan import Plan
from embft.results.folders import SweepDir
from embft.results.plan_record import read_plan


def clean(plan: Plan) -> None:
    """Remove what interrupted writes and attempts have left of this sweep.

    Raises RecordError where the folder holds links, or a newer embft's plan.
    """
    refuse_links(plan.folder.path)
    _refuse_newer_plan(plan.folder)
    for path in plan.folder.torn():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for trial in plan.trials:
        if trial.finished is not None:
            trial.folder.forget_attempts()


def refuse_links(folder: Path) -> None:
    """A results folder may come from anyone: what is written or removed in it must be in it."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise RecordError(
                f"{path}: a symbolic link in a results folder may lead anywhere: put what it "
                "points to in its place, or remove it"
            )


def _refuse_newer_plan(folder: SweepDir) -> None:
    """Raise NewerRecordError where a newer embft has written the plan: ours would replace it."""
    try:
        read_plan(folder)
    except NewerRecordError:
        raise
    except RecordError:
        return  # missing or damaged: it is written anew
