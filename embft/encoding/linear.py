"""Products of matrices in float32, outside of training, by the faster of torch's two libraries.

For float32 torch asks MKL, which on processors of AMD may leave half of AVX-512 unused; oneDNN does
not: 89 and 205 GFLOP/s on one core of one EPYC, 94 and 105 on one of another. Their sums differ in
order, so in the last digits. An activation is computed as a product is written, which
spares passes over the widest values of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import product as combinations
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch.nn import Linear

from embft.encoding.activated import KINDS, NONE, Activated, Kind, activated
from embft.encoding.processor import has_instructions
from embft.system.speedups import speedup

_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_AGREES = 1e-4
_Run = Callable[[], torch.Tensor]


class _Product(Protocol):
    def __call__(
        self,
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        kind: Kind = ...,
    ) -> torch.Tensor: ...


# Of a model, the numbers of its modules when it was tried, and the pairs that were found.
_tried: WeakKeyDictionary[torch.nn.Module, tuple[list[int], list[Activated]]]
_tried = WeakKeyDictionary()


@contextmanager
def fast_linear(model: torch.nn.Module, run: _Run | None = None) -> Iterator[None]:
    """While open, the model's linear layers in float32 are computed by oneDNN.

    run: what the model makes of a text. With it, activations that follow a layer at once are
    computed with its product, where the model then makes the same of the text. Nothing changes
    under autocast, where gradients flow, on a GPU, or without AVX-512.
    """
    product = _faster_product()
    if product is None:
        yield
        return
    pairs = [] if run is None else _pairs(model, run, product)
    with _replaced(model, product, pairs):
        yield


@contextmanager
def _replaced(
    model: torch.nn.Module, product: _Product, pairs: Sequence[Activated]
) -> Iterator[None]:
    layers, own = list(_plain(model)), {pair.linear: pair for pair in pairs}
    changed: list[torch.nn.Module] = [*layers]
    for layer in layers:
        vars(layer)["forward"] = partial(_forward, layer, product, own.get(layer))
        if layer in own:
            vars(own[layer].activation)["forward"] = _as_it_is
            changed.append(own[layer].activation)
    try:
        yield
    finally:
        for module in changed:
            vars(module).pop("forward", None)  # the class's own again


def _pairs(model: torch.nn.Module, run: _Run, product: _Product) -> list[Activated]:
    """Layers with the activation behind them, tried once for a model as it is built."""
    modules = list(map(id, model.modules()))  # the modules themselves would keep the model alive
    if model not in _tried or _tried[model][0] != modules:
        found = speedup("activations with products", partial(_agreeing, model, run, product))
        _tried[model] = modules, found or []
    return _tried[model][1]


@torch.no_grad()
def _agreeing(model: torch.nn.Module, run: _Run, product: _Product) -> list[Activated]:
    """The pairs, or none where the model makes something else of the text with them: it may use
    what a layer gives elsewhere too.
    """
    plain = set(_plain(model))
    pairs = [pair for pair in activated(model, run) if pair.linear in plain]
    wanted = run()
    with _replaced(model, product, pairs):
        found = run()
    return pairs if torch.allclose(found, wanted, atol=_AGREES, rtol=_AGREES) else []


def dot_products(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The product of every row (n, width) with every row (m, width) in float32, (n, m)."""
    product = None if torch.is_grad_enabled() else _faster_product()
    return first @ second.T if product is None else product(first, second, None)


def _as_it_is(values: torch.Tensor) -> torch.Tensor:
    return values


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
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        kind: Kind = NONE,
    ) -> torch.Tensor:
        found: torch.Tensor = operator(values, weight, bias, kind.name, [], kind.formula)
        return found

    values, weight = torch.linspace(-1, 1, 48).view(2, 3, 8), torch.linspace(-1, 2, 40).view(5, 8)
    for bias, (kind, activation) in combinations((torch.linspace(0, 1, 5), None), KINDS):
        wanted = activation(torch.nn.functional.linear(values, weight, bias))
        if not torch.allclose(product(values, weight, bias, kind), wanted, atol=1e-5):
            raise ArithmeticError("its product of two small matrices is not torch's")
    return product


def _plain(model: torch.nn.Module) -> Iterator[Linear]:
    """Layers that are linear and nothing more, in float32 on a CPU."""
    for each in model.modules():
        if type(each) is not Linear or "forward" in vars(each):
            continue
        if each.weight.dtype == torch.float32 and each.weight.device.type == "cpu":
            yield each


def _forward(
    layer: Linear, product: _Product, pair: Activated | None, values: torch.Tensor
) -> torch.Tensor:
    """The layer's result, with the activation behind it where there is a pair."""
    other = values.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if other or torch.is_grad_enabled():
        found = Linear.forward(layer, values)
        return found if pair is None else type(pair.activation).forward(pair.activation, found)
    return product(values, layer.weight, layer.bias, NONE if pair is None else pair.kind)
