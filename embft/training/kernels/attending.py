"""Attention in training, for any architecture whose batches are packed.

Short texts are attended to where they lie (`attention.py`). Of longer ones products are large
enough for a library, which in 16 bits has faster ones: those are padded, some of about one length
together, and only what stands between the products is compiled (`softmax.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from embft.encoding.attention import Batch, Group, Kind
from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import functions, softmax
from embft.training.kernels.functions import Seen, Texts, array
from embft.training.kernels.threads import together
from embft.training.kernels.vectors import LANES

LONGEST = 128  # tokens of a short text


def attend_by_kind(  # noqa: PLR0913, PLR0917 - what attention is made of
    generator: np.random.Generator, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, batch: Batch,
    kind: Kind,
) -> torch.Tensor | None:  # fmt: skip
    """Attention as `compute_by` asks for it, in the precision of autocast; None where that is not
    for us: number formats and heads that no loop takes, and long texts without dropout, for which
    torch has one function. generator: draws what dropout drops.
    """
    device = q.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q.dtype
    heads, width = q.shape[1:]
    rate = kind.rate if kind.module.training else 0.0
    takes = device == "cpu" and width % LANES == 0 and dtype in {torch.float32, torch.bfloat16}
    if not takes or (batch.longest > LONGEST and rate == 0.0):
        return None
    shared = heads // k.shape[1]  # grouped-query attention
    if shared > 1:
        k, v = (each.repeat_interleave(shared, dim=1) for each in (k, v))
    q, k, v = (each.reshape(len(each), -1).to(dtype).contiguous() for each in (q, k, v))
    bias = None if kind.bias is None else kind.bias[0]
    seen = Seen(kind.scale, int(kind.causal), kind.window)
    found = attend(q, k, v, bias, batch, heads, seen, partial(_drawn, generator, rate))
    return found.view(len(found), heads, width)


def _drawn(generator: np.random.Generator, rate: float, n: int) -> DropoutBits:
    return DropoutBits.draw(rate, n, generator)


def attend(  # noqa: PLR0913, PLR0917 - what attention is made of
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, batch: Batch,
    heads: int, seen: Seen, draw: Callable[[int], DropoutBits],
) -> torch.Tensor:  # fmt: skip
    """Attention of each text of a batch among its own tokens. q, k, v: shape (tokens, heads *
    width), as is the result. draw: the dropout of so many elements.
    """
    if batch.longest <= LONGEST:
        texts = Texts.of(batch.starts, heads)
        found: torch.Tensor = functions.attend(
            q, k, v, bias, texts, seen, draw(int(texts.places[-1]))
        )
        return found
    result: torch.Tensor = _long(q, k, v, bias, batch.fine_groups, heads, seen, draw)
    return result


class _Long(torch.autograd.Function):
    """Attention of texts that are padded in groups."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - what attention is made of
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None,
        groups: Sequence[Group], heads: int, seen: Seen, draw: Callable[[int], DropoutBits],
    ) -> torch.Tensor:  # fmt: skip
        """The result, of q's shape."""
        added = torch.empty(0, 0, 0) if bias is None else bias.float().contiguous()
        ctx.longest = added.shape[1] if ctx.needs_input_grad[3] else 0
        ctx.groups, ctx.heads, ctx.scale, ctx.kept = groups, heads, seen.scale, []
        result = torch.empty_like(q)
        for group in groups:
            queries, keys, values = (_padded(group, each, heads) for each in (q, k, v))
            weights = queries @ keys.transpose(2, 3)
            kept = torch.empty_like(weights)
            bits, least, keep = draw(weights.numel())
            lengths = _lengths(group)
            together(
                softmax.weigh, array(weights), array(kept), lengths, *seen, array(added), bits,
                least, keep,
            )  # fmt: skip
            result[group.tokens] = group.unpad(kept @ values)
            ctx.kept.append((queries, keys, values, weights, lengths, keep))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients at q, k, v and the bias."""
        found = [torch.empty_like(gradient) for _ in range(3)]
        shape = torch.get_num_threads(), ctx.heads, ctx.longest, ctx.longest
        of_bias = np.zeros(shape, np.float32)
        for group in ctx.groups:
            queries, keys, values, weights, lengths, keep = ctx.kept.pop(0)
            back = _padded(group, gradient, ctx.heads)
            steep = back @ values.transpose(2, 3)
            together(
                softmax.weigh_back, array(weights), array(steep), lengths, ctx.scale, keep, of_bias
            )
            for to, each in zip(
                found,
                (steep @ keys, steep.transpose(2, 3) @ queries, weights.transpose(2, 3) @ back),
                strict=True,
            ):
                to[group.tokens] = group.unpad(each)
        summed = torch.from_numpy(of_bias.sum(0)) if ctx.longest else None
        return (*found, summed, None, None, None, None)


def _padded(group: Group, rows: torch.Tensor, heads: int) -> torch.Tensor:
    """A group's part of (tokens, heads * width), as contiguous (texts, heads, longest, width)."""
    return group.pad(rows.view(1, len(rows), heads, -1).transpose(1, 2)).contiguous()


def _lengths(group: Group) -> npt.NDArray[np.int64]:
    counts = torch.bincount(group.slot // group.longest, minlength=group.n)
    found: npt.NDArray[np.int64] = counts.numpy()
    return found


_long: Any = _Long.apply
