"""A batch's texts laid end to end: no layer computes padding, attention alone sees texts apart.

The features are those of sentence-transformers' own unpadded path (`cu_seq_lens_q` and the like),
which it offers for flash attention on a GPU; here an attention function of ours reads them, on any
device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from embft.encoding.prompts import preprocess
from embft.system.speedups import speedup

_ATTENTION = "embft_packed"
_FORBIDDEN = "embft_never_packed"  # an attribute of models
# Architectures whose layers treat every token alike, but for attention and positions.
_ARCHITECTURES = {"bert", "camembert", "llama", "qwen2", "qwen3", "roberta", "xlm-roberta"}
_MODULES = (Transformer, Pooling, Normalize, Dense)
PROBE = ("a", "two words", "here is a somewhat longer text, so that lengths differ")
AGREES = 1e-4
_SAME_LENGTH = 2.0  # the longest to the median, up to which attention pads all texts together
# Every new shape of a product makes its kernel anew and keeps it (half a gigabyte in an epoch):
# batches have a multiple of this many tokens, attention a multiple of these lengths.
_TOKENS, _LENGTHS = 16, 8


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
        grid = padded.transpose(1, 2).reshape(self.n * self.longest, -1)
        return grid.index_select(0, self.slot)


class _Batch:
    """A packed batch as attention reads it."""

    def __init__(self, packed: Mapping[str, torch.Tensor]) -> None:
        self.starts: npt.NDArray[np.int64] = packed["cu_seq_lens_q"].cpu().numpy()
        self._packed = packed

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Texts of about one length, for attention that pads."""
        return group(self._packed)


_batch: ContextVar[_Batch | None] = ContextVar("batch", default=None)


def packed_starts() -> npt.NDArray[np.int64] | None:
    """Where each text of the packed batch that the model runs on begins, and the end, shape
    (n + 1,); None while it runs on no packed batch.
    """
    batch = _batch.get()
    return None if batch is None else batch.starts


def pack(
    features: Mapping[str, torch.Tensor],
    lengths: npt.NDArray[np.int64],
    device: torch.device | str,
    pad_token: int,
) -> dict[str, Any]:
    """Texts' features as the model takes them, with what tells the texts apart.

    features: all texts' values end to end, shape (tokens,). lengths: each text's, shape (n,). At
    the end stands one more text, of padding, which makes the tokens a round number.
    """
    tokens = int(lengths.sum())
    filling = _TOKENS - tokens % _TOKENS
    lengths = np.append(lengths, filling)
    starts = np.concatenate([[0], lengths.cumsum()])
    text = np.repeat(np.arange(len(lengths)), lengths)
    packed = {
        "input_ids": _with(filling, pad_token, features["input_ids"]),
        "position_ids": torch.from_numpy(np.arange(tokens + filling) - starts[text])[None],
        "seq_idx": torch.from_numpy(text)[None],
        "cu_seq_lens_q": torch.from_numpy(starts),
    }
    if "token_type_ids" in features:
        packed["token_type_ids"] = _with(filling, 0, features["token_type_ids"])
    return {name: value.to(device) for name, value in packed.items()}


def _with(filling: int, value: int, flat: torch.Tensor) -> torch.Tensor:
    return torch.cat([flat, flat.new_full((filling,), value)])[None]


def group(packed: Mapping[str, torch.Tensor]) -> tuple[Group, ...]:
    """The texts of a packed batch, shortest first, in one group, or in two where lengths differ
    much: attention pads each by itself.
    """
    ends = packed["cu_seq_lens_q"].tolist()
    lengths = [end - start for start, end in pairwise(ends)]
    half = len(lengths) // 2
    apart = half > 0 and max(lengths) > _SAME_LENGTH * lengths[half - 1]
    device = packed["cu_seq_lens_q"].device
    return tuple(
        _group(lengths[first:last], ends[first], device)
        for first, last in pairwise([0, half, len(lengths)] if apart else [0, len(lengths)])
    )


