"""The one way to the compiled loops. Where they cannot be had, training computes without them.

They need numba, llvmlite, and insides of both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from embft.system.speedups import speedup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embft.training.kernels.fuse import Fused


class Kernels(NamedTuple):
    """What the compiled loops do: `fuse` of `fuse.py`, `step` of `adamw.py`, and for dropout's
    random words what `embft.training.dropout_bits` says.
    """

    fuse: Callable[[SentenceTransformer, np.random.Generator], Fused | None]
    adamw_step: Callable[..., None]
    fill: Callable[[npt.NDArray[np.uint64], npt.NDArray[np.uint64], int], None]


@cache
def kernels() -> Kernels | None:
    """The compiled loops, compiled now where this machine has not kept them; None without them."""
    return speedup("compiled loops", _load)


def _load() -> Kernels:
    from embft.training.kernels import adamw, fuse, random_bits

    return Kernels(fuse.fuse, adamw.step, random_bits.fill)
