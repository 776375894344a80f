"""Whether a cluster that stood already still answers, and has a node on which a trial can run."""

from __future__ import annotations

import logging
import socket
import threading
import time
from types import TracebackType

import ray

from embft.scheduler.cluster import Cluster
from embft.scheduler.interruption import RayDiedError

_LOOK_SECONDS = 2.0
_HEAD_SECONDS = 30.0  # a head may be started again
_NODE_SECONDS = 600.0  # and so may a node

_log = logging.getLogger("embft")


class ClusterWatch:
    """Looks after a cluster at an address while it is open."""

    def __init__(self, cluster: Cluster, address: str) -> None:
        self.cluster, self.address = cluster, address
        self.asked = self.answered = self.fitted = time.monotonic()
        self.closed = threading.Event()
        # In a thread of its own: where the head has gone, asking for the nodes may take minutes.
        self.thread = threading.Thread(target=self._look_for_nodes, daemon=True)

    def __enter__(self) -> ClusterWatch:
        self.thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.closed.set()

    def check(self) -> None:
        """Raise RayDiedError where too long the head has not answered, or no trial could run."""
        now = time.monotonic()
        if now - self.asked < _LOOK_SECONDS:
            return
        self.asked = now
        if _answers(self.address):
            self.answered = now
        if now - self.answered > _HEAD_SECONDS:
            raise RayDiedError(
                f"The head of the Ray cluster at {self.address} has not answered for "
                f"{_HEAD_SECONDS:.0f} s"
            )
        if now - self.fitted > _NODE_SECONDS:
            raise RayDiedError(f"For {_NODE_SECONDS / 60:.0f} minutes {self._no_node()}")

    def _look_for_nodes(self) -> None:
        reported = False
        while not self.closed.wait(_LOOK_SECONDS):
            if self._some_node_fits():
                self.fitted, reported = time.monotonic(), False
            elif not reported:
                reported = True
                _log.warning("%s: waiting for one to join", self._no_node())

    def _no_node(self) -> str:
        gpus = self.cluster.gpus_per_trial
        needs = f"{self.cluster.counted_cpus:g} cores" + (f" and {gpus:g} GPUs" if gpus else "")
        return f"no living node of the Ray cluster at {self.address} has {needs} for a trial"

    def _some_node_fits(self) -> bool:
        wanted = {"CPU": self.cluster.counted_cpus, "GPU": self.cluster.gpus_per_trial}
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return any(all(has.get(k, 0.0) >= v for k, v in wanted.items()) for has in there)


def _answers(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host or "127.0.0.1", int(port)), timeout=1).close()
    except OSError:
        return False
    return True
