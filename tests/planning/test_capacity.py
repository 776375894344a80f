"""How many trials at once, and on which device: the arithmetic, without the devices."""

from __future__ import annotations

import os

import pytest

from embft.errors import EmbftError
from embft.planning.capacity import CORES_EACH, Demand, gpu_share, trials_at_once
from embft.system.machine import available_cores, resolve_device
from tests.helpers.commands import program

GB = 10**9


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_a_process_has_the_cores_that_it_may_use() -> None:
    """A process that is held to one core of a machine counts one."""
    assert program("cores").strip() == "1"


def test_where_nothing_is_pinned_every_core_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems without affinity have no other number to give."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_a_trial_for_each_core() -> None:
    """Two trials with a core each are faster than one after another with two."""
    assert trials_at_once(Demand(trials=10, worker=2 * GB), 2, 64 * GB) == 2


@pytest.mark.parametrize(("memory", "expected"), [(64, 4), (7, 3), (2, 1)])
def test_cores_and_memory_both_limit_auto(memory: int, expected: int) -> None:
    """As many trials as cores feed, fewer where memory has no room for them, never none."""
    demand = Demand(trials=10, worker=2 * GB)
    assert trials_at_once(demand, 4 * CORES_EACH, memory * GB) == expected


def test_a_large_model_runs_alone() -> None:
    """What the workers hold is known from the base model's files, or from a measurement."""
    assert trials_at_once(Demand(trials=10, worker=40 * GB), 16, 64 * GB) == 1


def test_auto_is_no_more_than_there_are_trials() -> None:
    """Two trials on a large machine share all of its cores."""
    assert trials_at_once(Demand(trials=2, worker=2 * GB), 64, 256 * GB) == 2


@pytest.mark.parametrize(("asked", "expected"), [(None, 2), (0.25, 8), (1.5, 1), (4, 1)])
def test_gpus_decide_where_there_are_some(asked: float | None, expected: int) -> None:
    """A trial for each GPU, or for each share of one that the spec asks for, however many cores."""
    demand = Demand(trials=10, worker=2 * GB, gpus=asked)
    assert trials_at_once(demand, 64, 256 * GB, gpus=2) == expected


@pytest.mark.parametrize(
    ("device", "asked", "gpus", "concurrent", "share"),
    [
        ("auto", None, 0, 1, 0),
        ("auto", None, 1, 1, 1),
        ("auto", None, 1, 4, 0.25),
        ("cuda", 0.5, 1, 1, 0.5),
        ("auto", None, 8, 2, 1),
        ("cpu", None, 4, 2, 0),
    ],
)
def test_a_trials_share_of_the_gpus(
    device: str, asked: float | None, gpus: float, concurrent: int, share: float
) -> None:
    """What was asked for, else an even share and one at most; none on the CPU."""
    assert gpu_share(device, asked, gpus, concurrent) == share  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_refused() -> None:
    """Asked for and missing, it is an error that says what to set."""
    with pytest.raises(EmbftError, match=r"set resources\.device to cpu"):
        gpu_share("cuda", None, 0, 1)
    with pytest.raises(EmbftError, match="there are 1 GPUs"):
        gpu_share("auto", 2, 1, 1)
    with pytest.raises(EmbftError, match="use one of auto, cpu, mps"):
        resolve_device("cuda", cuda=False, mps=True)


def test_auto_takes_cuda_and_else_the_cpu() -> None:
    """Mps is taken only when it is asked for."""
    assert resolve_device("auto", cuda=True, mps=False) == "cuda"
    assert resolve_device("auto", cuda=False, mps=True) == "cpu"
    assert resolve_device("mps", cuda=False, mps=True) == "mps"
