"""Which number format a step computes in, and what that costs once instead of every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from embft.encoding.processor import has_instructions
from embft.models.supported import trains_in_16_bits
from embft.system.machine import MULTIPLIES_BF16

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(asked: str, device: str, architecture: str = "") -> str:
    """`fp32`, `bf16` or `fp16`. `auto` is bf16 where the processor multiplies it natively and the
    model's architecture stays finite with it.
    """
    if asked != "auto":
        return asked
    if not trains_in_16_bits(architecture):
        return "fp32"
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device == "cpu" and _multiplies_bf16() else "fp32"


def _multiplies_bf16() -> bool:
    """Whether the CPU has instructions for products in bfloat16: AVX512_BF16, AMX, or Arm's."""
    return any(map(has_instructions, MULTIPLIES_BF16))


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """Products in this precision, sums and norms in float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device, dtype=_DTYPES[precision])


@contextmanager
def autocast_forward(model: torch.nn.Module, precision: str, device: str) -> Iterator[None]:
    """While open, the model's forward computes in this precision, whoever calls it.

    Autograd may call it from a thread of its own, which knows nothing of an autocast around it.
    """
    plain = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with autocast(precision, device):
            return plain(*args, **kwargs)

    model.forward = forward
    try:
        yield
    finally:
        del model.forward  # the class's own again


class FrozenWeights:
    """The weights of frozen linear layers, kept in float32 and in the step's precision.

    Autocast would cast them anew in every step. `half()` before training, `full()` before anything
    is scored or saved.
    """

    def __init__(self, model: torch.nn.Module, precision: str) -> None:
        self.weights: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        if precision == "fp32":
            return
        dtype = _DTYPES[precision]
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and not module.weight.requires_grad:
                for parameter in (module.weight, module.bias):
                    if parameter is not None and parameter.dtype == torch.float32:
                        self.weights.append((parameter, parameter.data, parameter.data.to(dtype)))

    def half(self) -> None:
        """Compute in the precision of training from here on."""
        for parameter, _, half in self.weights:
            parameter.data = half

    def full(self) -> None:
        """Compute in float32 from here on."""
        for parameter, full, _ in self.weights:
            parameter.data = full
