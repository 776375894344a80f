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

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def together(loop: Any, *arguments: Any) -> None:
    """Every thread's share of a loop, at once, in as many shares as torch has threads.

    loop: is called with the arguments, the number of a share, and the number of shares.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        loop(*arguments, 0, 1)
    elif _openmp() is None:
        shares = [_pool().submit(partial(loop, *arguments, i, threads)) for i in range(1, threads)]
        loop(*arguments, 0, threads)
        for each in shares:
            each.result()
    else:
        _by_openmp(loop, arguments, threads)


def _by_openmp(loop: Any, arguments: tuple[Any, ...], shares: int) -> None:
    openmp, failed = _openmp(), list[Exception]()

    def work(_: Any) -> None:
        try:  # there may be fewer threads than were asked for
            for i in range(openmp.omp_get_thread_num(), shares, openmp.omp_get_num_threads()):
                loop(*arguments, i, shares)
        except Exception as error:  # noqa: BLE001 - it would vanish in the thread
            failed.append(error)

    openmp.GOMP_parallel(_CALLBACK(work), None, shares, 0)
    if failed:
        raise failed[0]


@cache
def _openmp() -> Any:
    """The OpenMP of torch, which loads it for everyone to find; None where it does not."""
    if sys.platform == "win32":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "GOMP_parallel") else None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="embft-fused")
