"""Compiled attention: each text of a packed batch among its own tokens, where they lie.

Shapes (tokens, heads * width), texts end to end. Nothing is padded but a text's own square of
weights, to whole blocks of 8. Dropout as in `rows.py`. Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64, uint16

from embft.training.kernels.loops import compiled, part
from embft.training.kernels.vectors import (
    LANES,
    ROWS,
    F,
    exp,
    gather,
    narrow,
    product,
    transposed_product,
    wide,
)


@part
def _blocks(length: int) -> int:
    return -(-length // LANES) * LANES


@part
def _longest(starts: Any, thread: int, threads: int) -> int:
    longest = 0
    for text in range(thread, starts.size - 1, threads):
        longest = max(longest, starts[text + 1] - starts[text])
    return longest


@part
def _gather_transposed(rows: Any, left: int, to: Any) -> None:
    """A head's columns of a text's rows, as float32 rows; beside them 0."""
    n = rows.shape[0]
    for i in range(n):
        row = rows[i, left : left + to.shape[0]]
        for j in range(row.size):
            to[j, i] = wide(row[j])
    to[:, n:] = F(0.0)


@part
def _scatter(values: Any, left: int, rows: Any) -> None:
    """Into a head's columns of a text's rows."""
    for i in range(rows.shape[0]):
        row, its = rows[i, left : left + values.shape[1]], values[i]
        for j in range(row.size):
            row[j] = narrow(row, its[j])


@part
def seen(i: int, n: int, causal: int, window: int) -> Any:
    """The first token of n that token i sees, and the end of those: all, or without those after it,
    or those nearer than `window`.
    """
    first = max(0, i - window + 1) if window else 0
    end = i + 1 if causal else n
    return first, min(end, i + window) if window else end


@part
def _softmax(square: Any, n: int, causal: int, window: int) -> None:
    """Of the first n rows over what each sees of their first n columns; all else becomes 0."""
    for i in range(n):
        row = square[i]
        first, end = seen(i, n, causal, window)
        largest = row[first]
        for j in range(first, end):
            largest = row[j] if row[j] > largest else largest
        for j in range(row.size):
            row[j] -= largest
    flat = square.reshape(square.size)
    for i in range(flat.size):
        flat[i] = exp(flat[i])
    for i in range(n):
        row = square[i]
        first, end = seen(i, n, causal, window)
        row[:first] = F(0.0)
        row[end:] = F(0.0)
        total = F(0.0)
        for j in range(row.size):
            total += row[j]
        total = F(1.0) / total
        for j in range(row.size):
            row[j] *= total
    square[n:] = F(0.0)


@compiled(
    ROWS, None, None, None, int64[::1], int64[::1], int64, float32, int64, int64,
    float32[:, :, ::1], uint16[::1], int64, float32, float32[::1], None,
)  # fmt: skip
def attend(  # noqa: PLR0913, PLR0917 - what attention is made of
    q: Any, k: Any, v: Any, starts: Any, places: Any, heads: int, scale: float, causal: int,
    window: int, bias: Any, bits: Any, least: int, keep: float, weights: Any, result: Any,
    thread: int, threads: int,
) -> None:  # fmt: skip
    """Scaled dot-product attention (Vaswani et al., 2017) of one thread's share of the texts.

    starts: where each text begins, and the end of the last. places: where in bits, and in weights,
    which are left for the backward pass, its (heads, m, m) begin, m its length in whole blocks.
    causal and window as in `seen`. bias: added to the scaled products, shape (heads, n, n) for
    texts of up to n tokens, or without heads where there is none.
    """
    width = q.shape[1] // heads
    most = _blocks(_longest(starts, thread, threads))
    queries = np.empty((most, width), np.float32)
    values = np.empty((most, width), np.float32)
    found = np.empty((most, width), np.float32)
    keys = np.empty(width * most, np.float32)
    dropped = np.empty(most * most, np.float32)
    for text in range(thread, starts.size - 1, threads):
        start, end = starts[text], starts[text + 1]
        n, m = end - start, _blocks(end - start)
        turned = keys[: width * m].reshape((width, m))
        for head in range(heads):
            left, place = head * width, places[text] + head * m * m
            share, drawn = weights[place : place + m * m], bits[place : place + m * m]
            kept, square = dropped[: m * m], share.reshape((m, m))
            gather(q[start:end], left, queries[:m])
            gather(v[start:end], left, values[:m])
            _gather_transposed(k[start:end], left, turned)
            product(queries[:m], turned, square, width)
            for i in range(share.size):
                share[i] *= scale
            if bias.shape[0]:
                for i in range(n):
                    row, added = square[i], bias[head, i]
                    for j in range(n):
                        row[j] += added[j]
            _softmax(square, n, causal, window)
            for i in range(share.size):
                kept[i] = share[i] * keep if drawn[i] >= least else F(0.0)
            product(kept.reshape((m, m)), values, found[:m], n)
            _scatter(found, left, result[start:end])


@compiled(
    ROWS, None, None, None, int64[::1], int64[::1], int64, float32, int64, int64,
    float32[:, :, ::1], uint16[::1], int64, float32, float32[::1], None, None, None, None,
    float32[:, :, :, ::1],
)  # fmt: skip
def attend_back(  # noqa: PLR0913, PLR0917 - what attention is made of
    q: Any, k: Any, v: Any, starts: Any, places: Any, heads: int, scale: float, _causal: int,
    _window: int, _bias: Any, bits: Any, least: int, keep: float, weights: Any, gradient: Any,
    grad_q: Any, grad_k: Any, grad_v: Any, grad_bias: Any, thread: int, threads: int,
) -> None:  # fmt: skip
    """Backward through `attend`: from the gradient at its result to those at q, k and v.

    That at the bias is added to grad_bias, shape (threads, heads, n, n), or without any n where
    nobody asks.
    """
    width = q.shape[1] // heads
    most = _blocks(_longest(starts, thread, threads))
    queries = np.empty((most, width), np.float32)
    keys = np.empty((most, width), np.float32)
    gradients = np.empty((most, width), np.float32)
    found = np.empty((most, width), np.float32)
    values = np.empty(width * most, np.float32)
    dropped = np.empty(most * most, np.float32)
    scores = np.empty(most * most, np.float32)
    for text in range(thread, starts.size - 1, threads):
        start, end = starts[text], starts[text + 1]
        n, m = end - start, _blocks(end - start)
        turned = values[: width * m].reshape((width, m))
        kept, back = dropped[: m * m], scores[: m * m]
        kept_square, back_square = kept.reshape((m, m)), back.reshape((m, m))
        for head in range(heads):
            left, place = head * width, places[text] + head * m * m
            share, drawn = weights[place : place + m * m], bits[place : place + m * m]
            gather(q[start:end], left, queries[:m])
            gather(k[start:end], left, keys[:m])
            gather(gradient[start:end], left, gradients[:m])
            _gather_transposed(v[start:end], left, turned)
            product(gradients[:m], turned, back_square, width)
            for i in range(share.size):
                kept[i] = share[i] * keep if drawn[i] >= least else F(0.0)
                back[i] *= kept[i]
            for i in range(n):
                row, its = back_square[i], share[i * m : i * m + m]
                total = F(0.0)
                for j in range(m):
                    total += row[j]
                for j in range(m):
                    row[j] -= its[j] * total
                if grad_bias.shape[2]:
                    added = grad_bias[thread, head, i]
                    for j in range(n):
                        added[j] += row[j]
                for j in range(m):
                    row[j] *= scale
            product(back_square, keys, found[:m], n)
            _scatter(found, left, grad_q[start:end])
            transposed_product(back_square, queries, found[:m], n)
            _scatter(found, left, grad_k[start:end])
            transposed_product(kept_square, gradients, found[:m], n)
            _scatter(found, left, grad_v[start:end])
