"""Trials that do the same until the shorter one ends: each goes on from where the one before ended.

They differ in `train.epochs` alone, and their learning rate does not depend on the end. So 1, 2, 4
and 8 epochs cost 8, with the numbers that each would have come to by itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from embft.key import trial_key
from embft.plan import PlannedTrial
from embft.spec import TrainSpec
from embft.trial import PREFIXES

_ANY_EPOCHS = TrainSpec.model_fields["epochs"].default


def share_prefixes(trials: Sequence[PlannedTrial]) -> tuple[PlannedTrial, ...]:
    """The trials, those that share a prefix from the shortest to the longest, and told so.

    Each group stays in the places that its trials had.
    """
    places: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        if (key := prefix_key(trial)) is not None:
            places.setdefault(key, []).append(place)
    found = list(trials)
    for key, group in places.items():
        if len(group) > 1:
            ordered = sorted((trials[i] for i in group), key=lambda t: t.spec.train.epochs)
            for place, trial in zip(group, ordered, strict=True):
                found[place] = replace(trial, prefix=key)
    return tuple(found)


def prefix_key(trial: PlannedTrial) -> str | None:
    """The key of what a trial shares with others of other epochs; None where that is nothing."""
    train = trial.spec.train
    if trial.spec.is_baseline or train.schedule != "constant":
        return None
    any_epochs = train.model_copy(update={"epochs": _ANY_EPOCHS})
    spec = trial.spec.model_copy(update={"train": any_epochs})
    return trial_key(spec, trial.data_digest, trial.base.digest, trial.evaluators)


def forget_prefixes(sweep: Path) -> None:
    """Remove what shorter trials have left, once no longer one is to come."""
    shutil.rmtree(sweep / PREFIXES, ignore_errors=True)
