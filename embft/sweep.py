"""Pending trials -> Ray Tune -> launcher. The only importer of Ray.

Ray schedules; the truth is in the trial folders. Its own experiment state loses finished trials
when the driver dies, so it is kept in a temporary folder and thrown away: a resumed sweep is
a fresh `Tuner` over the trials without a record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray._private.node import Node

from embft.capacity import Demand, available_cores, gpu_share, trials_at_once
from embft.errors import EXIT_INTERRUPTED, EmbftError
from embft.failure import StorageError
from embft.launch_server import ask_for_trial, launch_server
from embft.launcher import run_trial, warm_up
from embft.lock import has_worker
from embft.memory import available_memory, end_descendants, has_child, is_alive, overhead
from embft.plan import PlannedTrial
from embft.spec.resources import Resources
from embft.trial import TrialDir
from embft.watch import Limits

_ONE = Demand(trials=1, worker=0)
_OBJECT_STORE_BYTES = 78_643_200  # the least that Ray takes; trials pass through files
_SCRATCH = "embft-ray-"
_STOP_SECONDS = 0.2
_SAVE_SECONDS = 20.0  # how long an interrupted sweep waits for trials whose workers it cannot see
_TEMPLATE_BYTES = 500_000_000  # what the warm template adds to Ray's own share


class Interrupted(Exception):  # noqa: N818 - it is no error, someone asked for it
    """Someone asked the sweep to stop (Ctrl-C or SIGTERM)."""


class RayDiedError(Exception):
    """Ray's own processes are gone."""


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster that a sweep runs on. cpus_per_trial: cores that each trial may use.
    concurrent: trials at once. gpus_per_trial: 0 where they run on the CPU.

    stop: set once someone has asked the sweep to stop. scratch: where Ray keeps its own state; None
    on a cluster that stood already, whose nodes share nothing but the results folder.
    """

    cpus_per_trial: int
    concurrent: int
    gpus_per_trial: float
    stop: Event
    scratch: Path | None

    @property
    def ours(self) -> bool:
        """Whether this process has started it."""
        return self.scratch is not None


class TrialRunner(tune.Trainable):
    """Runs one trial after another in one Ray actor, or has the sweep's own process run them."""

    def setup(self, config: dict[str, Any]) -> None:
        """Called once for each actor."""
        self.given = config
        if config["server"] is None:
            warm_up()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial, for the same actor."""
        self.given = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Run the whole trial."""
        folder, server = TrialDir(Path(self.given["trial"])), self.given["server"]
        try:
            if server is not None:
                status = ask_for_trial(server, folder)
            else:
                status = run_trial(folder, Limits(**self.given["limits"]))
        except StorageError as error:
            return {"storage": [error.reason, str(error)], "done": True}
        return {"status": status, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the trial's folder is the record. Ray calls this at the end of a trial."""


class _Watch(tune.Callback):
    """Notes when a trial ended because the results folder takes no more, and keeps Tune small."""

    def __init__(self) -> None:
        self.error: StorageError | None = None

    def on_trial_result(self, *_: Any, **told: Any) -> None:
        """Ray calls this with what `TrialRunner.step` has returned."""
        if "storage" in told["result"]:
            self.error = StorageError(*told["result"]["storage"])

    def on_trial_complete(self, *_: Any, **told: Any) -> None:
        """Of every figure of every trial Tune keeps the last 5 and 10, and nobody asks for them."""
        getattr(told["trial"].run_metadata, "metric_n_steps", {}).clear()


@contextlib.contextmanager
def ray_cluster(
    resources: Resources, demand: Demand = _ONE, address: str | None = None
) -> Iterator[Cluster]:
    """A Ray of our own, or a connection to one that stands. No process is left behind.

    demand: of the trials that are to run.
    """
    temporary = _scratch() if address is None else None
    stop = Event()
    with stop_on_signals(stop):
        try:
            cluster = _connect(resources, demand, address, temporary, stop)
            with stop_on_signals(stop):  # again, since connecting sets handlers of Ray's own
                yield cluster
        except (Interrupted, RayDiedError, StorageError):
            # Not Ray's own shutdown: the signal that reached us may have ended half of its
            # processes, and it would wait a minute for them.
            end_descendants()
            raise
        except BaseException:
            ray.shutdown()
            raise
        else:
            ray.shutdown()
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)


