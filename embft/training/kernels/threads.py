"""One compiled loop on several cores at once, by the threads that torch's products run on.

Those threads keep a core busy for some milliseconds while they wait for work, so threads of our own
would have to share it with them.
"""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import torch

from embft.system.speedups import speedup


def together(loop: Any, *arguments: Any) -> None:
    """Every share of a compiled loop (`loops.py`), at once, as many as torch has threads."""
    shares = torch.get_num_threads()
    if shares == 1:
        loop(0, 1, 1, 0, *arguments)
    elif openmp := _openmp():
        loop(0, shares, shares, openmp, *arguments)
    else:
        others = [
            _pool().submit(partial(loop, i, i + 1, shares, 0, *arguments)) for i in range(1, shares)
        ]
        loop(0, 1, shares, 0, *arguments)
        for each in others:
            each.result()


@cache
def _openmp() -> int:
    """The address of what begins a parallel part in torch's OpenMP; 0 where there is none.

    torch loads its OpenMP for everyone to find; GNU's and LLVM's both have this function.
    """
    if sys.platform == "win32":
        return 0
    return speedup("torch's threads in compiled loops", _address) or 0


def _address() -> int:
    found = ctypes.CDLL(None).GOMP_parallel
    return ctypes.cast(found, ctypes.c_void_p).value or 0


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="embft-kernels")
