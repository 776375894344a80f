"""Linear layers of any model by the fused function, whole or with one plain adapter."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch.nn import Identity, Linear

from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import functions
from embft.training.kernels.functions import Adapter
from embft.training.kernels.vectors import LANES


class Projecting:
    """Computes linear layers; `generator` draws what dropout drops.

    halves: of trained weights what products use of them, while they are used in another format.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.halves: dict[torch.Tensor, torch.Tensor] = {}

    def __call__(self, x: torch.Tensor, *linears: Any) -> tuple[torch.Tensor, ...]:
        """The result of each layer for x, shape (n, width), in x's format."""
        adapters, tensors = list[Adapter | None](), list[torch.Tensor | None]()
        used = list[torch.Tensor | None]()
        for linear in linears:
            tensors += weights_of(linear)
            used += [
                each if each is None else self.halves.get(each, each) for each in tensors[-4:-2]
            ]
            adapters.append(None)
            if isinstance(linear, LoraLinear):
                (name,) = linear.active_adapters
                bits = self.dropout_bits(linear.lora_dropout[name], x.numel())
                adapters[-1] = Adapter(linear.scaling[name], bits)
        found: tuple[torch.Tensor, ...] = functions.project(x, adapters, used, *tensors)
        return found

    def dropout_bits(self, dropout: Any, n: int) -> DropoutBits:
        """What this dropout module does to n elements."""
        rate = dropout.p if dropout.training and not isinstance(dropout, Identity) else 0.0
        return DropoutBits.draw(rate, n, self.generator)


def is_known_linear(linear: Any) -> bool:
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


def weights_of(linear: Any) -> list[torch.Tensor | None]:
    """Its weight and bias, and its adapter's two matrices, each None where there is none."""
    if not isinstance(linear, LoraLinear):
        return [linear.weight, linear.bias, None, None]
    (name,) = linear.active_adapters
    base: Any = linear.get_base_layer()
    return [base.weight, base.bias, linear.lora_A[name].weight, linear.lora_B[name].weight]
