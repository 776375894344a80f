"""Whether a scheduler has anything to stop: trainings that are scored on dev more than once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embft.data.pairs import Splits
from embft.errors import EmbftError
from embft.planning.steps import evaluations, steps_before
from embft.spec import TrialSpec
from embft.spec.initial import nothing_to_stop
from embft.spec.search import Scheduler

Trainings = Iterable[tuple[TrialSpec, str]]
"""Trainings, each beside the digest of its data."""


def most_evaluations(trials: Trainings, data: Mapping[str, Splits]) -> int:
    """How often the longest of these trainings is scored."""
    return max(
        (
            evaluations(spec.train, len(data[digest].train))
            for spec, digest in trials
            if not spec.is_baseline
        ),
        default=0,
    )


def check_scheduler(scheduler: Scheduler, most: int) -> None:
    """Raise EmbftError where no trial can be stopped early. most: evaluations of the longest."""
    reason = nothing_to_stop(scheduler, most)
    if reason is not None:
        raise EmbftError(reason)


def early_note(scheduler: Scheduler, trials: Trainings, data: Mapping[str, Splits]) -> str | None:
    """What to say where trainings are stopped by scores from the time of their warm-up."""
    if scheduler.algorithm == "hyperband":
        return None
    for spec, digest in trials:
        before = steps_before(spec.train, len(data[digest].train), scheduler.grace)
        if not spec.is_baseline and before <= spec.train.warmup_steps:
            return (
                f"scheduler.grace is {scheduler.grace}: trials may be stopped after {before} "
                f"steps, and the warm-up of the learning rate takes {spec.train.warmup_steps}, "
                "during which scores say little of how a trial ends; a larger grace decides later"
            )
    return None
