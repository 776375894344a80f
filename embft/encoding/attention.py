"""Attention within each text of a packed batch, as transformers asks for it.

The batch that a model runs on is the one of `reading`. Whoever trains may have it computed another
way (`compute_by`). What an architecture asks for that is not known here is refused with
`UnknownAttentionError`, and such a model is not packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

PACKED = "embft_packed"  # the name of this attention among those of transformers
_SAME_LENGTH = 2.0  # the longest to the median, up to which attention pads all texts together
_FINE, _FEWEST = 1.2, 4  # of long texts: the longest to the shortest, and texts in a group at least
ALONE = 32  # tokens from which a text is no part of a group where texts are taken one by one
_SHORT = 1.3  # of the others, the longest of a group to the shortest, or to LENGTHS
# Every new shape of a product makes its kernel anew and keeps it (half a gigabyte in an epoch): so
# attention pads to multiples of this many tokens.
LENGTHS = 8


class UnknownAttentionError(Exception):
    """A layer asks for attention of a kind that is not known here."""


@dataclass(frozen=True)
class Kind:
    """What a layer's attention is, beside queries, keys and values.

    scale: of the products of queries and keys. rate: of dropout, whose masks `module` draws.
    causal: whether a token sees itself and those before it alone. window: how far away a token is
    that is not seen any more, 0 where all are. bias: added to the scaled products, of shape (1,
    heads, n, n) for texts of up to n tokens, or None.
    """

    module: torch.nn.Module
    scale: float
    rate: float
    causal: bool
    window: int
    bias: torch.Tensor | None


@dataclass(frozen=True)
class Group:
    """Neighbouring texts of a packed batch of about one length: n texts, the longest of `longest`.

    tokens: their place in the batch. slot: shape (tokens,), each token's place in the padded
    (n, longest) grid, flattened. source: shape (n * longest,), the token that fills each place (0
    where there is none). bias: shape (n, 1, 1, longest), 0 at tokens and a very negative number at
    padding.
    """

    tokens: slice
    n: int
    longest: int
    slot: torch.Tensor
    source: torch.Tensor
    bias: torch.Tensor

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, heads, tokens of the batch, width) -> (n, heads, longest, width)."""
        heads, width = packed.shape[1], packed.shape[3]
        rows = packed[0, :, self.tokens].transpose(0, 1).reshape(-1, heads * width)
        grid = rows.index_select(0, self.source).view(self.n, self.longest, heads, width)
        return grid.transpose(1, 2)

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """(n, heads, longest, width) -> (tokens, heads * width)."""
        heads, width = padded.shape[1], padded.shape[3]
        grid = padded.transpose(1, 2).reshape(self.n * self.longest, heads * width)
        return grid.index_select(0, self.slot)


class Batch:
    """A packed batch as attention reads it. starts: where each text begins, and the end of the
    last, shape (n + 1,).
    """

    def __init__(self, packed: Mapping[str, torch.Tensor]) -> None:
        self.starts: npt.NDArray[np.int64] = packed["cu_seq_lens_q"].cpu().numpy()
        self._packed = packed

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Texts of about one length, for attention that pads."""
        return group(self._packed)

    @cached_property
    def fine_groups(self) -> tuple[Group, ...]:
        """As `groups`, more of them, for texts so long that padding costs more than a group."""
        return group(self._packed, _fine)

    @cached_property
    def apart(self) -> tuple[tuple[Group, ...], tuple[slice, ...]]:
        """Groups of short texts, and the places of each other text's tokens, for attention that
        takes texts of any length one by one: padding then costs more than calls do.
        """
        groups = group(self._packed, _short)
        ends = pairwise(self.starts[sum(each.n for each in groups) :].tolist())
        return groups, tuple(slice(start, end) for start, end in ends)

    @cached_property
    def longest(self) -> int:
        """The tokens of its longest text, in whole multiples of `LENGTHS`."""
        return -(-int(np.diff(self.starts).max()) // LENGTHS) * LENGTHS


States = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Queries, keys and values, each of shape (1, heads, tokens, width)."""
_Computed = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Batch, Kind], torch.Tensor | None]
_batch: ContextVar[Batch | None] = ContextVar("batch", default=None)
_computed: ContextVar[_Computed | None] = ContextVar("computed", default=None)


