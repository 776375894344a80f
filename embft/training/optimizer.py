"""The optimizer: AdamW behind a limit on the gradients' norm, on a CPU in one compiled pass.

A step by the library reads the gradients for their norm, writes them anew where they exceed the
limit, reads them again, and the next step reads the weights once more to cast them for products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import Parameter

from embft.spec import TrainSpec
from embft.system.speedups import speedup
from embft.training.kernels.entry import kernels

_Compiled = Callable[..., None]  # `step` of `kernels/adamw.py`
_TRIED_SHAPES = ((3, 7), (4099,), (5,))  # less than a block of the compiled pass, and some more
_TRIED_RATE = 1e-2


def clipped_adamw(
    trainable: Sequence[Parameter], spec: TrainSpec, *, compiled: bool
) -> ClippedAdamW:
    """The optimizer of a training. compiled: in one pass where weights are float32 on a CPU, and
    that pass is found to compute what the library does.
    """
    fit = all(p.dtype == torch.float32 and p.is_contiguous() for p in trainable)
    loops = kernels() if compiled and fit else None
    step = loops and speedup("the compiled optimizer", partial(_tried, loops.adamw_step, spec))
    return ClippedAdamW(trainable, spec, step)


class ClippedAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019) whose steps first clip the gradients' norm.

    compiled: what makes a step, for float32 weights on a CPU whose gradients no scaler multiplied;
    the library where it is None. halves: of weights that products use in bfloat16 those values,
    which a compiled step brings up to date. Such a step leaves gradients as they are, and takes
    them in bfloat16, too.
    """

    def __init__(
        self, trainable: Sequence[Parameter], spec: TrainSpec, compiled: _Compiled | None
    ) -> None:
        groups = _decay_groups(trainable, spec)
        super().__init__(groups, lr=spec.learning_rate, fused=True)
        self.max_norm = spec.max_grad_norm
        self.halves: Mapping[torch.Tensor, torch.Tensor] = {}
        self.compiled = compiled

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody has a closure
        """Change the weights by one step, from their gradients."""
        if self.compiled is not None:
            self._compiled_step(self.compiled)
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

    def _compiled_step(self, compiled: _Compiled) -> None:
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
            compiled(where, np.array(rates), self.max_norm, 1 - beta1, 1 - beta2, eps)

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


def _tried(compiled: _Compiled, spec: TrainSpec) -> _Compiled:
    """The compiled step. Raises ArithmeticError where two of its steps on small weights, one with a
    gradient in bfloat16, do not change weights and moments as the library does.
    """
    shown = spec.model_copy(update={"learning_rate": _TRIED_RATE})
    starts = [torch.linspace(-1, 1, torch.Size(each).numel()).view(each) for each in _TRIED_SHAPES]
    (ours, theirs) = ([Parameter(start.clone()) for start in starts] for _ in range(2))
    ours[0].grad_dtype = torch.bfloat16
    first = ours[0]
    halves: dict[torch.Tensor, torch.Tensor] = {first: first.detach().to(torch.bfloat16)}
    optimizers = ClippedAdamW(ours, shown, compiled), ClippedAdamW(theirs, shown, None)
    optimizers[0].halves = halves
    for scale in (0.01, 3.0):
        for one, other in zip(ours, theirs, strict=True):
            gradient = (scale * one.detach().cos()).to(one.grad_dtype or one.dtype)
            one.grad, other.grad = gradient, gradient.to(other.dtype)
        for optimizer in optimizers:
            optimizer.step()
    found, wanted = (_changed(each) for each in optimizers)
    newest = all(torch.equal(half, p.detach().to(half.dtype)) for p, half in halves.items())
    if not newest or not all(map(_alike, found, wanted)):
        raise ArithmeticError("its steps are not those of torch's AdamW")
    return compiled


def _changed(optimizer: torch.optim.AdamW) -> list[torch.Tensor]:
    """All weights, and their moments."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    moments = [optimizer.state[p][kind] for p in weights for kind in ("exp_avg", "exp_avg_sq")]
    return [*(weight.detach() for weight in weights), *moments]


def _alike(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """To the rounding of float32."""
    return torch.allclose(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
