"""Threads of a worker wait awake while the machine is theirs, and give way while others use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from embft.system import waiting
from embft.system.waiting import give_way_to_others, watch

# Between short loops it sleeps: what its processors spend then are threads that wait awake.
COMMAND = """\
import os, time
os.sched_setaffinity(0, range(os.cpu_count()))  # tests beside each other have one
import torch
from embft.system.waiting import hold_threads

torch.set_num_threads(2)

def spent():
    values, before = torch.ones(1 << 16), time.process_time()
    for _ in range(20):
        values.add_(1)
        time.sleep(0.02)
    return time.process_time() - before

spent()
alone = spent()
release = hold_threads()
beside = spent()
release()
print(alone, beside, spent())
"""


@pytest.mark.parametrize(
    ("looks", "held"),
    [
        ([0.0], [True]),
        ([0.0, 0.0], [True, False]),  # the machine is free
        ([0.0, 0.9, 0.0], [True]),
        ([0.0, 0.0, 0.9], [True, False, True]),  # others begin
        ([0.0, 0.0, 0.9, 0.0, 0.9, 0.0, 0.0], [True, False, True, False]),  # and end
        ([0.3, 0.3, 0.3], [True, False]),  # a sweep's own processes
    ],
)
def test_threads_are_held_while_others_use_cores(looks: list[float], held: list[bool]) -> None:
    """From the start on, until others have been quiet for two looks."""
    changes = list[bool]()

    def hold() -> Callable[[], None]:
        changes.append(True)
        return lambda: changes.append(False)

    watch(iter(looks), hold, hold())
    assert changes == held


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch has another OpenMP")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one thread waits for no other")
def test_held_threads_have_the_others_wait_asleep() -> None:
    """And awake again once they are let go."""
    users = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    environment = {name: value for name, value in os.environ.items() if name not in users}
    command = [sys.executable, "-c", COMMAND]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    alone, beside, after = map(float, run.stdout.split())
    assert 3 * beside < min(alone, after)


@pytest.mark.parametrize("users", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "passive"}])
def test_what_the_user_has_said_stays(
    users: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(waiting, "_begin", lambda: pytest.fail("nothing is to be watched"))
    give_way_to_others()