def _group(lengths: Sequence[int], first: int, device: torch.device) -> Group:
    n, count = len(lengths), torch.tensor(lengths)
    longest = -(-max(lengths) // _LENGTHS) * _LENGTHS
    text = torch.repeat_interleave(torch.arange(n), count)
    slot = torch.arange(len(text)) + (torch.arange(n) * longest - count.cumsum(0) + count)[text]
    source = torch.zeros(n * longest, dtype=torch.long)
    source[slot] = torch.arange(len(text))
    bias = torch.full((n * longest,), torch.finfo(torch.bfloat16).min)
    bias[slot] = 0.0
    tokens = slice(first, first + len(text))
    bias = bias.view(n, 1, 1, longest)
    return Group(tokens, n, longest, slot.to(device), source.to(device), bias.to(device))


_first: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()


def first_position(transformer: torch.nn.Module) -> int:
    """The number of a text's first position: RoBERTa's table of positions begins with rows that no
    token gets. Remembered, since it takes a look at every module, 1 ms.
    """
    if transformer not in _first:
        _first[transformer] = next(map(_after_padding, _position_tables(transformer)), 0)
    return _first[transformer]


def _position_tables(transformer: torch.nn.Module) -> Iterator[Any]:
    """What has a table of positions, and a row of it for padding."""
    for module in transformer.modules():
        table = getattr(module, "position_embeddings", None)
        padding = getattr(module, "padding_idx", None)
        if isinstance(table, torch.nn.Embedding) and isinstance(padding, int):
            yield module


def _after_padding(module: Any) -> int:
    return int(module.padding_idx) + 1


@contextmanager
def packed_attention(
    model: SentenceTransformer, packed: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """While open, the model's attention reads this packed batch."""
    config: Any = getattr(model.transformers_model, "config", None)
    positions = packed["position_ids"] + first_position(model[0])
    before = config._attn_implementation
    token = _batch.set(_Batch(packed))
    config._attn_implementation = _ATTENTION
    try:
        yield {**packed, "position_ids": positions}
    finally:
        config._attn_implementation = before
        _batch.reset(token)


def _attend(  # noqa: PLR0913, PLR0917 - transformers' signature
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the layout says it
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention (Vaswani et al., 2017) within each text of a packed batch."""
    groups = _batch.get().groups  # type: ignore[union-attr]  # only packed batches come here
    parts = [_attend_group(module, each, (query, key, value), dropout, scaling) for each in groups]
    return torch.cat(parts).view(1, query.shape[2], query.shape[1], -1), None


def _attend_group(
    module: torch.nn.Module,
    group: Group,
    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    q, k, v = (group.pad(each) for each in states)
    shared = q.shape[1] // k.shape[1]  # grouped-query attention
    if shared > 1:
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
    bias = group.bias.to(q.dtype)
    if getattr(module, "is_causal", False):
        later = torch.full((group.longest, group.longest), float("-inf"), device=q.device)
        bias = (bias + later.triu(1)).clamp(min=torch.finfo(torch.bfloat16).min).to(q.dtype)
    if dropout == 0.0:
        return group.unpad(
            torch.nn.functional.scaled_dot_product_attention(q, k, v, bias, scale=scaling)
        )
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    # In bfloat16 a CPU takes twice as long for a softmax, and ten times as long for its gradient.
    scores = torch.matmul(q * scale, k.transpose(2, 3)).float()
    weights = torch.softmax(scores + bias, dim=-1)
    weights = _dropped(module, weights.to(v.dtype), dropout)
    return group.unpad(torch.matmul(weights, v))


def _dropped(module: torch.nn.Module, weights: torch.Tensor, rate: float) -> torch.Tensor:
    """Through the layer's own dropout module where it has one: its masks may be cheaper."""
    dropout = getattr(module, "dropout", None)
    if isinstance(dropout, torch.nn.Module):
        dropped: torch.Tensor = dropout(weights)
        return dropped
    return torch.nn.functional.dropout(weights, rate)


AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, lambda **_: None)


def forbid_packing(model: SentenceTransformer) -> None:
    """Leave this model its own attention, which the user has chosen."""
    setattr(model, _FORBIDDEN, True)


# What was tried last for a model: how it was built then, and whether packing agreed.
_tried: WeakKeyDictionary[SentenceTransformer, tuple[Any, bool]] = WeakKeyDictionary()


def can_pack(model: SentenceTransformer) -> bool:
    """Whether packed batches give this model's embeddings: tried on texts of several lengths.

    Tried once, and again when the model is built otherwise than before: an adapter, another module,
    another number format. Its weights do not matter.
    """
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    if (
        config is None
        or getattr(model, _FORBIDDEN, False)
        or config.model_type not in _ARCHITECTURES
        or getattr(config, "sliding_window", None) is not None
        or any(type(module) not in _MODULES for module in model)
    ):
        return False
    built = _built(model)
    if model not in _tried or _tried[model][0] != built:
        training = model.training
        model.eval()
        try:
            with torch.autocast(model.device.type, enabled=False):  # 16 bits agree by chance
                _tried[model] = (built, bool(speedup("packed batches", partial(_tried_on, model))))
        finally:
            model.train(training)
    return _tried[model][1]


def _built(model: SentenceTransformer) -> Any:
    """All of a model that decides how tokens become an embedding, but for its weights' values."""
    config: Any = getattr(model.transformers_model, "config", None)
    return (
        repr(model),  # what its outer modules do, and with what settings
        [type(module) for module in model.modules()],
        {(parameter.dtype, parameter.device) for parameter in model.parameters()},
        config.to_json_string(use_diff=False),
        AttentionMaskInterface()[_ATTENTION],
        AttentionInterface()[_ATTENTION],
    )


@torch.no_grad()
def _tried_on(model: SentenceTransformer) -> bool:
    """True. Raises ArithmeticError where packed batches give other embeddings."""
    features = [preprocess(model, [text]) for text in PROBE]
    lengths = np.array([each["input_ids"].shape[1] for each in features])
    flat = {
        name: torch.cat([each[name][0] for each in features])
        for name, value in features[0].items()
        if isinstance(value, torch.Tensor)
    }
    constant = {k: v for k, v in features[0].items() if not isinstance(v, torch.Tensor)}
    with packed_attention(model, pack(flat, lengths, model.device, pad_token=0)) as packed:
        found = model({**constant, **packed})["sentence_embedding"][:-1]
    alone = [
        model({name: _moved(value, model.device) for name, value in each.items()})
        for each in features
    ]
    wanted = torch.cat([each["sentence_embedding"] for each in alone])
    if not torch.allclose(found.float(), wanted.float(), atol=AGREES, rtol=AGREES):
        raise ArithmeticError("they do not give this model's embeddings")
    return True


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value
