"""A transformer's encoder in training, computed by the fused functions.

Covers the layers of BERT and RoBERTa and their kin on a CPU, whole or with plain LoRA. Of other
models single modules are (`modules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn import LayerNorm
from transformers.activations import GELUActivation
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from embft.encoding.attention import Batch, read_batch
from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import functions
from embft.training.kernels.attending import attend
from embft.training.kernels.functions import Seen
from embft.training.kernels.projecting import Projecting, is_known_linear, weights_of
from embft.training.kernels.vectors import LANES

_LAYERS = {"BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer"}


def knows(model: Any) -> bool:
    """Whether the layers of this model's encoder are made as `FusedEncoder` computes them."""
    layers = getattr(getattr(model.transformers_model, "encoder", None), "layer", ())
    return bool(layers) and all(map(_is_known, layers))


def _is_known(layer: Any) -> bool:
    """Whether a layer is made as `FusedEncoder` computes it."""
    if type(layer).__name__ not in _LAYERS or layer.is_decoder or layer.chunk_size_feed_forward:
        return False
    attention, outputs = layer.attention.self, (layer.attention.output, layer.output)
    return (
        attention.attention_head_size % LANES == 0
        and type(layer.intermediate.intermediate_act_fn) is GELUActivation
        and all(type(output.LayerNorm) is LayerNorm for output in outputs)
        and all(map(is_known_linear, _linears(layer)))
        and {p.dtype for p in layer.parameters()} == {torch.float32}
    )


def _linears(layer: Any) -> list[Any]:
    attention, outputs = layer.attention.self, (layer.attention.output, layer.output)
    return [
        attention.query, attention.key, attention.value, layer.intermediate.dense,
        *(output.dense for output in outputs),
    ]  # fmt: skip


class FusedEncoder:
    """An encoder's forward pass; `generator` draws what dropout drops.

    halves: of trained weights what products use of them, while they are used in another format.
    """

    def __init__(self, encoder: Any, generator: np.random.Generator) -> None:
        self.encoder, self.generator = encoder, generator
        self.plain = encoder.forward
        self.project = Projecting(generator)
        self.halves = self.project.halves
        self.calls = 0

    def start(self, dtype: torch.dtype | None = None) -> None:
        """From now on the encoder computes so.

        dtype: has trained weights' gradients in this format, and products of `halves` in it, which
        who changes a weight is to change with it. Not where gradients are sums of several passes'.
        """
        self.encoder.forward = self.forward
        trained = _trained(self.encoder.layer) if dtype else []
        for parameter in trained:
            parameter.grad_dtype = dtype
            self.halves[parameter] = parameter.detach().to(dtype)

    def stop(self) -> None:
        """From now on the encoder computes as its own code does."""
        vars(self.encoder).pop("forward", None)
        for parameter in self.halves:
            parameter.grad_dtype = parameter.dtype
        self.halves.clear()

    def computing(self) -> AbstractContextManager[None]:
        """In the block the encoder computes so, once it is started."""
        return nullcontext()

    def forward(self, hidden_states: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        """As the encoder's own, for packed batches."""
        batch = read_batch()
        if batch is None:
            return self.plain(hidden_states, *arguments, **named)
        self.calls += 1
        device = hidden_states.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        states = hidden_states[0]
        halves = states.to(dtype or states.dtype)
        for layer in self.encoder.layer:
            states, halves = self._layer(layer, batch, states, halves)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])

    def _layer(
        self, layer: Any, batch: Batch, states: torch.Tensor, halves: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """states: what is added from layer to layer; halves: the same for products."""
        attention, dense = layer.attention.self, layer.attention.output
        q, k, v = self.project(halves, attention.query, attention.key, attention.value)
        heads, rate = attention.num_attention_heads, attention.dropout
        seen = attend(q, k, v, None, batch, heads, Seen(attention.scaling), self._draw(rate))
        states, halves = self._norm(self.project(seen, dense.dense)[0], states, dense)
        (inner,) = self.project(halves, layer.intermediate.dense)
        (outer,) = self.project(functions.gelu(inner), layer.output.dense)
        return self._norm(outer, states, layer.output)

    def _norm(
        self, x: torch.Tensor, residual: torch.Tensor, output: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        norm, bits = output.LayerNorm, self.project.dropout_bits(output.dropout, x.numel())
        found = functions.norm(x, residual, norm.weight, norm.bias, norm.eps, bits)
        return found[0], found[-1]

    def _draw(self, dropout: Any) -> Callable[[int], DropoutBits]:
        return lambda n: self.project.dropout_bits(dropout, n)


def _trained(layers: Iterable[Any]) -> list[torch.Tensor]:
    """Weights and biases of the layers' linear layers, not those of adapters."""
    linears = [linear for layer in layers for linear in _linears(layer)]
    weights = [weight for linear in linears for weight in weights_of(linear)[:2]]
    return [w for w in weights if w is not None and w.requires_grad]
