"""The Ray cluster that a sweep runs on: a Ray of its own, or one that stands already.

Covers its start and its end, Ctrl-C included, and what each trial gets of it. What runs there is in
`sweep.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import math
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import ray

from embft.errors import EmbftError
from embft.execution.warm_process import warm_memory
from embft.planning.capacity import Demand, gpu_share, trials_at_once
from embft.scheduler.interruption import (
    Interrupted,
    RayDiedError,
    Stop,
    handlers_kept,
    stop_on_signals,
)
from embft.scheduler.kept_ray import KeptRay
from embft.scheduler.ray_log import RayLog
from embft.spec.resources import Resources
from embft.storage.errors import StorageError
from embft.system.machine import available_cores, available_memory
from embft.system.processes import end_descendants, is_alive
from embft.system.speedups import go_without, speedup

_ONE = Demand(trials=1, worker=0)
_OBJECT_STORE_BYTES = 78_643_200  # the least that Ray takes; trials pass through files
_STARTS = 3  # tries to start a Ray of our own
_LOOK_EVERY, _LOOK_FOR = 0.02, 10.0  # seconds, at a node that starts
_SCRATCH = "embft-ray-"
_PARTS_OF_A_CORE = 10_000  # that Ray can count


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster that a sweep runs on. cpus_per_trial: cores that each trial may use.
    concurrent: trials at once. gpus_per_trial: 0 where they run on the CPU.
    counted_cpus: what Ray counts of each trial's cores, less than 1 where GPUs have more trials
    than there are cores. memory_per_trial: bytes that Ray sets aside for each, 0 where it does not
    count them. at_most: the number of trials at once that was asked for, None where nodes that join
    may run more.

    stop: whether someone has asked the sweep to stop. scratch: where Ray keeps its own state; None
    on a cluster that stood already, at `address`, whose nodes share nothing but the results folder.
    """

    cpus_per_trial: int
    counted_cpus: float
    concurrent: int
    gpus_per_trial: float
    stop: Stop
    scratch: Path | None
    memory_per_trial: int = 0
    at_most: int | None = None
    address: str | None = None
    log: RayLog | None = None

    @property
    def ours(self) -> bool:
        """Whether this process has started it."""
        return self.scratch is not None


