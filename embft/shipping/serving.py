"""What each model of a sweep costs in service, measured after its trials: `serving.json` of each.

One trial at a time, since a speed is of the whole machine. Models of one architecture have one
speed, which is measured once: an adapter is merged before it is served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from embft.errors import EmbftError, RecordError
from embft.execution.after import each_in_a_process
from embft.models.trained import find_trained
from embft.results.folders import TrialDir
from embft.results.provenance import processor
from embft.results.records import Completed, TrialInput
from embft.results.serving import Speed, known_serving, write_serving

_PRELOADED = ["embft.shipping.compress"]
_ENDED = "the process that measured it was ended, perhaps for want of memory"
_METHODS = ("none", "full", "lora")  # whose speed is that of what is served, first


def measure_all(
    folders: Sequence[TrialDir],
    dimensions: Sequence[int],
    *,
    trusted: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, str]:
    """Measure each trial with a model that was not measured so yet; base models first.

    tell: is given how many are done, of how many. Returns why a trial has no `serving.json`.
    """
    missing = sorted(unmeasured(folders, dimensions), key=_first)
    work = partial(_reason, dimensions=tuple(dimensions), trusted=trusted)
    failed = {}
    if missing:
        tell(0, len(missing))
        said = each_in_a_process(work, missing, 1, _PRELOADED, _ENDED)
        for done, (folder, reason) in enumerate(said, 1):
            tell(done, len(missing))
            if reason:
                failed[folder.name] = reason
    return failed


def unmeasured(folders: Sequence[TrialDir], dimensions: Sequence[int]) -> list[TrialDir]:
    """The completed trials with a model that have no measurement at all of these dimensions."""
    return [folder for folder in folders if _has_model(folder) and not _has(folder, dimensions)]


def _has_model(folder: TrialDir) -> bool:
    result = folder.result()
    if not isinstance(result, Completed):
        return False
    return result.spec.is_baseline or folder.model_folder.is_dir()


def _has(folder: TrialDir, dimensions: Sequence[int]) -> bool:
    found = known_serving(folder)
    return found is not None and set(dimensions) <= set(found.dimensions)


def _first(folder: TrialDir) -> tuple[int, str]:
    return _METHODS.index(folder.read_input().spec.train.method), folder.name


def _reason(folder: TrialDir, dimensions: tuple[int, ...], trusted: bool) -> str:
    """Measure one trial. Returns why it could not be; empty where it was."""
    from embft.shipping.compress import measure_serving

    try:
        given = folder.read_input()
        found = find_trained(str(folder.path), trusted=trusted)
        metric, speed = given.spec.objective.metric, _known_speed(folder, given)
        write_serving(folder, measure_serving(found, folder, metric, dimensions, speed))
    except (EmbftError, OSError) as error:
        return str(error)
    return ""


def _known_speed(folder: TrialDir, given: TrialInput) -> Speed | None:
    """Of another trial of the sweep whose model has the same shape, on this processor."""
    for other in folder.sweep.trials_by_key().values():
        found = known_serving(other)
        if found is not None and found.processor == processor() and _same_shape(other, given):
            return found.speed
    return None


def _same_shape(other: TrialDir, given: TrialInput) -> bool:
    try:
        theirs = other.read_input()
    except (FileNotFoundError, RecordError):
        return False
    return (theirs.model_digest, theirs.spec.model) == (given.model_digest, given.spec.model)
