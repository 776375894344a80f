"""Trials that do the same until the shorter one ends: each goes on from where the one before ended.

They differ in `train.epochs` alone, and their learning rate does not depend on the end. So 1, 2, 4
and 8 epochs cost 8, with the numbers that each would have come to by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embft.planning.plan import PlannedTrial
from embft.results.key import trial_key
from embft.spec import TrainSpec

_ANY_EPOCHS = TrainSpec.model_fields["epochs"].default


def share_prefixes(trials: Sequence[PlannedTrial]) -> tuple[PlannedTrial, ...]:
    """The trials, those that share a prefix from the shortest to the longest, and marked so.

    The shortest of all groups come first, then all second ones: where several trials run at once,
    those of one group would start together and have nothing to share. Together the groups stay in
    the places that their trials had. A trial alone goes on from what an earlier run of the sweep
    has left of its group.
    """
    groups: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        if (key := prefix_key(trial)) is not None:
            groups.setdefault(key, []).append(place)
    found = list(trials)
    ranked = list[tuple[int, PlannedTrial]]()
    for key, group in groups.items():
        shared = [replace(trials[place], prefix=key) for place in group]
        if len(shared) > 1:
            shared.sort(key=lambda trial: trial.spec.train.epochs)
            ranked += enumerate(shared)
        elif (shared[0].folder.sweep.prefixes_folder / key).is_dir():
            found[group[0]] = shared[0]
    ranked.sort(key=lambda each: each[0])
    places = sorted(place for group in groups.values() if len(group) > 1 for place in group)
    for place, (_, trial) in zip(places, ranked, strict=True):
        found[place] = trial
    return tuple(found)


def prefix_key(trial: PlannedTrial) -> str | None:
    """The key of what a trial shares with others of other epochs; None where that is nothing."""
    train = trial.spec.train
    if trial.spec.is_baseline or trial.trained or train.schedule != "constant":
        return None
    any_epochs = train.model_copy(update={"epochs": _ANY_EPOCHS})
    spec = trial.spec.model_copy(update={"train": any_epochs})
    return trial_key(spec, trial.data_digest, trial.base.digest, trial.evaluators)