@contextlib.contextmanager
def ray_cluster(  # noqa: PLR0913 - what a cluster is made of
    resources: Resources,
    demand: Demand = _ONE,
    address: str | None = None,
    log: RayLog | None = None,
    *,
    kept: KeptRay | None = None,
    stop: Stop | None = None,
) -> Iterator[Cluster]:
    """A Ray of our own, or a connection to one that stands. No process is left behind.

    demand: of the trials that are to run. log: where what Ray says goes. kept: the Ray that is used
    where it runs, and stays for the next sweep. stop: notes that someone has asked the sweep to
    stop.
    """
    temporary = None
    if address is None:
        temporary = (kept.scratch if kept else None) or _scratch()
        if kept is not None:
            kept.scratch = temporary
    stop, stays = stop or Stop(), False
    with stop_on_signals(stop):
        try:
            said = log.threads_started_here() if log else contextlib.nullcontext()
            with said, handlers_kept():
                cluster = _connect(resources, demand, address, temporary, stop)
            cluster = dataclasses.replace(cluster, address=address, log=log)
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
            stays = kept is not None
            if not stays:
                ray.shutdown()
        finally:
            if temporary is not None and not stays:
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
    resources: Resources, demand: Demand, address: str | None, temporary: str | None, stop: Stop
) -> Cluster:
    asked = resources.concurrent_trials
    if temporary is not None:
        cores = available_cores()
        speedup("a lean Ray", _leave_out_monitors)
        speedup("a Ray that hears no signals", _start_apart)
        speedup("a Ray that is there as soon as it can be", _look_often)
        if not ray.is_initialized():
            _start_own(cores if asked == "auto" else max(cores, asked), temporary)
        memory = min(resources.memory or sys.maxsize, _free_memory())
        return _shared_out(resources, cores, cores, memory, demand, stop, Path(temporary))
    _check_reachable(str(address))
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EmbftError(f"--address {address}: cannot reach this Ray cluster ({reason})") from None
    cores = int(max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"]))
    total = int(ray.cluster_resources().get("CPU", 1))
    memory = int(ray.cluster_resources().get("memory", sys.maxsize))
    shared = _shared_out(resources, cores, total, memory, demand, stop, None)
    if asked == "auto":
        return dataclasses.replace(shared, memory_per_trial=_memory_share(demand), at_most=None)
    return shared


def _memory_share(demand: Demand) -> int:
    """Bytes of a node that a trial takes: what it needs, as far as the largest node has that."""
    return min(
        demand.worker,
        int(max(n["Resources"].get("memory", 0) for n in ray.nodes() if n["Alive"])),
    )


def _start_own(cores: int, folder: str) -> None:
    """Start a Ray of our own, whose state lies in the folder, for this machine alone, as far as
    Ray takes settings for that, which it does not document.
    """
    settings: dict[str, Any] = {
        "address": "local",  # not the one that RAY_ADDRESS, or an earlier `ray start`, names
        "num_cpus": cores,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    ours: dict[str, Any] = {"_temp_dir": folder, "_node_ip_address": "127.0.0.1"}
    try:
        _init({**settings, **ours})
    except RuntimeError as error:
        if "keyword" not in str(error):
            raise
        go_without("a folder of its own for Ray's state", str(error))
        _init(settings)


def _init(settings: Mapping[str, Any]) -> None:
    """Start Ray; again where it had no time to, since it waits for half a minute and no longer.

    Raises EmbftError where a busy machine leaves it none.
    """
    for _ in range(_STARTS):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            if "timed out during startup" not in str(error):  # Ray raises no class of its own
                raise
            ray.shutdown()
    raise EmbftError(
        f"Ray did not start within half a minute, {_STARTS} times in a row: other programs leave "
        "this machine no time for it. End some of them; the same command then carries on"
    )


def _free_memory() -> int:
    """Bytes that are free, those of the warm process counted in however much of it has loaded:
    `trials_at_once` accounts for the whole of it.
    """
    return available_memory() + warm_memory(os.getpid())


def _leave_out_monitors() -> None:
    """Have a Ray of our own run without autoscaler, log monitor and API server.

    Nothing here asks them, and they take 150 MB and seconds of every start
    (docs/decisions/0010-a-lean-ray.md). Ray has no setting for it, so its class is changed. Raises
    AttributeError where the class has no such methods; then they run.
    """
    from ray._private.node import Node

    names = ("start_monitor", "start_log_monitor", "start_api_server")
    for name in filter(partial(hasattr, Node), names):
        setattr(Node, name, lambda self, **_: None)  # noqa: ARG005 - as they are called
    if gone := [name for name in names if not hasattr(Node, name)]:
        raise AttributeError(f"Ray's Node has no {', '.join(gone)}")


@cache
def _start_apart() -> None:
    """Have a Ray of our own run in sessions of its own, which the SIGTERM that `timeout` gives to
    every process of a sweep does not reach: it ended a Ray that was starting, for which this
    process then waited half a minute.

    Only where the kernel ends Ray's processes with this one: elsewhere Ray finds them by their
    group. Raises AttributeError where Ray starts them in another way.
    """
    services: Any = importlib.import_module("ray._private.services")
    utils: Any = importlib.import_module("ray._private.utils")
    if utils.detect_fate_sharing_support():
        services.ConsolePopen = partial(services.ConsolePopen, start_new_session=True)


@cache
def _look_often() -> None:
    """Have Ray look for its own node every few milliseconds while it starts. Where it does not find
    it at once, it sleeps for a second, and it hardly ever does.

    Raises AttributeError where Ray looks for it in another way.
    """
    services: Any = importlib.import_module("ray._private.services")
    state: Any = importlib.import_module("ray._private.state").GlobalState
    find: Any = services.get_node
    options, look = services._get_gcs_client_options, state.node_table

    def get_node(gcs_address: str, node_id: str) -> Any:
        with contextlib.suppress(Exception):  # Ray's own way says what is wrong
            known = state()
            known._initialize_global_state(options(gcs_address))
            end = time.monotonic() + _LOOK_FOR
            while time.monotonic() < end and all(n["NodeID"] != node_id for n in look(known)):
                time.sleep(_LOOK_EVERY)
        return find(gcs_address, node_id)

    services.get_node = get_node


def _shared_out(  # noqa: PLR0913, PLR0917 - what there is to share
    resources: Resources,
    cores: int,
    total: int,
    memory: int,
    demand: Demand,
    stop: Stop,
    scratch: Path | None,
) -> Cluster:
    """What each trial gets. cores: of the largest node, in which a trial must fit."""
    gpus = 0.0 if resources.device in {"cpu", "mps"} else ray.cluster_resources().get("GPU", 0.0)
    asked = resources.concurrent_trials
    concurrent = trials_at_once(demand, total, memory, gpus) if asked == "auto" else asked
    share = gpu_share(resources.device, resources.gpus_per_trial, gpus, concurrent)
    cpus = max(1, min(cores, total // concurrent))
    counted = min(cpus, math.floor(_PARTS_OF_A_CORE * total / concurrent) / _PARTS_OF_A_CORE)
    return Cluster(cpus, counted, concurrent, share, stop, scratch, at_most=concurrent)


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
