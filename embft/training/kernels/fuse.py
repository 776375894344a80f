"""The fastest way of training a model that is found to compute what the model does."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from embft.encoding.encoder import Encoder, Tokenised
from embft.encoding.packing import AGREES, PROBE, can_pack
from embft.system.speedups import speedup
from embft.training.kernels import encoder as encoders
from embft.training.kernels.encoder import FusedEncoder
from embft.training.kernels.modules import FastModules

_ROUNDING = 1e-5
# One text is longer than those that attention takes where they lie.
_TEXTS = (*PROBE, " ".join(map(str, range(150))))

Fused = FusedEncoder | FastModules


def fuse(model: SentenceTransformer, generator: np.random.Generator) -> Fused | None:
    """The model's encoder, fused; of layers that we do not know, its modules; None where neither
    computes what the model does.

    generator: draws what dropout drops.
    """
    if model.device.type != "cpu" or model.transformers_model is None:
        return None
    found = speedup("compiled layers", partial(_encoder, model, generator))
    return found or speedup("compiled modules", partial(_modules, model, generator))


def _encoder(model: SentenceTransformer, generator: np.random.Generator) -> FusedEncoder | None:
    if not (can_pack(model) and encoders.knows(model)):
        return None
    transformer: Any = model.transformers_model
    fused = FusedEncoder(transformer.encoder, generator)
    _check(model, fused)
    if not fused.calls:
        raise ArithmeticError("the model does not call them")
    return fused


def _modules(model: SentenceTransformer, generator: np.random.Generator) -> FastModules | None:
    transformer: Any = model.transformers_model
    fast = FastModules(transformer, generator)
    _check(model, fast)
    return fast if fast.calls else None


def _check(model: SentenceTransformer, fused: Fused) -> None:
    """Raise ArithmeticError unless it gives this model's embeddings and gradients, tried in float32
    without dropout.
    """
    encoder = Encoder(model, Tokenised(model, [_TEXTS]))
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
    same = torch.allclose(found[0], wanted[0], atol=AGREES, rtol=AGREES)
    if not (same and all(map(close, found[1:], wanted[1:]))):
        raise ArithmeticError("they do not give this model's embeddings and gradients")


def _trial(encoder: Encoder, fused: Fused) -> list[torch.Tensor]:
    """Embeddings of a few texts, and the gradients of their sum at the trained weights."""
    with fused.computing():
        embeddings = encoder.embed(range(len(_TEXTS)))
    transformer: Any = encoder.model.transformers_model
    weights = [p for p in transformer.parameters() if p.requires_grad]
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
