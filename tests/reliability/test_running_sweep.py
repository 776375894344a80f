"""A running sweep as others see it: the tests of this file share it, and the last one ends it."""

from __future__ import annotations

import ipaddress
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from embft.results.folders import TrialDir
from embft.results.records import Failed
from tests.conftest import tiny_text
from tests.helpers.commands import (
    LONG,
    Started,
    embft,
    relatives,
    start,
    wait_for,
    wait_for_the_end,
)

pytestmark = pytest.mark.slow
TRAINING = "results/tiny/trials/method*/progress.jsonl"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it runs."""
    return tmp_path_factory.mktemp("running")


@pytest.fixture(scope="module")
def running(home: Path, tiny_model: Path, pair_files: Path) -> Iterator[Started]:
    """The sweep, which lasts until somebody ends it. Its first trial trains."""
    (home / "tiny.yaml").write_text(tiny_text(tiny_model, pair_files).replace(*LONG))
    sweep = start("sweep", "tiny.yaml", cwd=home)
    wait_for(lambda: list(home.glob(TRAINING)))
    yield sweep
    if sweep.poll() is None:
        sweep.terminate()
        sweep.communicate(timeout=60)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address; 127.0.0.1 may be written as one of IPv6."""
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def test_ray_listens_on_this_machine_only(running: Started) -> None:
    """None of the sweep's processes listens on an address that others can reach."""
    tree = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    listening = [
        (process.name(), connection.laddr.ip)
        for process in tree
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN or not connection.raddr
    ]
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    assert [each for each in listening if not is_loopback(each[1])] == []


def test_a_second_sweep_is_refused(running: Started, home: Path) -> None:
    """The other command says which process holds the folder."""
    second = embft("sweep", "tiny.yaml", cwd=home, check=2)
    assert f"process {running.pid} is running this sweep" in second.stderr


def test_a_killed_worker_is_a_failed_trial(running: Started, home: Path) -> None:
    """The trial whose worker is killed fails with its reason; the sweep goes on."""
    (trial,) = (TrialDir(path.parent) for path in home.glob(TRAINING))
    (worker,) = [p for p in relatives(home) if _writes(p, trial.log_file)]
    worker.kill()
    wait_for(trial.result_file.exists)
    result = trial.result()
    assert isinstance(result, Failed)
    assert result.reason == "killed"
    wait_for(lambda: len(list(home.glob(TRAINING))) == 2)
    assert running.poll() is None


def test_a_second_ctrl_c_ends_at_once(running: Started, home: Path) -> None:
    """Within seconds, with exit 130 and no process left, whatever the first one waits for."""
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == 130
    wait_for_the_end(home, 15)


def _writes(process: psutil.Process, log: Path) -> bool:
    try:
        return (Path(f"/proc/{process.pid}/fd/1")).resolve() == log.resolve()
    except OSError:
        return False
