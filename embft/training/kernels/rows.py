"""Compiled loops over a layer's values: activation, and residual with layer norm.

Each is one pass where torch makes several, and does the share of one of `threads` threads. Arrays
are contiguous; values are float32 or bfloat16, sums float32. Dropout is decided by 16 random bits
an element: it is kept where they are at least `least`, and multiplied by `keep`. Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64

from embft.training.kernels.loops import compiled, part
from embft.training.kernels.vectors import (
    BITS,
    FLAT,
    FLOATS,
    ROWS,
    F,
    erf,
    exp,
    narrow,
    portion,
    wide,
)


@compiled(FLAT, None, None, None)
def gelu(x: Any, y: Any, gradient: Any, thread: int, threads: int) -> None:
    """GELU (Hendrycks and Gimpel, 2016), and its derivative for backward. All shape (n,)."""
    given, result, steep = (
        portion(x, thread, threads), portion(y, thread, threads),
        portion(gradient, thread, threads),
    )  # fmt: skip
    for i in range(given.size):
        value = wide(given[i])
        share = F(0.5) + F(0.5) * erf(value * F(0.70710678))
        density = F(0.39894228) * exp(F(-0.5) * value * value)
        result[i] = narrow(result, value * share)
        steep[i] = narrow(steep, share + value * density)


@part
def _sigmoid(x: Any) -> Any:
    small = exp(-abs(x))
    share = F(1.0) / (F(1.0) + small)
    return share if x >= F(0.0) else small * share


@compiled(FLAT, None, None, None)
def silu(x: Any, y: Any, gradient: Any, thread: int, threads: int) -> None:
    """SiLU (Elfwing et al., 2017), and its derivative for backward. All shape (n,)."""
    given, result, steep = (
        portion(x, thread, threads), portion(y, thread, threads),
        portion(gradient, thread, threads),
    )  # fmt: skip
    for i in range(given.size):
        value = wide(given[i])
        share = _sigmoid(value)
        result[i] = narrow(result, value * share)
        steep[i] = narrow(steep, share * (F(1.0) + value * (F(1.0) - share)))


@compiled(FLAT, None, None, None)
def gelu_tanh(x: Any, y: Any, gradient: Any, thread: int, threads: int) -> None:
    """GELU by tanh (Hendrycks and Gimpel, 2016), and its derivative. All shape (n,)."""
    given, result, steep = (
        portion(x, thread, threads), portion(y, thread, threads),
        portion(gradient, thread, threads),
    )  # fmt: skip
    for i in range(given.size):
        value = wide(given[i])
        square = value * value
        twice = F(1.5957691) * value * (F(1.0) + F(0.044715) * square)
        share = _sigmoid(twice)
        slope = F(1.5957691) * (F(1.0) + F(0.134145) * square)
        result[i] = narrow(result, value * share)
        steep[i] = narrow(steep, share + value * share * (F(1.0) - share) * slope)


@compiled(FLAT, None, None)
def multiply(x: Any, by: Any, thread: int, threads: int) -> None:
    """Multiply x by `by`, in its place, both of shape (n,)."""
    to, factor = portion(x, thread, threads), portion(by, thread, threads)
    for i in range(to.size):
        to[i] = narrow(to, wide(to[i]) * wide(factor[i]))


@compiled(
    ROWS, None, FLOATS, float32[::1], float32[::1], float32, BITS, int64, float32,
    FLOATS, None, FLOATS, float32[::1],
)  # fmt: skip
def norm(  # noqa: PLR0913, PLR0917 - what a norm is made of
    x: Any, residual: Any, weight: Any, bias: Any, eps: float, bits: Any, least: int, keep: float,
    y: Any, half: Any, unit: Any, rate: Any, thread: int, threads: int,
) -> None:  # fmt: skip
    """Layer norm (Ba et al., 2016) of residual plus x after dropout: y, and half in x's format.

    Shapes (n, width), weight and bias (width,). For the backward pass also unit, the rows before
    weight and bias, and rate, shape (n,), one by their deviation. `half` has no rows where nobody
    asks.
    """
    rows, width = residual.shape
    for row in range(rows * thread // threads, rows * (thread + 1) // threads):
        added, drawn, before, centred, final = x[row], bits[row], residual[row], unit[row], y[row]
        total, square = F(0.0), F(0.0)
        for i in range(width):
            value = before[i] + (wide(added[i]) * keep if drawn[i] >= least else F(0.0))
            centred[i] = value
            total += value
        mean = total / F(width)
        for i in range(width):
            centred[i] -= mean
            square += centred[i] * centred[i]
        each = F(1.0) / np.sqrt(square / F(width) + eps)
        rate[row] = each
        for i in range(width):
            centred[i] *= each
            final[i] = centred[i] * weight[i] + bias[i]
        if half.shape[0]:
            short = half[row]
            for i in range(width):
                short[i] = narrow(short, final[i])


@compiled(
    ROWS, FLOATS, None, float32[::1], FLOATS, float32[::1], BITS, int64, float32,
    FLOATS, None, float32[:, :, ::1],
)  # fmt: skip
def norm_back(  # noqa: PLR0913, PLR0917 - what a norm is made of
    gradient: Any, grad_half: Any, weight: Any, unit: Any, rate: Any, bits: Any, least: int,
    keep: float, residual: Any, x: Any, parameters: Any, thread: int, threads: int,
) -> None:  # fmt: skip
    """Backward through `norm`: from the gradients at y and half to those at residual and x.

    To parameters, shape (threads, 2, width), those at weight and bias are added. Gradients at y or
    half have no rows where there are none, x where nobody asks.
    """
    rows, width = unit.shape
    back = np.empty(width, np.float32)
    of_weight, of_bias = parameters[thread, 0], parameters[thread, 1]
    for row in range(rows * thread // threads, rows * (thread + 1) // threads):
        normed, final = unit[row], residual[row]
        back[:] = F(0.0)
        if gradient.shape[0]:
            from_y = gradient[row]
            for i in range(width):
                back[i] += from_y[i]
        if grad_half.shape[0]:
            from_half = grad_half[row]
            for i in range(width):
                back[i] += wide(from_half[i])
        total, along = F(0.0), F(0.0)
        for i in range(width):
            of_weight[i] += back[i] * normed[i]
            of_bias[i] += back[i]
            back[i] *= weight[i]
            total += back[i]
            along += back[i] * normed[i]
        total, along = total / F(width), along / F(width)
        for i in range(width):
            final[i] = rate[row] * (back[i] - total - along * normed[i])
        if x.shape[0]:
            dropped, drawn = x[row], bits[row]
            for i in range(width):
                dropped[i] = narrow(dropped, final[i] * keep if drawn[i] >= least else F(0.0))