def _scratch() -> str:
    """A folder for Ray's own state. Removes those of sweeps that were killed.

    In /tmp where that can be: Ray's sockets lie in it, whose paths may have 103 bytes on macOS.
    """
    short = Path("/tmp")  # noqa: S108 - the folder's own name is made by mkdtemp
    place = short if os.access(short, os.W_OK) else Path(tempfile.gettempdir())
    for left in place.glob(f"{_SCRATCH}*"):
        owner = left.name.removeprefix(_SCRATCH).partition("-")[0]
        if owner.isdecimal() and not is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=place)


def _connect(
    resources: Resources, demand: Demand, address: str | None, temporary: str | None, stop: Event
) -> Cluster:
    asked = resources.concurrent_trials
    if temporary is not None:
        cores = available_cores()
        _leave_out_monitors()
        ray.init(
            address="local",  # not the one that RAY_ADDRESS, or an earlier `ray start`, names
            num_cpus=cores if asked == "auto" else max(cores, asked),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=temporary,
            _node_ip_address="127.0.0.1",
        )
        memory = min(resources.memory or sys.maxsize, available_memory())
        return _shared_out(resources, cores, cores, memory, demand, stop, Path(temporary))
    _check_reachable(str(address))
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EmbftError(f"--address {address}: cannot reach this Ray cluster ({reason})") from None
    cores = int(max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"]))
    total = int(ray.cluster_resources().get("CPU", 1))
    memory = int(ray.cluster_resources().get("memory", sys.maxsize))
    return _shared_out(resources, cores, total, memory, demand, stop, None)


def _leave_out_monitors() -> None:
    """Have a Ray of our own run without autoscaler, log monitor and API server.

    Nothing here asks them, and they take 150 MB and seconds of every start
    (docs/decisions/0010-a-lean-ray.md). Ray has no setting for it, so its class is changed; one
    that starts them otherwise runs with them.
    """
    for name in ("start_monitor", "start_log_monitor", "start_api_server"):
        if hasattr(Node, name):
            setattr(Node, name, lambda self, **_: None)  # noqa: ARG005 - as they are called


def _shared_out(  # noqa: PLR0913, PLR0917 - what there is to share
    resources: Resources,
    cores: int,
    total: int,
    memory: int,
    demand: Demand,
    stop: Event,
    scratch: Path | None,
) -> Cluster:
    """What each trial gets. cores: of the largest node, in which a trial must fit."""
    gpus = 0.0 if resources.device in {"cpu", "mps"} else ray.cluster_resources().get("GPU", 0.0)
    asked = resources.concurrent_trials
    concurrent = trials_at_once(demand, total, memory, gpus) if asked == "auto" else asked
    share = gpu_share(resources.device, resources.gpus_per_trial, gpus, concurrent)
    return Cluster(max(1, min(cores, total // concurrent)), concurrent, share, stop, scratch)


def _check_reachable(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host or "127.0.0.1", int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise EmbftError(
            f"--address {address}: no Ray cluster answers there ({error}); "
            "give HOST:PORT of its head"
        ) from None


def run_trials(trials: Sequence[PlannedTrial], cluster: Cluster, resources: Resources) -> list[str]:
    """Run the trials to their records; what they came to is on disk.

    Returns what went wrong outside the trials themselves (a node that was lost, say); such a trial
    has no record and runs again with the next sweep. Raises Interrupted, RayDiedError when a Ray of
    our own has ended, and StorageError when the results folder takes no more.
    """
    if not trials:
        return []
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    folder = (cluster.scratch or trials[0].folder.sweep.resolve()) / ".tune"
    watch, limits = _Watch(), _limits(resources, cluster)
    try:
        with _launching(cluster, limits) as server:
            told = {"limits": dataclasses.asdict(limits), "server": server}
            return _fit(_tuner(trials, cluster, told, folder, watch), cluster, watch)
    except (Interrupted, RayDiedError, StorageError):
        _let_trials_save(trials)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _launching(cluster: Cluster, limits: Limits) -> Iterator[str | None]:
    """Where this process runs the trials. None where an actor does, from a template of its own: on
    other machines, and on GPUs, since Ray tells each actor which of them it may use.
    """
    if cluster.scratch is None or cluster.gpus_per_trial > 0:
        yield None
    else:
        warm_up()
        with launch_server(cluster.scratch, limits) as address:
            yield address


def _tuner(
    trials: Sequence[PlannedTrial], cluster: Cluster, told: Any, folder: Path, watch: _Watch
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(
            TrialRunner, {"cpu": cluster.cpus_per_trial, "gpu": cluster.gpus_per_trial}
        ),
        param_space={
            "trial": tune.grid_search([str(trial.folder.path.resolve()) for trial in trials]),
            **told,
        },
        tune_config=tune.TuneConfig(
            max_concurrent_trials=cluster.concurrent,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"embft_{trial.trial_id}",
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            callbacks=[watch],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def _let_trials_save(trials: Sequence[PlannedTrial]) -> None:
    """Have running trainings save where they are, and wait until they have, which is a step of a
    large model at most. Who does not want to wait asks a second time.
    """
    trials[0].folder.stop_file.touch()
    deadline = time.monotonic() + _SAVE_SECONDS
    while running := [t.folder for t in trials if t.folder.running_file.exists()]:
        if time.monotonic() > deadline and not any(has_worker(f.log_file) for f in running):
            break
        time.sleep(_STOP_SECONDS)


def _fit(tuner: tune.Tuner, cluster: Cluster, watch: _Watch) -> list[str]:
    """Run the tuner until it is done or has to stop. Returns its errors.

    In a thread of its own: an exception that a signal raises inside Ray's compiled parts comes out
    as another one, or not at all.
    """
    results: Future[tune.ResultGrid] = Future()

    def fit() -> None:
        try:
            results.set_result(tuner.fit())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            results.set_exception(error)

    Thread(target=fit, daemon=True).start()
    while not results.done():
        if cluster.stop.wait(_STOP_SECONDS):
            raise Interrupted
        if watch.error is not None:
            raise watch.error
        if cluster.ours and not has_child("raylet"):
            # Tune would wait for ever. What finished is on disk; the same command goes on.
            raise RayDiedError("Ray ended unexpectedly")
    return [str(error) for error in results.result().errors]


def _limits(resources: Resources, cluster: Cluster) -> Limits:
    """What each trial may use. Raises EmbftError where that is nothing."""
    if resources.memory is not None:
        ours = overhead(os.getpid()) + _TEMPLATE_BYTES
        if resources.memory <= ours:
            raise EmbftError(
                f"resources.memory is {resources.memory / 1e9:.2f} GB, but embft and Ray alone "
                f"hold {ours / 1e9:.2f} GB: allow more"
            )
    return Limits(
        memory=resources.memory,
        root=os.getpid() if cluster.ours else None,
        workers=cluster.concurrent if cluster.ours else 1,
        timeout=resources.timeout,
        heartbeat=resources.heartbeat,
        halve_batch=resources.on_oom == "halve_batch",
        max_failures=resources.max_failures,
    )


@contextlib.contextmanager
def stop_on_signals(stop: Event) -> Iterator[None]:
    """Set `stop` on Ctrl-C and SIGTERM; the second one ends everything at once."""

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if stop.is_set():
            end_descendants()
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
