"""Dropout whose masks are cheap to draw on a CPU.

torch draws them one number at a time from a Mersenne twister, which was a quarter of a LoRA step.
Here 16 random bits decide an element, drawn in bulk by numpy's SFC64: the rate is met to 1/65536.
"""

from __future__ import annotations

import numpy as np
import torch

_LEVELS = 1 << 16
_WORD = 1 << 64  # four draws at once, several times faster than one by one
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
        words = self.generator.integers(_WORD, size=-(-values.numel() // 4), dtype=np.uint64)
        kept = words.view(np.uint16)[: values.numel()] >= round(self.p * _LEVELS)
        scale = 1.0 / (1.0 - self.p)
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
