"""The optimizer: AdamW behind a limit on the gradients' norm, on a CPU in one compiled pass.

A step by the library reads the gradients for their norm, writes them anew where they exceed the
limit, reads them again, and the next step reads the weights once more to cast them for products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import Parameter

from embft.spec import TrainSpec
from embft.training.kernels import adamw


class ClippedAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019) whose steps first clip the gradients' norm.

    compiled: for float32 weights on a CPU, whose gradients no scaler multiplied. halves: of weights
    that products use in bfloat16 those values, which a compiled step brings up to date. Such a
    step leaves gradients as they are, and takes them in bfloat16, too.
    """

    def __init__(self, trainable: Sequence[Parameter], spec: TrainSpec, *, compiled: bool) -> None:
        groups = _decay_groups(trainable, spec)
        super().__init__(groups, lr=spec.learning_rate, fused=True)
        self.max_norm = spec.max_grad_norm
        self.halves: Mapping[torch.Tensor, torch.Tensor] = {}
        self.compiled = compiled and all(
            p.dtype == torch.float32 and p.is_contiguous() for p in trainable
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody has a closure
        """Change the weights."""
        if self.compiled:
            self._compiled_step()
        else:
            self._clip()
            super().step(closure)

    def _clip(self) -> None:
        """As `clip_grad_norm_`, which multiplies every gradient within the limit by 1, too."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # The library's own factor, 1e-6 included; a norm that is no number goes to the library.
        if not self.max_norm / (norm + 1e-6) >= 1:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm)

    def _compiled_step(self) -> None:
        table, rates, held = list[tuple[int, ...]](), list[tuple[float, ...]](), []
        beta1, beta2 = self.defaults["betas"]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state, gradient = self._begun(parameter), parameter.grad.contiguous()
                steps = int(state["step"])
                half = self.halves.get(parameter)
                held.append(gradient)  # or its memory could be another's before the step
                table.append((
                    parameter.data_ptr(), gradient.data_ptr(), state["exp_avg"].data_ptr(),
                    state["exp_avg_sq"].data_ptr(), 0 if half is None else half.data_ptr(),
                    parameter.numel(), gradient.dtype == torch.bfloat16,
                ))  # fmt: skip
                rates.append((
                    1 - group["lr"] * group["weight_decay"], group["lr"] / (1 - beta1**steps),
                    (1 - beta2**steps) ** -0.5,
                ))  # fmt: skip
        if table:
            where, eps = np.array(table, np.int64), self.defaults["eps"]
            adamw.step(where, np.array(rates), self.max_norm, 1 - beta1, 1 - beta2, eps)

    def _begun(self, parameter: Parameter) -> dict[str, Any]:
        """The library's own state of a parameter, one step on."""
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        return state


def _decay_groups(trainable: Sequence[Parameter], spec: TrainSpec) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms do not (Loshchilov and Hutter, 2019, as commonly used)."""
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
