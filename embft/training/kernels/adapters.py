"""Compiled low-rank adapters (Hu et al., 2021): what they add to a linear layer, and
their gradients.

Their products are too thin for a library: each would read whole activations for a few numbers a
row. Here some rows at a time are dropped out, multiplied down and up, and added. Shapes: x
(n, width), result (n, out); down (width, rank) and up (rank, out). Width, out and rank are whole
blocks of 8; where the adapter's own rank is smaller, the rest is zeros. Dropout as in `rows.py`.
Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64

from embft.training.kernels.loops import compiled, part
from embft.training.kernels.vectors import (
    BITS,
    FLOATS,
    ROWS,
    F,
    gather,
    narrow,
    product,
    transposed_product,
    wide,
)

_CHUNK = 32  # rows at a time: with all that belongs to them they stay in a core's own cache


@part
def _dropped(x: Any, bits: Any, least: int, keep: float, to: Any) -> None:
    """Rows of x after dropout, as float32; below them 0."""
    for i in range(x.shape[0]):
        row, drawn, its = x[i], bits[i], to[i]
        for j in range(row.size):
            its[j] = wide(row[j]) * keep if drawn[j] >= least else F(0.0)
    to[x.shape[0] :] = F(0.0)


@compiled(ROWS, None, BITS, int64, float32, FLOATS, FLOATS, float32, FLOATS, None)
def adapt(  # noqa: PLR0913, PLR0917 - what an adapter is made of
    x: Any, bits: Any, least: int, keep: float, down: Any, up: Any, scale: float, low: Any,
    result: Any, thread: int, threads: int,
) -> None:  # fmt: skip
    """Add to result what the adapter makes of x. low, shape (n, rank), is for the backward pass."""
    n, out = result.shape
    given = np.empty((_CHUNK, x.shape[1]), np.float32)
    few = np.empty((_CHUNK, low.shape[1]), np.float32)
    many = np.empty((_CHUNK, out), np.float32)
    for start in range(thread * _CHUNK, n, threads * _CHUNK):
        end = min(start + _CHUNK, n)
        _dropped(x[start:end], bits[start:end], least, keep, given)
        product(given, down, few, given.shape[1])
        low[start:end] = few[: end - start]
        product(few, up, many, few.shape[1])
        for i in range(end - start):
            to, added = result[start + i], many[i]
            for j in range(out):
                to[j] = narrow(to, wide(to[j]) + added[j] * scale)


@compiled(
    ROWS, None, None, BITS, int64, float32, FLOATS, FLOATS, float32, FLOATS, None,
    float32[:, :, ::1], float32[:, :, ::1],
)  # fmt: skip
def adapt_back(  # noqa: PLR0913, PLR0917 - what an adapter is made of
    gradient: Any, x: Any, bits: Any, least: int, keep: float, down: Any, up: Any, scale: float,
    low: Any, grad_x: Any, grad_down: Any, grad_up: Any, thread: int, threads: int,
) -> None:  # fmt: skip
    """Backward through `adapt`: from the gradient at its result to those at x and both matrices.

    down is (rank, width) here, up (out, rank). Added are: to grad_x, of x's shape or without rows
    where nobody asks; to grad_down (threads, rank, width); to grad_up (threads, rank, out).
    """
    n, out = gradient.shape
    width, rank = x.shape[1], low.shape[1]
    steep, given = np.empty((_CHUNK, out), np.float32), np.empty((_CHUNK, width), np.float32)
    few, back = np.empty((_CHUNK, rank), np.float32), np.empty((_CHUNK, rank), np.float32)
    of_down, of_up = np.empty((rank, width), np.float32), np.empty((rank, out), np.float32)
    for start in range(thread * _CHUNK, n, threads * _CHUNK):
        end = min(start + _CHUNK, n)
        gather(gradient[start:end], 0, steep)
        gather(low[start:end], 0, few)
        _dropped(x[start:end], bits[start:end], least, keep, given)
        product(steep, up, back, out)
        for i in range(_CHUNK):
            for k in range(rank):
                few[i, k] *= scale
                back[i, k] *= scale
        transposed_product(few, steep, of_up, _CHUNK)
        transposed_product(back, given, of_down, _CHUNK)
        for k in range(rank):
            total, added = grad_up[thread, k], of_up[k]
            for j in range(out):
                total[j] += added[j]
            total, added = grad_down[thread, k], of_down[k]
            for j in range(width):
                total[j] += added[j]
        if grad_x.shape[0]:
            product(back, down, given, rank)
            for i in range(end - start):
                to, added, drawn = grad_x[start + i], given[i], bits[start + i]
                for j in range(width):
                    kept = added[j] * keep if drawn[j] >= least else F(0.0)
                    to[j] = narrow(to, wide(to[j]) + kept)
