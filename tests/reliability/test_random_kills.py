"""Random `kill -9` of driver, Ray, actor, warm process, workers and all of them, on real Ray.

No finished trial is lost or started again, the records come out as of an undisturbed sweep, and no
process stays. The starts are counted by an audit hook in the workers (`kill_log.py`).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.helpers.commands import ACTOR, ROOT, relatives, start_cold, wait_for, wait_for_the_end
from tests.helpers.crash_points import records

KILLS = int(os.environ.get("EMBFT_KILLS", "200"))
SPEC = """\
name: many
data: {{train: {pairs}/train.jsonl, dev: {pairs}/dev.jsonl, test: {pairs}/test.jsonl}}
model: {{base: {model}}}
train: {{epochs: 3, batch_size: 8, learning_rate: 1e-2}}
space:
  train.method: [lora, full]
  train.learning_rate: [1e-3, 2e-3, 5e-3, 1e-2]
resources: {{max_failures: 100}}
"""
# A worker that was killed alone leaves an attempt in its trial's record, rightly.
_ATTEMPTS = re.compile(r'"attempts":\[[^]]*\],')
TARGETS = (
    "driver", "ray", "actor", "warm process", "worker", "worker", "worker", "all", "second driver",
)  # fmt: skip


class Home:
    """A working directory in which sweeps run and are killed."""

    def __init__(self, folder: Path, spec: str) -> None:
        self.folder = folder
        (folder / "many.yaml").write_text(spec)
        (folder / "site").mkdir()
        shutil.copy(ROOT / "tests/helpers/kill_log.py", folder / "site" / "sitecustomize.py")

    def start(self) -> subprocess.Popen[str]:
        """The sweep's command, in a process group of its own."""
        path = os.pathsep.join([str(self.folder / "site"), os.environ.get("PYTHONPATH", "")])
        starts = str(self.folder / "starts.txt")
        return start_cold(
            "sweep", "many.yaml", cwd=self.folder, PYTHONPATH=path, EMBFT_STARTS=starts
        )

    def finished(self) -> dict[str, bytes]:
        """The bytes of all records. No trial fails by a kill: it goes on, or is tried again."""
        found = {
            path.parent.name: path.read_bytes()
            for path in self.folder.glob("results/*/trials/*/result.json")
        }
        completed = [name for name, raw in found.items() if b'"status": "completed"' in raw]
        assert completed == list(found), "what was killed has not failed"
        return found

    def starts(self) -> list[tuple[str, bool]]:
        """Each start of a worker: its trial, and whether that was finished already."""
        try:
            lines = (self.folder / "starts.txt").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(line.split()[0], line.endswith("again")) for line in lines]


def victims(home: Home, target: str, driver: int) -> Sequence[psutil.Process]:
    """The processes that this kill is for; none while there is no such process."""
    everyone = relatives(home.folder)
    if target == "all":
        return everyone
    if target == "driver":
        return [process for process in everyone if process.pid == driver]
    return [process for process in everyone if _is(process, target)][:1]


def _is(process: psutil.Process, target: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        if target == "ray":
            return process.name() in {"raylet", "gcs_server"}
        command = " ".join(process.cmdline())
        if target == "actor":
            return bool(re.match(ACTOR, command))
        if "multiprocessing.forkserver" not in command:
            return False
        is_worker = any(
            Path(f"/proc/{process.pid}/fd/{number}").readlink().name == "log.txt"
            for number in (1, 2)
        )
        return is_worker == (target == "worker")
    return False


def run_killed(home: Home, draw: random.Random, counts: Counter[str]) -> None:
    """Start the sweep, kill this and that of it until it has ended, and see what is left."""
    before = home.finished()
    sweep = home.start()
    while sweep.poll() is None:
        _wait_for_a_start(home, sweep)
        time.sleep(draw.random() * 2)
        kill(home, draw.choice(TARGETS), sweep, counts)
    sweep.communicate(timeout=600)
    wait_for_the_end(home.folder, 90)
    after = home.finished()
    assert {name: after.get(name) for name in before} == before


def _wait_for_a_start(home: Home, sweep: subprocess.Popen[str]) -> None:
    """Wait until the next worker starts, or the sweep ends."""
    seen = len(home.starts())
    with contextlib.suppress(AssertionError):
        wait_for(lambda: sweep.poll() is not None or len(home.starts()) > seen, seconds=60)


def kill(home: Home, target: str, sweep: subprocess.Popen[str], counts: Counter[str]) -> None:
    """Kill what there is of this kind; a second driver must be refused while the first lives."""
    if target == "second driver":
        second = home.start()
        second.communicate(timeout=120)
        counts["second drivers"] += sweep.poll() is None and second.returncode == 2
        target = "driver"
    found = victims(home, target, sweep.pid)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    counts[target] += bool(found)
    if target == "ray":  # what is left of Ray ends by itself, or when the driver does
        with contextlib.suppress(subprocess.TimeoutExpired):
            sweep.wait(timeout=90)


def soak(home: Home, wanted: int, seed: int) -> Counter[str]:
    """Kill until so many kills are done; whenever the sweep has finished, begin again."""
    draw, counts = random.Random(seed), Counter[str]()  # noqa: S311 - when to kill whom
    expected: dict[str, str] = {}
    while sum(counts[t] for t in set(TARGETS)) < wanted:
        run_killed(home, draw, counts)
        print(f"kills so far: {dict(counts)}", flush=True)
        if len(home.finished()) == 9:
            counts["sweeps finished"] += 1
            check(home, expected)
            shutil.rmtree(home.folder / "results")
            (home.folder / "starts.txt").unlink()
    sweep = home.start()
    output, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, output
    check(home, expected)
    return counts


def check(home: Home, expected: dict[str, str]) -> None:
    """The records are those of every other sweep, and nothing finished was started again."""
    found = {
        name: _ATTEMPTS.sub("", text) for name, text in records(home.folder / "results").items()
    }
    assert found == (expected or found)
    expected.update(found)
    assert [trial for trial, again in home.starts() if again] == []


@pytest.fixture
def home(tmp_path: Path, tiny_model: Path, pair_files: Path) -> Iterator[Home]:
    made = Home(tmp_path, SPEC.format(model=tiny_model, pairs=pair_files))
    yield made
    for process in relatives(tmp_path):
        process.kill()


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_random_kills(home: Home) -> None:
    """At least 200 kills, at random moments, of random processes; two drivers at once included."""
    counts = soak(home, KILLS, seed=int(os.environ.get("EMBFT_SEED", "0")))
    print(f"\nkills: {dict(counts)}")
