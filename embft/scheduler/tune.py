"""Pending trials -> Ray Tune -> launcher.

Ray schedules; the truth is in the trial folders. Its own experiment state loses finished trials
when the driver dies, so it is kept in a temporary folder and thrown away: a resumed sweep is
fresh `Tuner`s over the trials without a record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from embft.errors import EmbftError, FailureReason
from embft.execution.launcher import run_trial
from embft.execution.monitor import Limits
from embft.execution.warm_process import overhead, warm_memory
from embft.execution.warming import warm_up
from embft.planning.freeze import freeze_data
from embft.planning.plan import PlannedTrial
from embft.planning.take_over import begin
from embft.results.folders import SweepDir, TrialDir
from embft.results.observer import Observer
from embft.results.records import Status
from embft.scheduler.ahead import Ahead
from embft.scheduler.broker import ask_for_trial, launch_server
from embft.scheduler.choices import Choices
from embft.scheduler.cluster import Cluster
from embft.scheduler.early_stopping import EarlyStopping
from embft.scheduler.follow import Follower
from embft.scheduler.health import ClusterWatch
from embft.scheduler.interruption import Interrupted, RayDiedError
from embft.scheduler.proposals import ProposedTrials, Suggestions
from embft.scheduler.ray_tune import tune
from embft.scheduler.stepped import SteppedTrial
from embft.scheduler.stopping import Enough
from embft.scheduler.unsaved import Unsaved
from embft.spec.resources import Resources
from embft.storage.errors import StorageError
from embft.storage.lock import is_held
from embft.system.allocator import release_memory
from embft.system.processes import has_child

# Ray Tune holds 30 KB of each trial that it was given until all have ended, so it is given a part
# of them at a time: about so many, and so many for each that runs at once. Between two parts pass
# two seconds, more where an actor has a warm process of its own, and whoever is ready waits.
_PART, _PART_FOR_EACH = 250, 50
_AHEAD = "TUNE_MAX_PENDING_TRIALS_PG"  # how many trials Ray asks a searcher for beforehand
_LOST_TIMES = 3  # that a trial is begun again because its actor has gone
_STOP_SECONDS = 0.2
_SAVE_SECONDS = 20.0  # how long an interrupted sweep waits for trials whose workers it cannot see
_WARM_BYTES = 500_000_000  # what the warm process adds to Ray's own share


class TrialRunner(tune.Trainable):
    """Runs one trial after another in one Ray actor, or has the sweep's own process run them."""

    def setup(self, config: dict[str, Any]) -> None:
        """Keep what the actor is given; Ray calls this once for each."""
        self.reset_config(config)
        if config["server"] is None:
            warm_up()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial, for the same actor."""
        self.given = new_config
        self.stepped: SteppedTrial | None = None
        self.reported = 0
        return True

    def step(self) -> dict[str, Any]:
        """Run the whole trial, or where a scheduler decides, to its next evaluation."""
        folder, metric = TrialDir(Path(self.given["trial"])), self.given["metric"]
        try:
            if metric is None or folder.read_input().spec.is_baseline:
                return {"status": self._run(folder), "done": True}
            if self.stepped is None:
                self.stepped = SteppedTrial(folder, self._run, metric, self.reported)
            return self.stepped.step()
        except StorageError as error:
            return {"storage": [error.reason, str(error)], "done": True}

    def _run(self, folder: TrialDir) -> Status:
        if self.given["server"] is not None:
            return ask_for_trial(self.given["server"], folder)
        return run_trial(folder, Limits(**self.given["limits"]))

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:  # noqa: ARG002 - Ray's own
        """How far Ray knows the trial; its folder has all else. Ray calls this at the end too."""
        return {"reported": self.stepped.reported if self.stepped else self.reported}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Ray calls this when a trial that was paused goes on."""
        self.reported = checkpoint["reported"]


class _Watch(Unsaved, tune.Callback):
    """Notes when a trial ended because the results folder takes no more, and keeps Tune small."""

    def __init__(self, enough: Enough | None = None) -> None:
        self.error: StorageError | None = None
        self.enough = enough

    def look(self) -> None:
        """Look at the clock, where the sweep has a limit of time."""
        if self.enough is not None:
            self.enough.look()

    def on_trial_recover(self, *_: Any, **given: Any) -> None:
        """Ray calls this when the actor of a trial has gone, and it is to run in another one."""
        with contextlib.suppress(OSError):  # a folder that takes no more ends the trial otherwise
            TrialDir(Path(given["trial"].config["trial"])).append_progress({"event": "lost"})

    def on_trial_result(self, *_: Any, **given: Any) -> None:
        """Ray calls this with what `TrialRunner.step` has returned."""
        if "storage" in given["result"]:
            reason, message = given["result"]["storage"]
            self.error = StorageError(FailureReason(reason), message)

    def on_trial_complete(self, *_: Any, **given: Any) -> None:
        """Drop the last 5 and 10 values that Tune keeps of each figure: nothing reads them."""
        metadata = getattr(given["trial"], "run_metadata", None)
        getattr(metadata, "metric_n_steps", {}).clear()