@contextmanager
def reading(packed: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """While open, attention reads this packed batch."""
    token = _batch.set(Batch(packed))
    try:
        yield
    finally:
        _batch.reset(token)


def read_batch() -> Batch | None:
    """The packed batch that the model runs on; None while it runs on no packed batch."""
    return _batch.get()


@contextmanager
def compute_by(attend: _Computed) -> Iterator[None]:
    """While open, attention is what this function makes of queries, keys and values, each of shape
    (tokens, heads, width): of shape (tokens, heads, width) too, or None where it leaves it to us.
    """
    token = _computed.set(attend)
    try:
        yield
    finally:
        _computed.reset(token)


def group(
    packed: Mapping[str, torch.Tensor], cut: Callable[[Sequence[int]], list[int]] | None = None
) -> tuple[Group, ...]:
    """The texts of a packed batch, shortest first, in groups that attention pads each by itself.

    cut: where groups begin, from the texts' lengths, and the end of the last; texts after it are in
    none. Without a cut they are halves where lengths differ much, else one.
    """
    ends = packed["cu_seq_lens_q"].tolist()
    lengths = [end - start for start, end in pairwise(ends)]
    device = packed["cu_seq_lens_q"].device
    return tuple(
        _group(lengths[first:last], ends[first], device)
        for first, last in pairwise((cut or _coarse)(lengths))
    )


def _coarse(lengths: Sequence[int]) -> list[int]:
    half = len(lengths) // 2
    apart = half > 0 and max(lengths) > _SAME_LENGTH * lengths[half - 1]
    return [0, half, len(lengths)] if apart else [0, len(lengths)]


def _fine(lengths: Sequence[int]) -> list[int]:
    """Each group's longest is at most so many times as long as its shortest, and it has a few texts
    at least. What follows the longest text, shorter, is that of padding.
    """
    return [*_cuts(lengths[:-1], _FINE, _FEWEST), len(lengths)]


def _short(lengths: Sequence[int]) -> list[int]:
    """As `_fine`, of those texts that are before the first that attention takes by itself."""
    first = next((i for i, length in enumerate(lengths) if length >= ALONE), len(lengths))
    return [*_cuts(lengths[:first], _SHORT, 1, LENGTHS), first] if first else [0]


def _cuts(lengths: Sequence[int], ratio: float, fewest: int, least: int = 0) -> list[int]:
    """Where groups begin: each text of more than `ratio` times its group's shortest begins another,
    once there are `fewest` in it. A shortest of fewer tokens counts as `least`.
    """
    cuts = [0]
    for i, length in enumerate(lengths):
        if length > ratio * max(lengths[cuts[-1]], least) and i - cuts[-1] >= fewest:
            cuts.append(i)
    return cuts


def _group(lengths: Sequence[int], first: int, device: torch.device) -> Group:
    n, count = len(lengths), torch.tensor(lengths)
    longest = -(-max(lengths) // LENGTHS) * LENGTHS
    text = torch.repeat_interleave(torch.arange(n), count)
    slot = torch.arange(len(text)) + (torch.arange(n) * longest - count.cumsum(0) + count)[text]
    source = torch.zeros(n * longest, dtype=torch.long)
    source[slot] = torch.arange(len(text))
    bias = torch.full((n * longest,), torch.finfo(torch.bfloat16).min)
    bias[slot] = 0.0
    tokens = slice(first, first + len(text))
    bias = bias.view(n, 1, 1, longest)
    return Group(tokens, n, longest, slot.to(device), source.to(device), bias.to(device))


def attend(  # noqa: PLR0913, PLR0917 - transformers' signature
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the layout says it
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention (Vaswani et al., 2017) within each text of a packed batch.

    query, key and value: shape (1, heads, tokens, width). Returns shape (1, tokens, heads, width).
    """
    if any(more.get(name) is not None for name in ("softcap", "s_aux")):
        raise UnknownAttentionError
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    causal = bool(getattr(module, "is_causal", False))
    kind = Kind(module, scale, dropout, causal, sliding_window or 0, more.get("position_bias"))
    batch: Any = _batch.get()  # only packed batches come here
    compute = _computed.get()
    if compute is not None:
        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        found = compute(q, k, v, batch, kind)
        if found is not None:
            return found[None], None
    parts = [*_parts(batch, (query, key, value), kind)]
    return torch.cat(parts).view(1, query.shape[2], query.shape[1], -1), None


def _parts(batch: Batch, states: States, kind: Kind) -> Iterator[torch.Tensor]:
    """What the texts' tokens see, of shape (tokens, heads * width), from the first on."""
    # A GPU, and products in bfloat16, pay for each shape of a text; gradients for each call.
    exact = all(each.dtype == torch.float32 and each.device.type == "cpu" for each in states)
    plain = kind.rate == 0 and kind.window == 0 and kind.bias is None
    if not (exact and plain) or torch.is_autocast_enabled("cpu") or torch.is_grad_enabled():
        for each in batch.groups:
            yield _attend_group(each, states, kind)
        return
    groups, alone = batch.apart
    for each in groups:
        yield _attend_group(each, states, kind)
    for place in alone:
        q, k, v = (state[:, :, place] for state in states)
        seen = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, scale=kind.scale, is_causal=kind.causal, enable_gqa=q.shape[1] > k.shape[1]
        )
        yield seen.transpose(1, 2).reshape(q.shape[2], -1)


def _attend_group(group: Group, states: States, kind: Kind) -> torch.Tensor:
    q, k, v = (group.pad(each) for each in states)
    shared = q.shape[1] // k.shape[1]  # grouped-query attention
    if shared > 1:
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
    bias = _bias(group, kind).to(q.dtype)
    if kind.rate == 0.0:
        return group.unpad(
            torch.nn.functional.scaled_dot_product_attention(q, k, v, bias, scale=kind.scale)
        )
    # In bfloat16 a CPU takes twice as long for a softmax, and ten times as long for its gradient.
    scores = torch.matmul(q * kind.scale, k.transpose(2, 3)).float()
    weights = torch.softmax(scores + bias, dim=-1)
    weights = _dropped(kind, weights.to(v.dtype))
    return group.unpad(torch.matmul(weights, v))


def _bias(group: Group, kind: Kind) -> torch.Tensor:
    """What is added to the products of a group, of shape (n or 1, heads or 1, longest, longest)."""
    least = torch.finfo(torch.bfloat16).min
    bias = group.bias
    if kind.bias is not None:
        bias = bias + kind.bias[:, :, : group.longest, : group.longest]
    if kind.causal or 0 < kind.window < group.longest:
        places = torch.arange(group.longest, device=bias.device)
        ahead = places[None] - places[:, None]
        hidden = ahead > 0 if kind.causal else torch.zeros_like(ahead, dtype=torch.bool)
        if kind.window:
            hidden |= ahead.abs() >= kind.window
        bias = (bias + hidden * least).clamp(min=least)
    return bias


def _dropped(kind: Kind, weights: torch.Tensor) -> torch.Tensor:
    """Through the layer's own dropout module where it has one: its masks may be cheaper."""
    dropout = getattr(kind.module, "dropout", None)
    if isinstance(dropout, torch.nn.Module):
        dropped: torch.Tensor = dropout(weights)
        return dropped
    return torch.nn.functional.dropout(weights, kind.rate)


AttentionInterface.register(PACKED, attend)
AttentionMaskInterface.register(PACKED, lambda **_: None)
