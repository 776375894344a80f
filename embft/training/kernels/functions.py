"""The compiled loops, and the products between them, as differentiable functions of tensors.

Values are in the precision of the products, float32 or bfloat16; what is added from layer to layer
is float32. Tensors are on the CPU, of shape (tokens, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import adapters, attention, rows
from embft.training.kernels.threads import together
from embft.training.kernels.vectors import LANES


@dataclass(frozen=True)
class Texts:
    """Where the texts of a packed batch lie. starts: shape (n + 1,), the last one's end among them.

    places: where each text's attention weights begin, shape (n + 1,), the end among them.
    """

    starts: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    heads: int

    @classmethod
    def of(cls, starts: npt.NDArray[np.int64], heads: int) -> Texts:
        """With a square of weights for each head, in whole blocks."""
        blocks = -(-np.diff(starts) // LANES) * LANES
        return cls(starts, np.concatenate([[0], np.cumsum(heads * blocks * blocks)]), heads)


def array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """The tensor's memory; of bfloat16 the bits, since numpy has no such number."""
    plain = tensor.detach()
    return (plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy()


def _over(loop: Any, *tensors: torch.Tensor) -> None:
    """A loop over the elements of tensors of one shape."""
    together(loop, *(array(each).reshape(-1) for each in tensors))


class Seen(NamedTuple):
    """Which tokens of its text a token sees, and how its products with them are scaled.

    causal: those before it and itself alone. window: those nearer than this, 0 where all are.
    """

    scale: float
    causal: int = 0
    window: int = 0


class _Attend(torch.autograd.Function):
    """Attention of each text among its own tokens."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - what attention is made of
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None,
        texts: Texts, seen: Seen, dropout: DropoutBits,
    ) -> torch.Tensor:  # fmt: skip
        """The result, of q's shape. bias: shape (heads, n, n), added to the scaled products of
        texts of up to n tokens.
        """
        result = torch.empty_like(q)
        weights = np.empty(len(dropout.bits), np.float32)
        added = torch.empty(0, 0, 0) if bias is None else bias.float().contiguous()
        given = (
            *map(array, (q, k, v)), texts.starts, texts.places, texts.heads, *seen,
            array(added), *dropout, weights,
        )  # fmt: skip
        together(attention.attend, *given, array(result))
        ctx.given, ctx.longest = given, added.shape[1] if ctx.needs_input_grad[3] else 0
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients at q, k, v and the bias."""
        gradients = [torch.empty_like(gradient) for _ in range(3)]
        arrays = map(array, (gradient.contiguous(), *gradients))
        heads, longest = ctx.given[5], ctx.longest
        of_bias = np.zeros((torch.get_num_threads(), heads, longest, longest), np.float32)
        together(attention.attend_back, *ctx.given, *arrays, of_bias)
        found = torch.from_numpy(of_bias.sum(0)) if longest else None
        return (*gradients, found, None, None, None)


class _Activate(torch.autograd.Function):
    """An activation."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, loop: Any) -> torch.Tensor:
        """What the loop makes of x, in x's shape."""
        result, gradient = torch.empty_like(x), torch.empty_like(x)
        _over(loop, x, result, gradient)
        ctx.gradient = gradient
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient at x, where what was left for it lay."""
        result: torch.Tensor = ctx.gradient
        del ctx.gradient
        _over(rows.multiply, result, gradient.contiguous())
        return result, None


class _Norm(torch.autograd.Function):
    """Layer norm of residual plus x after dropout; residual is float32."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - what a norm is made of
        ctx: Any, x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor,
        bias: torch.Tensor, eps: float, dropout: DropoutBits,
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        """The norm in float32, and in x's format where that is another."""
        final, unit = torch.empty_like(residual), np.empty(residual.shape, np.float32)
        half = torch.empty_like(x if x.dtype != final.dtype else x[:0])
        rate = np.empty(len(x), np.float32)
        bits, *decision = dropout
        bits = bits.reshape(x.shape)
        given = [array(each) for each in (x, residual, weight, bias)]
        after = (array(final), array(half), unit, rate)
        together(rows.norm, *given, eps, bits, *decision, *after)
        ctx.set_materialize_grads(False)
        ctx.given = (given[2], unit, rate, bits, *decision)
        ctx.like = (x[:0], residual[:0])
        return (final, half) if len(half) else (final,)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """The gradients at x, residual, weight and bias."""
        unit = ctx.given[1]
        no_x, no_rows = ctx.like
        given = [
            array(none if each is None else each.contiguous())
            for each, none in zip_longest(gradients, (no_rows, no_x))
        ]
        residual = no_rows.new_empty(unit.shape)
        x = no_x.new_empty(unit.shape) if ctx.needs_input_grad[0] else no_x
        parameters = np.zeros((torch.get_num_threads(), 2, unit.shape[1]), np.float32)
        together(rows.norm_back, *given, *ctx.given, array(residual), array(x), parameters)
        of_weight, of_bias = torch.from_numpy(parameters.sum(0))
        return (x if len(x) else None), residual, of_weight, of_bias, None, None


@dataclass(frozen=True)
class Adapter:
    """A low-rank adapter of a linear layer (Hu et al., 2021): its scale, its input's dropout."""

    scale: float
    dropout: DropoutBits


class _Project(torch.autograd.Function):
    """Linear layers of one input. For each of them a weight, a bias, and an adapter's two matrices,
    each None where there is none. used: of each layer the weight and bias that products use, cast
    to the input's format where they have another.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        given: Sequence[Adapter | None],
        used: Sequence[torch.Tensor | None],
        *tensors: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the result of each layer for x, each of shape (n, out)."""
        results, ctx.layers = [], []
        for i, adapter in enumerate(given):
            a, b = tensors[4 * i + 2 : 4 * i + 4]
            weight, bias = (
                None if each is None else each.to(x.dtype) for each in used[2 * i : 2 * i + 2]
            )
            result = torch.nn.functional.linear(x, weight, bias)  # type: ignore[arg-type]
            adapted = None
            if adapter is not None and a is not None and b is not None:
                adapted = _Adapted(adapter, a, b, x)
                adapted.add_to(result)
            ctx.layers.append((weight, adapted))
            results.append(result)
        # Most of a LoRA step's memory would be inputs of frozen layers, which nobody asks for.
        ctx.x = x if any(ctx.needs_input_grad[3::4]) else None
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients at x and at what is trained."""
        needed = ctx.needs_input_grad[3:]
        shape = (len(gradients[0]), ctx.layers[0][0].shape[1])
        of_x = gradients[0].new_empty(shape) if ctx.needs_input_grad[0] else None
        found = list[torch.Tensor | None]()
        for i, (gradient, (weight, adapted)) in enumerate(zip(gradients, ctx.layers, strict=True)):
            if of_x is not None:
                of_x.addmm_(gradient, weight, beta=min(i, 1))
            found.append(gradient.t() @ ctx.x if needed[4 * i] else None)
            found.append(gradient.sum(0) if needed[4 * i + 1] else None)
            found += [None, None] if adapted is None else adapted.gradients(gradient, of_x)
        return (of_x, None, None, *found)


class _Adapted:
    """What an adapter makes of one input. a: shape (rank, width); b: (out, rank)."""

    def __init__(self, adapter: Adapter, a: torch.Tensor, b: torch.Tensor, x: torch.Tensor) -> None:
        bits, *decision = adapter.dropout
        self.rank, self.scale, self.x = len(a), adapter.scale, x
        self.dropout = (bits.reshape(x.shape), *decision)
        whole = self.rank + -self.rank % LANES
        self.a = np.zeros((whole, a.shape[1]), np.float32)
        self.b = np.zeros((len(b), whole), np.float32)
        self.a[: self.rank], self.b[:, : self.rank] = array(a.float()), array(b.float())
        self.low = np.empty((len(x), whole), np.float32)

    def add_to(self, result: torch.Tensor) -> None:
        """Add it to what the layer itself makes of the input."""
        down, up = (np.ascontiguousarray(each.T) for each in (self.a, self.b))
        given = (array(self.x), *self.dropout, down, up, self.scale, self.low)
        together(adapters.adapt, *given, array(result))

    def gradients(
        self, gradient: torch.Tensor, of_x: torch.Tensor | None
    ) -> list[torch.Tensor | None]:
        """The gradients at a and b; that at x is added to `of_x`."""
        shape = torch.get_num_threads(), len(self.a)
        of_a = np.zeros((*shape, self.a.shape[1]), np.float32)
        of_b = np.zeros((*shape, len(self.b)), np.float32)
        given = (array(gradient.contiguous()), array(self.x), *self.dropout, self.a, self.b)
        to = array(self.x[:0] if of_x is None else of_x)
        together(adapters.adapt_back, *given, self.scale, self.low, to, of_a, of_b)
        found_a, found_b = (torch.from_numpy(each.sum(0)[: self.rank]) for each in (of_a, of_b))
        return [found_a, found_b.t()]


# As functions, since torch's own types know nothing of `apply`.
attend: Any = _Attend.apply
_activate: Any = _Activate.apply
norm: Any = _Norm.apply
project: Any = _Project.apply


def gelu(x: torch.Tensor) -> torch.Tensor:
    """GELU (Hendrycks and Gimpel, 2016)."""
    found: torch.Tensor = _activate(x, rows.gelu)
    return found


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """GELU by its authors' approximation, with a hyperbolic tangent."""
    found: torch.Tensor = _activate(x, rows.gelu_tanh)
    return found


def silu(x: torch.Tensor) -> torch.Tensor:
    """SiLU (Elfwing et al., 2017)."""
    found: torch.Tensor = _activate(x, rows.silu)
    return found


_Activation = Callable[[torch.Tensor], torch.Tensor]
ACTIVATIONS: tuple[tuple[_Activation, _Activation], ...] = (
    (gelu, torch.nn.functional.gelu),
    (gelu_tanh, partial(torch.nn.functional.gelu, approximate="tanh")),
    (silu, torch.nn.functional.silu),
)
"""Each compiled activation, and torch's own."""
