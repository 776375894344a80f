"""The optimizer: the library's AdamW and its clipping, in one compiled pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from embft.data.pairs import Splits
from embft.models.base import build
from embft.spec import ModelSpec, TrainSpec
from embft.training.kernels.encoder import FusedEncoder
from embft.training.optimizer import ClippedAdamW, clipped_adamw
from embft.training.step import Stepper

MODEL = ModelSpec(base="tiny")
# Less than a block of the compiled pass, a block, some more, and several that end within one.
SHAPES = ((3, 7), (64, 128), (8193,), (130, 190), (1,), (5,))


def _weights() -> list[Parameter]:
    torch.manual_seed(0)
    return [Parameter(torch.randn(shape)) for shape in SHAPES]


def _optimizer(weights: list[Parameter], *, compiled: bool = True, **settings: Any) -> ClippedAdamW:
    spec = TrainSpec.model_validate({"learning_rate": 1e-2, **settings})
    return clipped_adamw(weights, spec, compiled=compiled)


def _steps(
    weights: list[Parameter], optimizer: torch.optim.Optimizer, limit: float = math.inf, n: int = 20
) -> None:
    """Steps with gradients of different sizes and a rate that falls; clipped here below `limit`."""
    torch.manual_seed(1)
    for step in range(n):
        for weight in weights:
            weight.grad = torch.randn_like(weight) * 4.0 ** (step % 5 - 3)
        if limit < math.inf:
            torch.nn.utils.clip_grad_norm_(weights, limit)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / n)
        optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("limit", [1e-3, 100.0, 1e6])  # always clipped, sometimes, never
@pytest.mark.usefixtures("some_threads")
def test_steps_are_the_librarys(decay: float, limit: float) -> None:
    """Weights and state after many steps, to the rounding of float32."""
    ours, theirs = _weights(), _weights()
    optimizer = _optimizer(ours, weight_decay=decay, max_grad_norm=limit)
    assert optimizer.compiled
    _steps(ours, optimizer)
    groups = [
        {"params": [p for p in theirs if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in theirs if p.ndim < 2], "weight_decay": 0.0},
    ]
    library = torch.optim.AdamW(groups)
    _steps(theirs, library, limit)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
        state, wanted = optimizer.state[one], library.state[other]
        assert state.keys() == wanted.keys()
        for kind, value in wanted.items():
            off = 1e-6 * float(value.abs().max())
            torch.testing.assert_close(state[kind], value, rtol=2e-6, atol=off)


def test_threads_change_no_bit(set_threads: Callable[[int], None]) -> None:
    found = []
    for threads in (1, 2, 3):
        set_threads(threads)
        weights = _weights()
        _steps(weights, _optimizer(weights, max_grad_norm=100.0))
        found.append(weights)
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))


def test_a_row_that_never_has_a_gradient_stays() -> None:
    """What training the used rows of a table alone rests on; and a weight without a gradient."""
    rows, apart = Parameter(torch.randn(40, 9)), Parameter(torch.randn(9))
    optimizer, before = _optimizer([rows, apart]), (rows.clone(), apart.clone())
    for _ in range(3):
        rows.grad = torch.randn_like(rows)
        rows.grad[10:20] = 0
        optimizer.step()
    assert torch.equal(rows[10:20], before[0][10:20])
    assert not torch.isclose(rows[:10], before[0][:10]).any()
    assert torch.equal(apart, before[1])
    assert apart not in optimizer.state


@pytest.mark.usefixtures("some_threads")
def test_a_gradient_in_bfloat16_is_its_value_in_float32() -> None:
    """To the last bit; and what products use is each weight, rounded as torch rounds."""
    weights, others = _weights(), _weights()
    optimizer = _optimizer(weights, max_grad_norm=3.0)
    optimizer.halves = {p: p.detach().to(torch.bfloat16) for p in weights[1:]}
    plain = _optimizer(others, max_grad_norm=3.0)
    for _ in range(5):
        for weight, other in zip(weights, others, strict=True):
            weight.grad_dtype = torch.bfloat16
            weight.grad = torch.randn_like(weight).to(torch.bfloat16)
            other.grad = weight.grad.float()
        optimizer.step()
        plain.step()
    assert all(map(torch.equal, weights, others))
    for each, half in optimizer.halves.items():
        assert torch.equal(half, each.to(torch.bfloat16))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_seen(value: float) -> None:
    """As with the library's clipping: then the next loss is no number, and the trial diverges."""
    found = []
    for compiled in (True, False):
        weights = _weights()
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        assert weights[0].grad is not None
        weights[0].grad[0, 0] = value
        _optimizer(weights, compiled=compiled).step()
        found.append(weights)
    assert torch.isnan(found[0][0][0, 0])
    torch.testing.assert_close(*found, equal_nan=True)


