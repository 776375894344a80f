"""A Ray that several sweeps share, one after another. Does not import Ray, which takes a second."""

from __future__ import annotations

import shutil
import sys
import threading


class KeptRay:
    """Ends a Ray of our own at the end of the block, if one has begun.

    scratch: where it keeps its state. threads: its own, in this process.
    """

    def __init__(self) -> None:
        self.scratch: str | None = None
        self.threads: set[threading.Thread] = set()

    def __enter__(self) -> KeptRay:
        return self

    def __exit__(self, *_: object) -> None:
        if "ray" in sys.modules:
            import ray

            if ray.is_initialized():
                ray.shutdown()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)
