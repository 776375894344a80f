"""Products of matrices in float32, outside of training, by the faster of torch's two libraries.

For float32 torch asks MKL, which on processors of AMD leaves half of AVX-512 unused; oneDNN does
not: 89 and 205 GFLOP/s on one core of an EPYC. Their sums differ in order, so in the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch.nn import Linear

from embft.encoding.processor import has_instructions
from embft.system.speedups import speedup

_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


@contextmanager
def fast_linear(model: torch.nn.Module) -> Iterator[None]:
    """While open, the model's linear layers in float32 are computed by oneDNN.

    Nothing changes under autocast, where gradients flow, on a GPU, or without AVX-512.
    """
    product = _faster_product()
    layers = []
    if product is not None:
        layers = list(_plain(model))
        for layer in layers:
            vars(layer)["forward"] = partial(_forward, layer, product)
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)  # the class's own again


def dot_products(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The product of every row (n, width) with every row (m, width) in float32, (n, m)."""
    product = None if torch.is_grad_enabled() else _faster_product()
    return first @ second.T if product is None else product(first, second, None)


def _faster_product() -> _Product | None:
    """The product of values, weights and bias by oneDNN, where it gains something."""
    gains = torch.backends.mkldnn.is_available() and has_instructions(*_AVX512)
    return _by_onednn() if gains else None


@cache
def _by_onednn() -> _Product | None:
    return speedup("oneDNN's float32 products", _onednn)


def _onednn() -> _Product:
    """Raises AttributeError where torch has no such operator, and ArithmeticError where the one
    that it has gives another product.
    """
    operator = torch.ops.mkldnn._linear_pointwise

    def product(
        values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        found: torch.Tensor = operator(values, weight, bias, "none", [], "")
        return found

    values, weight = torch.linspace(-1, 1, 48).view(2, 3, 8), torch.linspace(-1, 2, 40).view(5, 8)
    for bias in (torch.linspace(0, 1, 5), None):
        wanted = torch.nn.functional.linear(values, weight, bias)
        if not torch.allclose(product(values, weight, bias), wanted, atol=1e-5):
            raise ArithmeticError("its product of two small matrices is not torch's")
    return product


def _plain(model: torch.nn.Module) -> Iterator[Linear]:
    """Layers that are linear and nothing more, in float32 on a CPU."""
    for each in model.modules():
        if type(each) is not Linear or "forward" in vars(each):
            continue
        if each.weight.dtype == torch.float32 and each.weight.device.type == "cpu":
            yield each


def _forward(layer: Linear, product: _Product, values: torch.Tensor) -> torch.Tensor:
    other = values.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if other or torch.is_grad_enabled():
        return Linear.forward(layer, values)
    return product(values, layer.weight, layer.bias)