@pytest.mark.parametrize("share", [0.5, 1.0, 1.0 + 1e-7, 2.0, float("nan")])
def test_clipping_is_the_librarys(share: float) -> None:
    """Where a step is the library's: to the last bit, with the limit below, at, above the norm."""
    optimizer = _optimizer(_weights(), compiled=False)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        weight.grad = torch.randn_like(weight) / 1000  # so small that the library's 1e-6 matters
    gradients = [weight.grad for weight in weights]
    before = [gradient.clone() for gradient in gradients]
    limit = float(torch.nn.utils.get_total_norm(gradients)) * share
    torch.nn.utils.clip_grad_norm_(weights, limit)
    for weight, gradient in zip(weights, before, strict=True):
        weight.grad = gradient
    versions = [gradient._version for gradient in before]
    optimizer.max_norm = limit
    optimizer.step()
    torch.testing.assert_close(before, gradients, rtol=0, atol=0, equal_nan=True)
    assert (versions == [gradient._version for gradient in before]) == (share == 2.0)


def _trained(folder: Path, splits: Splits, **settings: Any) -> Stepper:
    """A stepper after two steps in bfloat16."""
    spec = TrainSpec.model_validate({"precision": "bf16", "batch_size": 8, **settings})
    model = build(folder, MODEL, spec)
    stepper = Stepper(model, spec, splits.train, seed=1, steps=4)
    stepper.start()
    for start in (0, 8):
        stepper.step(list(range(start, start + 8)))
    return stepper


def test_products_use_the_newest_weights(tiny_model: Path, splits: Splits) -> None:
    """In every step, and after weights were put back; scores and the trained model have float32."""
    stepper = _trained(tiny_model, splits)
    assert isinstance(stepper.fused, FusedEncoder)
    halves, first = stepper.fused.halves, stepper.weights()
    assert len(halves) == 2 * 6 * len(stepper.fused.encoder.layer)  # weight and bias of each linear
    assert stepper.optimizer.halves is halves

    def are_newest() -> bool:
        return all(torch.equal(h, p.detach().to(h.dtype)) for p, h in halves.items())

    assert are_newest()
    stepper.step(list(range(8)))
    assert are_newest()
    stepper.score()
    assert not halves
    stepper.set_weights(first)
    stepper.start()
    assert halves
    assert are_newest()
    stepper.finish()
    assert not halves
    assert {p.grad_dtype for p in stepper.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "settings",
    [{"micro_batch_size": 4}, {"loss": {"name": "mega_batch_margin"}}, {"method": "lora"}],
)
def test_sums_of_gradients_are_float32(
    tiny_model: Path, splits: Splits, settings: dict[str, Any]
) -> None:
    """Of several parts, of a loss that runs the model for each column, and of adapters."""
    stepper = _trained(tiny_model, splits, **settings)
    found = set[torch.dtype]()
    stepper.optimizer.register_step_pre_hook(
        lambda *_: found.update(
            p.grad.dtype for p in stepper.trainable.values() if p.grad is not None
        )
    )
    stepper.step(list(range(8)))
    assert found == {torch.float32}
