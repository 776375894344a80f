"""Attention of architectures that compute it themselves, by the packed one while a batch is packed.

Most of transformers' architectures ask for attention by a name, so that another can be put in its
place (`attention.py`). MPNet does not: its layers multiply queries and keys by themselves, and add
a bias by relative position.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from embft.encoding.attention import attend, read_batch

_ATTENTION, _ENCODER = "MPNetSelfAttention", "MPNetEncoder"


def has_own_attention(transformer: torch.nn.Module) -> bool:
    """Whether this is a model whose attention `packed` replaces."""
    return type(getattr(transformer, "encoder", None)).__name__ == _ENCODER


@contextmanager
def packed(transformer: torch.nn.Module) -> Iterator[None]:
    """While open, the model's layers attend within the texts of the batch that is read.

    Nothing changes for a model of another architecture.
    """
    changed = list(_replaced(transformer)) if has_own_attention(transformer) else []
    for module, name, function in changed:
        vars(module)[name] = function
    try:
        yield
    finally:
        for module, name, _ in changed:
            del vars(module)[name]  # the class's own again


def _replaced(transformer: Any) -> Iterator[tuple[torch.nn.Module, str, Any]]:
    encoder = transformer.encoder
    yield encoder, "compute_position_bias", partial(_position_bias, encoder)
    for layer in encoder.layer:
        attention = layer.attention.attn
        if type(attention).__name__ == _ATTENTION:
            yield attention, "forward", partial(_attend, attention)


def _position_bias(encoder: Any, states: torch.Tensor) -> torch.Tensor:
    """The bias of the longest text, shape (1, heads, n, n): it depends on distances alone."""
    batch: Any = read_batch()  # only packed batches come here
    found: torch.Tensor = type(encoder).compute_position_bias(
        encoder, states.new_empty((1, batch.longest, 0))
    )
    return found


def _attend(
    module: Any,
    states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor]:
    """As MPNet's own: projections, attention with a bias by position, and the output's layer."""
    shape = (*states.shape[:-1], -1, module.attention_head_size)
    q, k, v = (each(states).view(shape).transpose(1, 2) for each in (module.q, module.k, module.v))
    rate = module.dropout.p if module.training else 0.0
    seen, _none = attend(module, q, k, v, attention_mask, dropout=rate, position_bias=position_bias)
    return (module.o(seen.reshape(*states.shape[:-1], -1)),)
