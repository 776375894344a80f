"""Dropout whose masks are cheap to draw on a CPU.

torch draws them one number at a time from a Mersenne twister, which was a quarter of a LoRA step.
Here 16 random bits decide an element, drawn in bulk by numpy's SFC64: the rate is met to 1/65536.
"""

from __future__ import annotations

import numpy as np
import torch

_LEVELS = 1 << 16
_WORD = 1 << 64  # four draws at once, several times faster than one by one


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
        drawn = words.view(np.uint16)[: values.numel()]
        kept = torch.from_numpy(drawn >= round(self.p * _LEVELS)).view(values.shape)
        return values * kept.to(values.dtype).mul_(1.0 / (1.0 - self.p))


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
