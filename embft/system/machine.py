"""The cores, the memory and the device that there are to compute on. Asks neither Ray nor torch."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

from embft.errors import EmbftError

Device = Literal["auto", "cpu", "cuda", "mps"]
MULTIPLIES_BF16 = frozenset({"avx512bf16", "amxtile", "bf16", "svebf16"})
"""Instructions for products in bfloat16, of Intel, AMD and Arm; without underscores."""


def available_cores() -> int:
    """The cores that the system lets this process use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def processor_features() -> frozenset[str]:
    """The instructions of the processor under Linux's names, `avx512f` and the like; none where
    the system does not say.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(named, "").split())


def available_memory() -> int:
    """Bytes that new processes may take without driving others out."""
    return int(psutil.virtual_memory().available)


def resolve_device(asked: Device, *, cuda: bool, mps: bool) -> str:
    """`auto` is cuda where torch can use it, else cpu: mps is taken when it is asked for alone.

    Raises EmbftError where what was asked for is not there.
    """
    there = {"cpu": True, "cuda": cuda, "mps": mps}
    if asked == "auto":
        return "cuda" if cuda else "cpu"
    if not there[asked]:
        usable = ", ".join(name for name, usable in there.items() if usable)
        raise EmbftError(
            f"resources.device is {asked}, which torch cannot use here: use one of auto, {usable}"
        )
    return asked
