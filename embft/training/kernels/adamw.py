"""Compiled AdamW: gradients, moments, weights and what products use of them, in one pass.

Tensors lie where they are. A table, shape (tensors, 7), says where: of each the addresses of its
weights, gradient, mean and square, and of its weights in bfloat16 (0 where nobody asks for those),
how many elements it has, and whether its gradient is bfloat16. Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import float32, float64, int64

from embft.training.kernels.loops import compiled, part
from embft.training.kernels.threads import together
from embft.training.kernels.vectors import F, elements, narrow, portion, wide

_WEIGHT, _GRADIENT, _MEAN, _SQUARE, _HALF, _SIZE, _NARROW = range(7)
_BLOCK = 4096  # elements: all that is read of them stays in a core's own cache


def step(  # noqa: PLR0913, PLR0917 - what AdamW is made of
    table: npt.NDArray[np.int64], rates: npt.NDArray[np.floating], limit: float, of_mean: float,
    of_square: float, eps: float,
) -> None:  # fmt: skip
    """A step of AdamW (Loshchilov and Hutter, 2019), the gradients' norm clipped to `limit` first.

    rates, shape (tensors, 3): what decay leaves of each weight, the learning rate by the first
    moment's correction, and one by the root of the second's. of_mean, of_square: a gradient's
    share of either moment, one less beta. How many threads there are changes no bit.
    """
    blocks = _blocks(table[:, _SIZE])
    squares = np.zeros(len(blocks), np.float64)
    together(add_squares, table, blocks, squares)
    factor = limit / (float(np.sqrt(squares.sum())) + 1e-6)  # as torch's
    factor = 1.0 if factor >= 1 else factor  # of a norm that is no number none either
    together(change, table, blocks, rates.astype(np.float32), factor, of_mean, of_square, eps)


def _blocks(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The tensor and the first element of each block of all tensors, shape (blocks, 2)."""
    counts = -(-sizes // _BLOCK)
    before = np.repeat(counts.cumsum() - counts, counts)
    first = (np.arange(counts.sum()) - before) * _BLOCK
    return np.stack([np.repeat(np.arange(len(sizes)), counts), first], axis=1)


@part
def _gradient(tensor: Any, first: Any, n: Any, spare: Any, half: Any) -> Any:
    """Elements of a gradient as float32, in `spare` where it is bfloat16."""
    if not tensor[_NARROW]:
        return elements(tensor[_GRADIENT], first, n, spare)
    values = elements(tensor[_GRADIENT], first, n, half)
    for i in range(n):
        spare[i] = wide(values[i])
    return spare[:n]


@compiled((int64[:, ::1],), None, None, float64[::1])
def add_squares(table: Any, blocks: Any, squares: Any, thread: int, threads: int) -> None:
    """Write the sum of squared gradients of each block in a thread's share, shape (blocks,)."""
    spare, half = np.empty(_BLOCK, np.float32), np.empty(0, np.uint16)
    its_blocks, its_squares = portion(blocks, thread, threads), portion(squares, thread, threads)
    for block in range(its_squares.size):
        t, first = its_blocks[block]
        n = min(_BLOCK, table[t, _SIZE] - first)
        gradient = _gradient(table[t], first, n, spare, half)
        total = F(0.0)
        for i in range(n):
            total += gradient[i] * gradient[i]
        its_squares[block] = total


@compiled((int64[:, ::1],), None, None, float32[:, ::1], float32, float32, float32, float32)
def change(  # noqa: PLR0913, PLR0917 - what AdamW is made of
    table: Any, blocks: Any, rates: Any, factor: float, of_mean: float, of_square: float,
    eps: float, thread: int, threads: int,
) -> None:  # fmt: skip
    """Change the blocks of one thread's share, as `step` says, by gradients times `factor`."""
    spare, half = np.empty(_BLOCK, np.float32), np.empty(0, np.uint16)
    for t, first in portion(blocks, thread, threads):
        tensor, n = table[t], min(_BLOCK, table[t, _SIZE] - first)
        left, rate, root = rates[t]
        gradient = _gradient(tensor, first, n, spare, half)
        weight = elements(tensor[_WEIGHT], first, n, spare)
        mean = elements(tensor[_MEAN], first, n, spare)
        square = elements(tensor[_SQUARE], first, n, spare)
        for i in range(n):
            each = gradient[i] * factor
            mean[i] += (each - mean[i]) * of_mean
            square[i] += (each * each - square[i]) * of_square
            weight[i] = weight[i] * left - rate * mean[i] / (np.sqrt(square[i]) * root + eps)
        if tensor[_HALF]:
            short = elements(tensor[_HALF], first, n, half)
            for i in range(n):
                short[i] = narrow(short, weight[i])
