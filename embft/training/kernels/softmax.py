"""Compiled softmax and dropout of attention's weights, for texts long enough for a library's
products.

Squares are padded: values of shape (texts, heads, m, m), of which each text's first n rows and
columns count. In place of the weights lie those that dropout keeps, and the others made negative:
so the backward pass needs nothing else. Dropout as in `rows.py`. Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64, uint16

from embft.training.kernels.attention import seen
from embft.training.kernels.loops import compiled
from embft.training.kernels.vectors import F, exp, narrow, wide

_SQUARES = (float32[:, :, :, ::1], uint16[:, :, :, ::1])


@compiled(
    _SQUARES, None, None, int64[::1], float32, int64, int64, float32[:, :, ::1], uint16[::1], int64,
    float32,
)  # fmt: skip
def weigh(  # noqa: PLR0913, PLR0917 - what attention is made of
    products: Any, kept: Any, lengths: Any, scale: float, causal: int, window: int, bias: Any,
    bits: Any, least: int, keep: float, thread: int, threads: int,
) -> None:  # fmt: skip
    """Products of queries and keys -> weights in their place, and what dropout keeps of them.

    lengths: shape (texts,). bias: as in `attention.attend`.
    """
    texts, heads, m, _ = products.shape
    buffer = np.empty(m, np.float32)
    for square in range(texts * heads * thread // threads, texts * heads * (thread + 1) // threads):
        text, head = square // heads, square % heads
        n = lengths[text]
        its, to = products[text, head], kept[text, head]
        drawn = bits[square * m * m : (square + 1) * m * m]
        for i in range(n):
            first, end = seen(i, n, causal, window)
            row, final, lot = its[i], to[i], drawn[i * m : (i + 1) * m]
            for j in range(m):
                buffer[j] = wide(row[j]) * scale
            if bias.shape[0]:
                added = bias[head, i]
                for j in range(n):
                    buffer[j] += added[j]
            largest = buffer[first]
            for j in range(first, end):
                largest = buffer[j] if buffer[j] > largest else largest
            for j in range(m):
                buffer[j] = exp(buffer[j] - largest)
            buffer[:first] = F(0.0)
            buffer[end:] = F(0.0)
            total = F(0.0)
            for j in range(m):
                total += buffer[j]
            total = F(1.0) / total
            for j in range(m):
                value = buffer[j] * total
                if lot[j] >= least:
                    row[j] = narrow(row, value)
                    final[j] = narrow(final, value * keep)
                else:
                    row[j] = narrow(row, -value)
                    final[j] = narrow(final, F(0.0))
        its[n:] = 0
        to[n:] = 0


@compiled(_SQUARES, None, None, int64[::1], float32, float32, float32[:, :, :, ::1])
def weigh_back(  # noqa: PLR0913, PLR0917 - what attention is made of
    weights: Any, gradient: Any, lengths: Any, scale: float, keep: float, grad_bias: Any,
    thread: int, threads: int,
) -> None:  # fmt: skip
    """Backward through `weigh`: in place of the gradient at what was kept that at the products, and
    in place of the weights what was kept.

    grad_bias: as in `attention.attend_back`.
    """
    texts, heads, m, _ = weights.shape
    buffer = np.empty(m, np.float32)
    for square in range(texts * heads * thread // threads, texts * heads * (thread + 1) // threads):
        text, head = square // heads, square % heads
        n = lengths[text]
        its, back = weights[text, head], gradient[text, head]
        for i in range(n):
            row, to = its[i], back[i]
            total = F(0.0)
            for j in range(m):
                value = wide(row[j])
                given = wide(to[j]) * keep if value > F(0.0) else F(0.0)
                buffer[j] = given
                total += given * abs(value)
            for j in range(m):
                value = wide(row[j])
                buffer[j] = abs(value) * (buffer[j] - total)
                to[j] = narrow(to, buffer[j] * scale)
                row[j] = narrow(row, value * keep if value > F(0.0) else F(0.0))
            if grad_bias.shape[2]:
                added = grad_bias[thread, head, i]
                for j in range(n):
                    added[j] += buffer[j]
        back[n:] = 0
