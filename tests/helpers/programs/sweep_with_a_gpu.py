"""The command on one core, in a Ray that counts one GPU."""

from __future__ import annotations

import os
import sys
from functools import partial

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from embft.cli.main import main
from embft.scheduler import settings

configure = settings.configure


def with_gpu(address: str | None) -> None:
    """Ray's settings, and the GPU."""
    configure(address)
    import ray  # reads its settings when it is imported

    ray.init = partial(ray.init, num_gpus=1)


settings.configure = with_gpu
main(sys.argv[1:])
