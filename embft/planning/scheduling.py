"""Whether a scheduler has anything to stop: trainings that are scored on dev more than once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embft.data.pairs import Splits
from embft.errors import EmbftError
from embft.planning.steps import evaluations
from embft.spec import TrialSpec
from embft.spec.initial import nothing_to_stop
from embft.spec.search import Scheduler


def most_evaluations(trials: Iterable[tuple[TrialSpec, str]], data: Mapping[str, Splits]) -> int:
    """How often the longest of these trainings is scored. Beside each the digest of its data."""
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
