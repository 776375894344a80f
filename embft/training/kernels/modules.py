"""Any model in training, with its modules computed by the fused functions, each in its own place.

Linear layers, whole or with plain LoRA, activations that are known by what they compute, and
attention within packed texts. What stands between them stays the model's own code, so nothing here
knows an architecture. `encoder.py` computes whole layers where it knows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from embft.encoding.attention import compute_by
from embft.training.kernels import functions
from embft.training.kernels.attending import attend_by_kind
from embft.training.kernels.projecting import Projecting, is_known_linear, weights_of

_TRIED = torch.linspace(-9, 9, 181)
_FORMATS = {torch.float32, torch.bfloat16}


class FastModules:
    """A model's modules while it is trained; `generator` draws what dropout drops.

    halves: of trained weights what products use of them, while they are used in another format.
    """

    def __init__(self, model: nn.Module, generator: np.random.Generator) -> None:
        self.projecting = Projecting(generator)
        self.halves = self.projecting.halves
        self.attend = partial(attend_by_kind, generator)
        self.linears = [each for each in _outermost(model) if is_known_linear(each)]
        self.activations = [(each, kind) for each in model.modules() if (kind := _known(each))]
        self.calls = Counter[nn.Module]()  # of linear layers, until they first stop
        self.once: list[torch.Tensor] | None = None
        self.started = False
        self.last: tuple[torch.Tensor, torch.Tensor] | None = None

    def start(self, dtype: torch.dtype | None = None) -> None:
        """From now on the modules compute so.

        dtype: has trained weights' gradients in this format, and products of `halves` in it, which
        who changes a weight is to change with it. Not where gradients are sums of several passes'.
        """
        self.started = True
        for linear in self.linears:
            vars(linear)["forward"] = partial(self._linear, linear)
        for activation, kind in self.activations:
            vars(activation)["forward"] = partial(self._activation, activation, kind)
        for parameter in self.once or [] if dtype else []:
            parameter.grad_dtype = dtype
            self.halves[parameter] = parameter.detach().to(dtype)

    def stop(self) -> None:
        """From now on the modules compute as their own code does."""
        self.started, self.last = False, None
        if self.once is None:
            self.once = [*self._used_once()]
        for module in [*self.linears, *(each for each, _ in self.activations)]:
            vars(module).pop("forward", None)
        for parameter in self.halves:
            parameter.grad_dtype = parameter.dtype
        self.halves.clear()

    def _used_once(self) -> Iterator[torch.Tensor]:
        """Trained weights and biases of linear layers that a step runs through once, not those of
        adapters: of others the gradients are sums, which are to be float32.
        """
        for linear, calls in self.calls.items():
            if calls == 1:
                yield from (w for w in weights_of(linear)[:2] if w is not None and w.requires_grad)

    def computing(self) -> AbstractContextManager[None]:
        """In the block attention is computed so, too, where the modules are."""
        return compute_by(self.attend) if self.started else nullcontext()

    def _linear(self, linear: Any, x: torch.Tensor) -> torch.Tensor:
        if self.once is None:
            self.calls[linear] += 1
        rows = self._narrowed(x)
        if rows.dtype not in _FORMATS:
            found: torch.Tensor = type(linear).forward(linear, x)
            return found
        (found,) = self.projecting(rows.reshape(-1, x.shape[-1]), linear)
        return found.view(*x.shape[:-1], -1)

    def _narrowed(self, x: torch.Tensor) -> torch.Tensor:
        """In the format of products; once where several layers have one input."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if x.dtype == dtype:
            return x
        if self.last is None or self.last[0] is not x:
            self.last = (x, x.to(dtype))
        return self.last[1]

    def _activation(self, module: Any, kind: Any, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (
            kind(x.contiguous()) if x.dtype in _FORMATS else type(module).forward(module, x)
        )
        return found


def _outermost(model: nn.Module) -> Iterator[nn.Module]:
    """Modules, without those below a linear layer that has an adapter."""
    yield model
    if not hasattr(model, "base_layer"):
        for child in model.children():
            yield from _outermost(child)


def _known(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The compiled function that computes what this activation does, tried on some numbers."""
    if any(True for _ in module.parameters()) or any(True for _ in module.children()):
        return None
    if not type(module).__module__.startswith(("torch.nn.modules.act", "transformers.activations")):
        return None
    try:
        found = module(_TRIED)
    except (TypeError, RuntimeError, ValueError):
        return None
    same = (ours for ours, theirs in functions.ACTIVATIONS if _close(found, theirs(_TRIED)))
    return next(same, None)


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, atol=1e-6)
