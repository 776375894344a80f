"""Dropout whose masks are cheap to draw on a CPU."""

from __future__ import annotations

import numpy as np
import torch

from embft.training.dropout_bits import DropoutBits

# The bits of 1.0: a mask made of them is ready, where one of truth values would be cast, slowly.
_ONES = {torch.bfloat16: np.uint16(0x3F80), torch.float16: np.uint16(0x3C00)}


class BulkDropout(torch.nn.Module):
    """`torch.nn.Dropout` (Srivastava et al., 2014) with masks from a generator of its own."""

    def __init__(self, p: float, generator: np.random.Generator) -> None:
        super().__init__()
        self.p = p
        self.generator = generator

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share p of the values at random and scale the others by 1 / (1 - p)."""
        if not self.training or self.p == 0.0:
            return values
        bits, least, scale = DropoutBits.draw(self.p, values.numel(), self.generator)
        kept = bits >= least
        one = _ONES.get(values.dtype)
        if one is None:
            mask = torch.from_numpy(kept * np.float32(scale)).view(values.shape)
            return values * mask.to(values.dtype)
        # The scale is no 16 bit number: rounded into the mask it would shrink every value alike
        # (1.1111 -> 1.1094 in bfloat16). As a Python number it is not rounded, its products are.
        return values * torch.from_numpy(kept * one).view(values.dtype).view(values.shape) * scale


def use_bulk_dropout(model: torch.nn.Module, seed: int) -> np.random.Generator:
    """Replace every `Dropout` of a model on the CPU; masks then depend on the seed alone.

    Returns the generator that draws them.
    """
    generator = np.random.Generator(np.random.SFC64(seed))
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Dropout:
                setattr(module, name, BulkDropout(child.p, generator))
    return generator
