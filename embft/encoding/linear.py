"""Linear layers in float32, outside of training, by the faster of torch's two libraries.

For float32 torch asks MKL, which on processors of AMD leaves half of AVX-512 unused; oneDNN does
not: 89 and 205 GFLOP/s on one core of an EPYC. Their sums differ in order, so in the last digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch.nn import Linear


@contextmanager
def fast_linear(model: torch.nn.Module) -> Iterator[None]:
    """While open, the model's linear layers in float32 are computed by oneDNN.

    Nothing changes under autocast, where gradients flow, on a GPU, or without AVX-512.
    """
    layers = list(_plain(model)) if _gains() else []
    for layer in layers:
        vars(layer)["forward"] = partial(_product, layer)
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)  # the class's own again


def _gains() -> bool:
    return torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_supported()


def _plain(model: torch.nn.Module) -> Iterator[Linear]:
    """Layers that are linear and nothing more, in float32 on a CPU."""
    for each in model.modules():
        if type(each) is not Linear or "forward" in vars(each):
            continue
        if each.weight.dtype == torch.float32 and each.weight.device.type == "cpu":
            yield each


def _product(layer: Linear, values: torch.Tensor) -> torch.Tensor:
    other = values.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if other or torch.is_grad_enabled():
        return Linear.forward(layer, values)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        values, layer.weight, layer.bias, "none", [], ""
    )
    return product
