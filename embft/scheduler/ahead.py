"""The first trials begin while Ray starts, and the actor that is given one waits for its end.

Ray takes seconds to start and to have an actor, in which the warm process is ready and a core
stands idle. Which trials Ray gives first is known; this process, which runs all trials of a Ray of
its own (`broker.py`), begins those. Does not import Ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from embft.execution.launcher import run_trial
from embft.execution.monitor import Limits
from embft.planning.estimate import OURS_BYTES, Need
from embft.planning.plan import PlannedTrial
from embft.planning.take_over import begin
from embft.results.records import Status
from embft.scheduler.interruption import Interrupted, RayDiedError
from embft.spec.resources import Resources
from embft.storage.errors import StorageError
from embft.system.machine import available_cores, available_memory
from embft.system.processes import end_descendants

_ROOM = 2  # times what a worker is estimated to hold that two at once must find


@dataclass
class Ahead:
    """The trials that have begun, by the names of their folders."""

    begun: dict[str, Future[Status]] = field(default_factory=dict)

    def __contains__(self, trial: PlannedTrial) -> bool:
        return trial.folder.name in self.begun


@contextmanager
def begun_ahead(
    trials: Sequence[PlannedTrial], resources: Resources, need: Need
) -> Iterator[Ahead]:
    """Begin the first of these trials: as many as run at once, and of a baseline and a training
    that would run one after the other both, side by side where memory allows.

    When the block is left by an exception they save where they are. Raises what `begin` does.
    """
    ahead, lanes = Ahead(), _lanes(resources, need)
    if not trials:
        yield ahead
        return
    first = list(trials[: max(2, need.at_once) if trials[0].spec.is_baseline else need.at_once])
    limits = Limits.of(resources, root=os.getpid(), workers=lanes)
    pool = ThreadPoolExecutor(lanes, thread_name_prefix="embft-ahead")
    try:
        for trial in first:
            begin(trial, _threads(trial, need.at_once, lanes), resources)
            ahead.begun[trial.folder.name] = pool.submit(run_trial, trial.folder, limits)
        yield ahead
    except BaseException as end:
        if not first[0].folder.sweep.ask_to_stop():  # on a full disk, say, they cannot save
            end_descendants()
        # Where every process was ended, so are they, and Ray ends this one before long.
        ended = isinstance(end, Interrupted | RayDiedError | StorageError)
        pool.shutdown(wait=not ended, cancel_futures=True)
        raise
    pool.shutdown()


def _lanes(resources: Resources, need: Need) -> int:
    """How many trials begin at once. Two where trials run one at a time, for the baseline is
    short, and needs one core: if twice the memory of two workers is free.
    """
    if need.at_once > 1:
        return need.at_once
    free = available_memory()
    if resources.memory is not None:
        free = min(free, resources.memory - OURS_BYTES)
    return 2 if free >= 2 * _ROOM * need.demand.worker else 1


def _threads(trial: PlannedTrial, at_once: int, lanes: int) -> int:
    """The cores that a trial may use."""
    beside = lanes if trial.spec.is_baseline else at_once
    return max(1, available_cores() // beside)
