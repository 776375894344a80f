"""Training without compiled loops, and beside compiled loops that compute something else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embft.data.pairs import Splits
from embft.models.base import build
from embft.spec import ModelSpec, TrainSpec
from embft.system import speedups
from embft.system.allocator import keep_freed_memory, release_memory
from embft.system.speedups import missing
from embft.training import dropout_bits, optimizer, step
from embft.training.kernels import functions, rows, threads
from embft.training.kernels.entry import Kernels, kernels
from embft.training.kernels.modules import FastModules
from embft.training.kernels.threads import together
from embft.training.step import Stepper

MODEL = ModelSpec(base="tiny")
Use = Callable[[Kernels | None], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, set_threads: Callable[[int], None]) -> Use:
    """Has trainings find these compiled loops from now on."""
    set_threads(1)
    monkeypatch.setattr(speedups, "_missing", {})
    monkeypatch.setattr(dropout_bits, "_compiled_fill", dropout_bits._compiled_fill.__wrapped__)

    def change(loops: Kernels | None) -> None:
        for module in (dropout_bits, optimizer, step):
            monkeypatch.setattr(module, "kernels", lambda: loops)

    return change


def _loops() -> Kernels:
    loops = kernels()
    assert loops is not None
    return loops


def _stepper(folder: Path, splits: Splits, **settings: Any) -> Stepper:
    spec = TrainSpec.model_validate({"batch_size": 8, "precision": "fp32", **settings})
    return Stepper(build(folder, MODEL, spec), spec, splits.train, seed=1, steps=10)


def _losses(stepper: Stepper) -> list[float]:
    stepper.start()
    return [stepper.step(list(range(i, i + 8))) for i in (0, 8, 16, 24, 0)]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_without_compiled_loops_a_training_is_the_same_to_rounding(
    tiny_model: Path, splits: Splits, method: str, use: Use
) -> None:
    """But for what dropout drops, which each draws in its own order."""
    with_them = _stepper(tiny_model, splits, method=method)
    assert with_them.fused is not None
    assert with_them.optimizer.compiled is not None
    use(None)
    without = _stepper(tiny_model, splits, method=method)
    assert without.fused is None
    assert without.optimizer.compiled is None
    for stepper in (without, with_them):
        dropouts: list[Any] = [m for m in stepper.model.modules() if hasattr(m, "p")]
        for module in dropouts:
            module.p = 0.0
    one, other = _losses(without), _losses(with_them)
    np.testing.assert_allclose(one[:2], other[:2], rtol=1e-5)
    # Adam divides a gradient by its own size, so that a rounding of one near zero moves a weight.
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_numpy_draws_the_same_bits(use: Use) -> None:
    """Where there are no compiled loops, and where they draw other words."""
    generator = np.random.SFC64(1)
    state = generator.state
    found = []
    for loops in (_loops(), None, _loops()._replace(fill=lambda _, words, __: words.fill(0))):
        use(loops)
        generator.state = state
        found.append(
            dropout_bits.DropoutBits.draw(0.3, 100_003, np.random.Generator(generator)).bits
        )
        assert bool(missing()) == (len(found) == 3)
    for bits in found[1:]:
        np.testing.assert_array_equal(bits, found[0])
    assert "numpy" in missing()["compiled random bits"]


def test_layers_with_wrong_gradients_are_not_used(
    tiny_model: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch, use: Use
) -> None:
    """Their embeddings are right: only the way back tells."""

    def forgets_gelus_slope(loop: Any, *arguments: Any) -> None:
        if loop is not rows.multiply:
            together(loop, *arguments)

    use(_loops())
    monkeypatch.setattr(functions, "together", forgets_gelus_slope)
    stepper = _stepper(tiny_model, splits)
    assert stepper.fused is None
    assert "gradients" in missing()["compiled layers"]
    assert stepper.model.training
    assert all(np.isfinite(_losses(stepper)))


def test_layers_of_another_release_are_not_used(
    tiny_model: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch, use: Use
) -> None:
    """What they are looked at for may be called otherwise."""
    use(_loops())

    def gone(layer: Any) -> bool:
        return bool(layer.is_decoder_now)

    monkeypatch.setattr("embft.training.kernels.encoder._is_known", gone)
    stepper = _stepper(tiny_model, splits, method="lora")
    assert isinstance(stepper.fused, FastModules)
    assert "is_decoder_now" in missing()["compiled layers"]


def _too_far(table: Any, rates: Any, *rest: Any) -> None:
    _loops().adamw_step(table, rates * np.array([1.0, 1.01, 1.0]), *rest)


def _forgets_less(table: Any, rates: Any, limit: float, of_mean: float, *rest: float) -> None:
    _loops().adamw_step(table, rates, limit, of_mean / 2, *rest)


def _forgets_halves(table: Any, *rest: Any) -> None:
    _loops().adamw_step(table * np.array([1, 1, 1, 1, 0, 1, 1]), *rest)


def _nothing(*_: Any) -> None:
    pass


def _refuses(*_: Any) -> None:
    raise TypeError("No matching definition")


@pytest.mark.parametrize("wrong", [_too_far, _forgets_less, _forgets_halves, _nothing, _refuses])
def test_an_optimizer_that_steps_otherwise_is_not_used(
    tiny_model: Path, splits: Splits, wrong: Any, use: Use
) -> None:
    """Torch's AdamW makes the steps, with the gradients that it takes, and the reason is noted."""
    use(_loops()._replace(adamw_step=wrong))
    stepper = _stepper(tiny_model, splits, precision="bf16")
    assert stepper.optimizer.compiled is None
    assert list(missing()) == ["the compiled optimizer"]
    assert stepper.narrow is None, "torch's AdamW takes gradients of the weights' own format"
    assert all(np.isfinite(_losses(stepper)))
    gradients = {p.grad_dtype for p in stepper.trainable.values()}
    assert gradients == {torch.float32}


class _OtherLibrary:
    """A C library without GNU's functions, such as musl's; of OpenMP there is nothing in it."""

    def __init__(self, name: str | None) -> None:
        assert name is None


@pytest.mark.skipif(sys.platform != "linux", reason="asked for on Linux alone")
def test_a_training_without_gnus_functions_runs_and_says_so(
    tiny_model: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch, use: Use, set_threads: Any
) -> None:
    """Its loops share the work by threads of their own, and nothing is done about memory."""
    use(_loops())
    set_threads(2)
    with_them = _losses(_stepper(tiny_model, splits))
    monkeypatch.setattr("ctypes.CDLL", _OtherLibrary)
    monkeypatch.setattr(threads, "_openmp", threads._openmp.__wrapped__)
    keep_freed_memory()
    release_memory()
    np.testing.assert_array_equal(_losses(_stepper(tiny_model, splits)), with_them)
    assert sorted(missing()) == [
        "freed memory given back",
        "freed memory kept for the next step",
        "torch's threads in compiled loops",
    ]
    assert all("_OtherLibrary" in reason for reason in missing().values())
