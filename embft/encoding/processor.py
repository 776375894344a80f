"""What the processor can multiply: as torch says, or, where it does not, the system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from embft.system.machine import processor_features


def has_instructions(*names: str) -> bool:
    """Whether the processor has all of these. Names as torch and Linux write them, without
    underscores: `avx512f`, `avx512bf16`, `amxtile`, on Arm `bf16`, `svebf16`.
    """
    return _found().issuperset(names)


def _found() -> frozenset[str]:
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    reported = [name for name, there in ask().items() if there is True] or processor_features()
    return frozenset(name.replace("_", "") for name in reported)
