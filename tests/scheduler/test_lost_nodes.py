"""Sweeps on a real Ray cluster of several nodes, of which one after another is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from embft.results.folders import SweepDir, TrialDir
from tests.helpers.commands import embft, records, rows, start_cold, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
_RAY = str(Path(sys.executable).with_name("ray"))
_NODE = ["--object-store-memory=78643200", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]


class Nodes:
    """A Ray cluster on this machine: a head without a core for trials, and nodes with one each."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self._start("--head", f"--port={port}", "--include-dashboard=false", "--num-cpus=0")

    def add(self) -> None:
        """Have one more node join."""
        self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *arguments: str) -> None:
        node = subprocess.Popen(
            [_RAY, "start", "--block", *arguments, *_NODE],
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(self.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started.append(node)
        wait_for(lambda: _below(node.pid, "raylet"))

    def kill(self, name: str, node: int) -> None:
        """`kill -9` of the process of this name of a node; 0 is the head."""
        (process,) = _below(self.started[node].pid, name)
        process.kill()

    def node_of(self, trial: TrialDir) -> int:
        """The node whose actor runs this trial."""
        for number, node in enumerate(self.started):
            for process in _below(node.pid):
                if _has_open(process, trial.log_file):
                    return number
        raise AssertionError("no process has the trial's log")

    def end(self) -> None:
        """End all that is left."""
        for node in self.started:
            for process in _below(node.pid):
                process.kill()
            node.kill()
            node.wait()


def _below(pid: int, name: str | None = None) -> list[psutil.Process]:
    try:
        found = psutil.Process(pid).children(recursive=True)
        return [each for each in found if name is None or each.name() == name]
    except psutil.NoSuchProcess:
        return []


def _has_open(process: psutil.Process, path: Path) -> bool:
    try:
        return any(file.path == str(path) for file in process.open_files())
    except psutil.Error:
        return False


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    cluster = Nodes(tmp_path)
    yield cluster
    cluster.end()


@pytest.fixture
def sweep(nodes: Nodes, tmp_path: Path, tiny_spec: str) -> Iterator[Any]:
    """Begins a sweep of long trials on the cluster; they last until a node has been lost."""
    begun: list[subprocess.Popen[str]] = []

    def begin(epochs: int = 60) -> subprocess.Popen[str]:
        spec = tiny_spec.replace("epochs: 2", f"epochs: {epochs}").replace("[2, 4]", "[2]")
        (tmp_path / "tiny.yaml").write_text(spec.replace("[1e-3, 1e-2]", "[1e-2]"))
        begun.append(start_cold("sweep", "tiny.yaml", "--address", nodes.address, cwd=tmp_path))
        return begun[0]

    yield begin
    for each in begun:
        each.kill()


def _training(folder: Path) -> TrialDir:
    """A trial that has left a checkpoint."""

    def found() -> list[Path]:
        return [path for path in folder.glob("trials/method*/checkpoints/*") if path.is_dir()]

    wait_for(found, seconds=300)
    return TrialDir(found()[0].parent.parent)


def _events(trial: TrialDir) -> list[str]:
    return [event["event"] for event in trial.progress()]


def test_a_trial_whose_node_died_goes_on_on_another(
    nodes: Nodes, sweep: Any, tmp_path: Path
) -> None:
    """In the same command, from its checkpoint; the user sees one line, and Ray's are in a file."""
    nodes.add()
    nodes.add()
    command, folder = sweep(), tmp_path / "results" / "tiny"
    trial = _training(folder)
    lost = nodes.node_of(trial)
    nodes.kill("raylet", lost)
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 0, said
    assert [row["status"] for row in rows(folder).values()] == ["completed"] * 3
    events = _events(trial)
    assert events.count("lost") == 1
    assert "resumed" in events[events.index("lost") :]
    assert said.count("lost with its node or actor, begins again") >= 1
    assert "state-dump" not in said
    assert "raylet" not in said
    assert "raylet" in SweepDir(folder).ray_log_file.read_text()


def test_a_sweep_waits_for_a_node_that_joins(nodes: Nodes, sweep: Any, tmp_path: Path) -> None:
    """Where the only node has died it says so, and goes on once there is another one."""
    nodes.add()
    command, folder = sweep(), tmp_path / "results" / "tiny"
    trial = _training(folder)
    nodes.kill("raylet", nodes.node_of(trial))
    wait_for(lambda: "lost" in _events(trial), seconds=120)
    time.sleep(10)  # in which it notices that there is no node
    assert command.poll() is None
    nodes.add()
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 0, said
    assert said.count("no living node of the Ray cluster") == 1
    assert f"{nodes.address} has 1 cores for a trial: waiting for one to join" in said


def test_a_head_that_died_stops_the_sweep(nodes: Nodes, sweep: Any, tmp_path: Path) -> None:
    """With a message and exit status 130; all is kept, and the same sweep carries on elsewhere."""
    nodes.add()
    command, folder = sweep(400), tmp_path / "results" / "tiny"
    trial = _training(folder)
    before = records(folder)
    nodes.kill("gcs_server", 0)
    said, _ = command.communicate(timeout=300)
    assert command.returncode == 130, said
    assert f"The head of the Ray cluster at {nodes.address} has not answered" in said
    assert "To carry on: embft sweep tiny.yaml" in said
    assert "Traceback" not in said
    assert "rpc_client" not in said
    nodes.end()
    spec = tmp_path / "tiny.yaml"
    spec.write_text(spec.read_text() + "resources: {concurrent_trials: 1}\n")
    assert list(trial.checkpoints_folder.iterdir())
    again = start_cold("sweep", "tiny.yaml", cwd=tmp_path)
    wait_for(lambda: "resumed" in _events(trial), seconds=120)
    again.send_signal(signal.SIGINT)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 130, said
    assert before.items() <= records(folder).items()


def test_a_killed_actor_on_a_cluster_loses_its_trial_for_a_moment(
    nodes: Nodes, sweep: Any, tmp_path: Path
) -> None:
    """The node lives; the trial begins again in another actor."""
    nodes.add()
    command, folder = sweep(), tmp_path / "results" / "tiny"
    trial = _training(folder)
    worker = next(p for p in psutil.process_iter() if _has_open(p, trial.log_file))
    (actor,) = [p for p in worker.parents() if p.name().startswith("ray::")]
    actor.kill()
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 0, said
    assert _events(trial).count("lost") == 1
    embft("sweep", "tiny.yaml", cwd=tmp_path)