def run_trials(  # noqa: PLR0913, PLR0917 - what a sweep is made of
    trials: Sequence[PlannedTrial],
    cluster: Cluster,
    resources: Resources,
    observers: Sequence[Observer] = (),
    done: int = 0,
    choices: Choices | None = None,
    ahead: Ahead | None = None,
) -> list[str]:
    """Run the trials to their records; what they came to is on disk, and observers are notified.

    done: how many trials of the sweep have finished before. ahead: those that have begun already.

    A trial whose actor has gone (a node that was lost, say) goes on in another one, three times at
    most. Returns how it was lost then; it has no record and runs again with the next sweep. Raises
    Interrupted, RayDiedError when Ray has ended, and StorageError when the results folder takes no
    more.
    """
    search = choices.search if choices else None
    if not trials and search is None:
        return []
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    sweep = search.plan.folder if search else trials[0].folder.sweep
    folder = SweepDir(cluster.scratch or sweep.path.resolve()).tune_folder
    watch, limits = _Watch(choices.enough if choices else None), _limits(resources, cluster)
    with (
        Follower(trials, observers, done, sweep) as follower,
        _launching(cluster, limits, ahead) as server,
    ):
        settings = {"limits": dataclasses.asdict(limits), "server": server, "metric": None}
        parts: list[_Part] = _fixed(trials, cluster, choices)
        proposed = None
        if choices and search:
            proposed = _proposed(search, cluster, resources, choices, follower)
            parts.append((proposed, choices.early))
        tuners = (_tuner(part, cluster, settings, folder, watch, early) for part, early in parts)
        try:
            lost = _fit(tuners, cluster, watch)
            if proposed is not None and proposed.error is not None:
                raise proposed.error
            return lost
        except (Interrupted, RayDiedError, StorageError) as end:
            # Without a Ray of our own its actors are gone, and whoever could save with them.
            if server is not None or not cluster.ours or not isinstance(end, RayDiedError):
                _let_trials_save(sweep, follower)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _parts(trials: Sequence[PlannedTrial], about: int) -> list[Sequence[PlannedTrial]]:
    """Of about equal size."""
    if not trials:
        return []
    size = math.ceil(len(trials) / max(1, round(len(trials) / about)))
    return [trials[i : i + size] for i in range(0, len(trials), size)]


@contextlib.contextmanager
def _launching(cluster: Cluster, limits: Limits, ahead: Ahead | None) -> Iterator[str | None]:
    """Where this process runs the trials. None where an actor does, from a warm process of its own:
    on other machines, and on GPUs, since Ray tells each actor which of them it may use.
    """
    if cluster.scratch is None or cluster.gpus_per_trial > 0:
        yield None
    else:
        warm_up()
        with launch_server(cluster.scratch, limits, ahead.begun if ahead else None) as address:
            yield address


def _fixed(
    trials: Sequence[PlannedTrial], cluster: Cluster, choices: Choices | None
) -> list[_Part]:
    """Trials that are known beforehand, in parts. A scheduler has those that train, and before
    them those that it must know of.
    """
    about = max(_PART, _PART_FOR_EACH * cluster.concurrent)
    if choices is None or choices.early is None:
        return [(part, None) for part in _parts(trials, about)]
    bases = [trial for trial in trials if trial.spec.is_baseline]
    seen = [*choices.known, *(trial for trial in trials if not trial.spec.is_baseline)]
    return [
        *((part, None) for part in _parts(bases, about)),
        *((part, choices.early) for part in _parts(seen, about)),
    ]


def _proposed(
    search: Suggestions,
    cluster: Cluster,
    resources: Resources,
    choices: Choices,
    follower: Follower,
) -> ProposedTrials:
    """What proposes a search's trials, and makes each ready to run."""
    enough = choices.enough

    def begun(trial: PlannedTrial) -> None:
        if trial.data_digest not in search.plan.data:
            splits = search.planner.data(trial.data_digest)
            freeze_data(trial.folder.sweep, trial.data_digest, splits, trial.spec.model)
        begin(trial, cluster.cpus_per_trial, resources)
        follower.add(trial)

    return ProposedTrials(
        search,
        begun,
        ended=lambda: cluster.stop.asked or enough.reason is not None,
        replays=choices.early is not None,
        again=set(choices.again),
    )


_Part = tuple[Sequence[PlannedTrial] | ProposedTrials, EarlyStopping | None]


