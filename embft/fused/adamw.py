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

from embft.fused.loops import compiled, part
from embft.fused.threads import together
from embft.fused.vectors import F, elements, narrow, wide

Table = npt.NDArray[np.int64]
_WEIGHT, _GRADIENT, _MEAN, _SQUARE, _HALF, _SIZE, _NARROW = range(7)
_BLOCK = 4096  # elements: all that is read of them stays in a core's own cache


def gradient_norm(table: Table) -> float:
    """The norm of all gradients together. How many threads there are does not change it."""
    blocks = -(-table[:, _SIZE] // _BLOCK)
    squares = np.zeros(int(blocks.sum()), np.float64)
    together(add_squares, table, squares)
    return float(np.sqrt(squares.sum()))


def step(  # noqa: PLR0913, PLR0917 - what AdamW is made of
    table: Table, rates: npt.NDArray[np.floating], factor: float, of_mean: float, of_square: float,
    eps: float,
) -> None:  # fmt: skip
    """A step of AdamW (Loshchilov and Hutter, 2019), each gradient multiplied by `factor` first.

    rates, shape (tensors, 3): what decay leaves of each weight, the learning rate by the first
    moment's correction, and one by the root of the second's. of_mean, of_square: a gradient's
    share of either moment, one less beta.
    """
    together(change, table, rates.astype(np.float32), factor, of_mean, of_square, eps)


@part
def _part_of(table: Any, thread: int, threads: int) -> Any:
    blocks = 0
    for t in range(table.shape[0]):
        blocks += -(-table[t, _SIZE] // _BLOCK)
    return blocks * thread // threads, blocks * (thread + 1) // threads


@part
def _gradient(tensor: Any, first: Any, n: Any, spare: Any, half: Any) -> Any:
    """Elements of a gradient as float32, in `spare` where it is bfloat16."""
    if not tensor[_NARROW]:
        return elements(tensor[_GRADIENT], first, n, spare)
    values = elements(tensor[_GRADIENT], first, n, half)
    for i in range(n):
        spare[i] = wide(values[i])
    return spare[:n]


@compiled((int64[:, ::1],), None, float64[::1])
def add_squares(table: Any, squares: Any, thread: int, threads: int) -> None:
    """Of each block of a gradient the sum of squares, shape (blocks,)."""
    spare, half = np.empty(_BLOCK, np.float32), np.empty(0, np.uint16)
    first_block, end_block = _part_of(table, thread, threads)
    block = 0
    for t in range(table.shape[0]):
        size = table[t, _SIZE]
        for first in range(0, size, _BLOCK):
            if first_block <= block < end_block:
                gradient = _gradient(table[t], first, min(_BLOCK, size - first), spare, half)
                total = F(0.0)
                for i in range(gradient.size):
                    total += gradient[i] * gradient[i]
                squares[block] = total
            block += 1


@compiled((int64[:, ::1],), None, float32[:, ::1], float32, float32, float32, float32)
def change(  # noqa: PLR0913, PLR0917 - what AdamW is made of
    table: Any, rates: Any, factor: float, of_mean: float, of_square: float, eps: float,
    thread: int, threads: int,
) -> None:  # fmt: skip
    """Change one thread's share of the blocks, as `step` says."""
    spare, half = np.empty(_BLOCK, np.float32), np.empty(0, np.uint16)
    first_block, end_block = _part_of(table, thread, threads)
    block = 0
    for t in range(table.shape[0]):
        tensor, size = table[t], table[t, _SIZE]
        left, rate, root = rates[t]
        for first in range(0, size, _BLOCK):
            if first_block <= block < end_block:
                n = min(_BLOCK, size - first)
                gradient = _gradient(tensor, first, n, spare, half)
                weight = elements(tensor[_WEIGHT], first, n, spare)
                mean = elements(tensor[_MEAN], first, n, spare)
                square = elements(tensor[_SQUARE], first, n, spare)
                for i in range(n):
                    each = gradient[i] * factor
                    mean[i] += (each - mean[i]) * of_mean
                    square[i] += (each * each - square[i]) * of_square
                    weight[i] = weight[i] * left - rate * mean[i] / (
                        np.sqrt(square[i]) * root + eps
                    )
                if tensor[_HALF]:
                    short = elements(tensor[_HALF], first, n, half)
                    for i in range(n):
                        short[i] = narrow(short, weight[i])
            block += 1
