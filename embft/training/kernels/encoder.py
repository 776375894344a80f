"""A transformer's encoder in training, computed by the fused functions.

Covers the layers of BERT and RoBERTa and their kin on a CPU, whole or with plain LoRA. All else
computes as its own code does.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from sentence_transformers import SentenceTransformer
from torch.nn import Identity, LayerNorm, Linear
from transformers.activations import GELUActivation
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from embft.encoding.encoder import Encoder, Tokenised
from embft.encoding.packing import AGREES, PROBE, packed_starts
from embft.system.speedups import speedup
from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import functions
from embft.training.kernels.functions import Adapter, Texts
from embft.training.kernels.vectors import LANES

_LAYERS = {"BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer"}
# Products of longer texts are large enough for a library, and in 16 bits it has faster ones.
_LONGEST = 128
_ROUNDING = 1e-5


def fuse(model: SentenceTransformer, generator: np.random.Generator) -> FusedEncoder | None:
    """The model's encoder, fused; None where its layers are others than those that we know.

    generator: draws what dropout drops. The model must pack.
    """
    return speedup("compiled layers", partial(_fused, model, generator))


def _fused(model: SentenceTransformer, generator: np.random.Generator) -> FusedEncoder | None:
    """As `fuse`. Raises ArithmeticError where the layers compute otherwise than we know them."""
    encoder: Any = getattr(model.transformers_model, "encoder", None)
    layers = getattr(encoder, "layer", ())
    if model.device.type != "cpu" or not layers or not all(map(_is_known, layers)):
        return None
    fused = FusedEncoder(encoder, generator)
    if not _agrees(model, fused):
        raise ArithmeticError("they do not give this model's embeddings and gradients")
    return fused


def _is_known(layer: Any) -> bool:
    """Whether a layer is made as `FusedEncoder` computes it."""
    if type(layer).__name__ not in _LAYERS or layer.is_decoder or layer.chunk_size_feed_forward:
        return False
    attention, outputs = layer.attention.self, (layer.attention.output, layer.output)
    return (
        attention.attention_head_size % LANES == 0
        and type(layer.intermediate.intermediate_act_fn) is GELUActivation
        and all(type(output.LayerNorm) is LayerNorm for output in outputs)
        and all(map(_is_known_linear, _linears(layer)))
        and {p.dtype for p in layer.parameters()} == {torch.float32}
    )


def _linears(layer: Any) -> list[Any]:
    attention, outputs = layer.attention.self, (layer.attention.output, layer.output)
    return [
        attention.query, attention.key, attention.value, layer.intermediate.dense,
        *(output.dense for output in outputs),
    ]  # fmt: skip


def _is_known_linear(linear: Any) -> bool:
    """A linear layer, or one with one plain adapter that no weights are merged with.

    An adapted one is of whole blocks: the compiled loops write no other.
    """
    if type(linear) is not LoraLinear:
        return type(linear) is Linear
    names, base = linear.active_adapters, linear.get_base_layer()
    return (
        type(base) is Linear
        and base.in_features % LANES == base.out_features % LANES == 0
        and len(names) == 1
        and not (linear.disable_adapters or linear.merged or linear.lora_variant)
        and linear.lora_B[names[0]].bias is None
    )


def _agrees(model: SentenceTransformer, fused: FusedEncoder) -> bool:
    """Whether the fused encoder gives this model's embeddings and its layers' gradients, tried in
    float32 without dropout.
    """
    encoder = Encoder(model, Tokenised(model, [PROBE]))
    training = model.training
    model.eval()
    try:
        wanted = _trial(encoder, fused)
        fused.start()
        found = _trial(encoder, fused)
    finally:
        fused.stop()
        model.train(training)
    largest = max((float(each.abs().max()) for each in wanted[1:]), default=0.0)
    close = partial(_alike, least=_ROUNDING * largest)
    return (
        fused.calls > 0
        and torch.allclose(found[0], wanted[0], atol=AGREES, rtol=AGREES)
        and all(map(close, found[1:], wanted[1:]))
    )


def _trial(encoder: Encoder, fused: FusedEncoder) -> list[torch.Tensor]:
    """Embeddings of a few texts, and the gradients of their sum at the trained weights."""
    embeddings = encoder.embed(range(len(PROBE)))
    weights = [p for p in fused.encoder.parameters() if p.requires_grad]
    if not weights:
        return [embeddings.detach()]
    shares = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
    total = (embeddings * shares).sum()
    gradients = torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)
    return [embeddings.detach(), *gradients]


def _alike(found: torch.Tensor, wanted: torch.Tensor, least: float) -> bool:
    """least: the rounding of gradients of which nothing would be left in exact numbers."""
    off = 10 * AGREES * float(wanted.abs().max()) + least
    return torch.allclose(found, wanted, rtol=0.0, atol=off)


class FusedEncoder:
    """An encoder's forward pass; `generator` draws what dropout drops.

    halves: of trained weights what products use of them, while they are used in another format.
    """

    def __init__(self, encoder: Any, generator: np.random.Generator) -> None:
        self.encoder, self.generator = encoder, generator
        self.plain = encoder.forward
        self.halves: dict[torch.Tensor, torch.Tensor] = {}
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

    def forward(self, hidden_states: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        """As the encoder's own, for packed batches."""
        starts = packed_starts()
        if starts is None or int(np.diff(starts).max()) > _LONGEST:
            return self.plain(hidden_states, *arguments, **named)
        self.calls += 1
        device = hidden_states.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        states = hidden_states[0]
        halves = states.to(dtype or states.dtype)
        layers = self.encoder.layer
        texts = Texts.of(starts, layers[0].attention.self.num_attention_heads)
        for layer in layers:
            states, halves = self._layer(layer, texts, states, halves)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])

    def _layer(
        self, layer: Any, texts: Texts, states: torch.Tensor, halves: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """states: what is added from layer to layer; halves: the same for products."""
        attention, dense = layer.attention.self, layer.attention.output
        q, k, v = self._project(halves, attention.query, attention.key, attention.value)
        bits = self._dropout_bits(attention.dropout, int(texts.places[-1]))
        seen = functions.attend(q, k, v, texts, attention.scaling, bits)
        states, halves = self._norm(self._project(seen, dense.dense)[0], states, dense)
        (inner,) = self._project(halves, layer.intermediate.dense)
        (outer,) = self._project(functions.gelu(inner), layer.output.dense)
        return self._norm(outer, states, layer.output)

    def _project(self, x: torch.Tensor, *linears: Any) -> tuple[torch.Tensor, ...]:
        adapters, tensors = list[Adapter | None](), list[torch.Tensor | None]()
        used = list[torch.Tensor | None]()
        for linear in linears:
            tensors += _weights(linear)
            used += [
                each if each is None else self.halves.get(each, each) for each in tensors[-4:-2]
            ]
            adapters.append(None)
            if isinstance(linear, LoraLinear):
                (name,) = linear.active_adapters
                bits = self._dropout_bits(linear.lora_dropout[name], x.numel())
                adapters[-1] = Adapter(linear.scaling[name], bits)
        found: tuple[torch.Tensor, ...] = functions.project(x, adapters, used, *tensors)
        return found

    def _norm(
        self, x: torch.Tensor, residual: torch.Tensor, output: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        norm, bits = output.LayerNorm, self._dropout_bits(output.dropout, x.numel())
        found = functions.norm(x, residual, norm.weight, norm.bias, norm.eps, bits)
        return found[0], found[-1]

    def _dropout_bits(self, dropout: Any, n: int) -> DropoutBits:
        rate = dropout.p if dropout.training and not isinstance(dropout, Identity) else 0.0
        return DropoutBits.draw(rate, n, self.generator)


def _trained(layers: Iterable[Any]) -> list[torch.Tensor]:
    """Weights and biases of the layers' linear layers, not those of adapters."""
    linears = [linear for layer in layers for linear in _linears(layer)]
    weights = [weight for linear in linears for weight in _weights(linear)[:2]]
    return [w for w in weights if w is not None and w.requires_grad]


def _weights(linear: Any) -> list[torch.Tensor | None]:
    if not isinstance(linear, LoraLinear):
        return [linear.weight, linear.bias, None, None]
    (name,) = linear.active_adapters
    base: Any = linear.get_base_layer()
    return [base.weight, base.bias, linear.lora_A[name].weight, linear.lora_B[name].weight]