def _tuner(  # noqa: PLR0913, PLR0917 - what a Tuner is made of
    trials: Sequence[PlannedTrial] | ProposedTrials,
    cluster: Cluster,
    settings: Mapping[str, Any],
    folder: Path,
    watch: _Watch,
    early: EarlyStopping | None = None,
) -> tune.Tuner:
    """A Tuner of these trials, or of those that a search proposes."""
    space, search, at_most, samples = dict(settings), None, cluster.at_most, 1
    if isinstance(trials, ProposedTrials):
        name, goal = "search", trials.suggestions.goal
        search, samples = trials, -1
    else:
        name, goal = trials[0].key, trials[0].spec.objective
        space["trial"] = tune.grid_search([str(trial.folder.path.resolve()) for trial in trials])
    if early is not None:
        space["metric"] = goal.metric
        # Trials that wait for each other hold no place, and must not count as running.
        at_most = None if early.pauses else at_most
    ahead = {} if early is None or not early.pauses else {_AHEAD: str(early.ahead)}
    os.environ.pop(_AHEAD, None)
    os.environ.update(ahead)
    return tune.Tuner(
        tune.with_resources(TrialRunner, _share(cluster)),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=early,
            num_samples=samples,
            max_concurrent_trials=at_most,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"embft_{trial.trial_id}",
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folder),
            callbacks=[watch],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_LOST_TIMES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def _share(cluster: Cluster) -> dict[str, float]:
    """What Ray sets aside for a trial."""
    share = {"cpu": cluster.counted_cpus, "gpu": cluster.gpus_per_trial}
    return share | ({"memory": cluster.memory_per_trial} if cluster.memory_per_trial else {})


def _let_trials_save(sweep: SweepDir, follower: Follower) -> None:
    """Have running trainings save where they are, and wait until they have, which is a step of a
    large model at most. Who does not want to wait asks a second time.
    """
    if not sweep.ask_to_stop():
        return
    deadline = time.monotonic() + _SAVE_SECONDS
    while running := [f for f in follower.folders() if f.running_file.exists()]:
        if time.monotonic() > deadline and not any(is_held(f.log_file) for f in running):
            break
        time.sleep(_STOP_SECONDS)


def _fit(tuners: Iterable[tune.Tuner], cluster: Cluster, watch: _Watch) -> list[str]:
    """Run the tuners, one after another, until all are done or have to stop. Returns their errors.

    In a thread: an exception that a signal raises inside Ray's compiled parts comes out as another
    one, or not at all. One thread for all of them, since glibc gives each new one another heap.
    """
    results: Future[list[str]] = Future()

    def fit() -> None:
        lost: list[str] = []
        if cluster.log is not None:
            cluster.log.add_this_thread()
        try:
            for tuner in tuners:
                _stop_if_asked(cluster, watch)
                lost += map(str, tuner.fit().errors)
                del tuner  # which has its trials
                gc.collect()  # and these refer to each other
                release_memory()
            _stop_if_asked(cluster, watch)
            results.set_result(lost)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            results.set_exception(error)

    Thread(target=fit, daemon=True).start()
    try:
        with _check_of(cluster) as check:
            while not results.done():
                wait([results], timeout=_STOP_SECONDS)
                _stop_if_asked(cluster, watch)
                watch.look()
                check()
        return results.result()
    except BaseException:
        cluster.stop.asked = True  # so that no tuner begins, and one more Ctrl-C is enough
        raise


@contextlib.contextmanager
def _check_of(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Yields what raises RayDiedError where Ray has ended: Tune would wait for ever. What finished
    is on disk; the same command goes on.
    """
    if cluster.address is None:
        yield partial(_check_ours, cluster)
    else:
        with ClusterWatch(cluster, cluster.address) as watch:
            yield watch.check


def _check_ours(cluster: Cluster) -> None:
    if cluster.ours and not has_child("raylet"):
        raise RayDiedError("Ray ended unexpectedly")


def _stop_if_asked(cluster: Cluster, watch: _Watch) -> None:
    if cluster.stop.asked:
        raise Interrupted
    if watch.error is not None:
        raise watch.error


def _limits(resources: Resources, cluster: Cluster) -> Limits:
    """What each trial may use. Raises EmbftError where that is nothing."""
    if resources.memory is not None:
        ours = overhead(os.getpid()) - warm_memory(os.getpid()) + _WARM_BYTES
        if resources.memory <= ours:
            raise EmbftError(
                f"resources.memory is {resources.memory / 1e9:.2f} GB, but embft and Ray alone "
                f"hold {ours / 1e9:.2f} GB: allow more"
            )
    root = os.getpid() if cluster.ours else None
    return Limits.of(resources, root=root, workers=cluster.concurrent if cluster.ours else 1)
