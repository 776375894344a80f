"""Which number format a step computes in, and that frozen weights cast once change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from embft.data.pairs import Pairs
from embft.encoding import processor
from embft.models.base import build
from embft.spec import ModelSpec, TrainSpec
from embft.training.precision import resolve_precision
from embft.training.step import Stepper

ARM = {"architecture": "aarch64", "neon": True, "bf16": False, "sve_bf16": False}
X86 = {"architecture": "x86_64", "avx512_bf16": False, "amx_tile": False}


@pytest.mark.parametrize(
    ("capabilities", "wanted"),
    [
        ({**ARM, "bf16": True}, "bf16"),
        ({**ARM, "sve_bf16": True}, "bf16"),
        (ARM, "fp32"),
        ({**X86, "avx512_bf16": True}, "bf16"),
        ({**X86, "amx_tile": True}, "bf16"),
        ({**X86, "avx512_f": True}, "fp32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], wanted: str
) -> None:
    """As torch says of the processor."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", "cpu") == wanted
    assert resolve_precision("auto", "mps") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        ({"avx512f", "avx512_bf16"}, "bf16"),
        ({"amx_tile"}, "bf16"),
        ({"asimd", "bf16"}, "bf16"),
        ({"avx2", "avx512f"}, "fp32"),
        (set(), "fp32"),
    ],
)
def test_a_torch_that_does_not_say_leaves_it_to_the_system(
    monkeypatch: pytest.MonkeyPatch, features: set[str], wanted: str
) -> None:
    """By Linux's names; a system that does not say either is taken for one without."""
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(processor, "processor_features", lambda: frozenset(features))
    assert resolve_precision("auto", "cpu") == wanted


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_frozen_weights_cast_once_change_nothing(
    tiny_model: Path, pairs: Pairs, precision: Any
) -> None:
    """Losses and weights are those of autocast, which casts in every step, to the last bit."""
    spec = TrainSpec(method="lora", batch_size=8, learning_rate=1e-2, precision=precision)
    found = []
    for cast_once in (True, False):
        torch.manual_seed(0)
        model = build(tiny_model, ModelSpec(base="tiny"), spec)
        stepper = Stepper(model, spec, pairs, seed=1, steps=6)
        assert stepper.frozen.weights
        if not cast_once:
            stepper.frozen.weights = []
        stepper.start()
        losses = [stepper.step(list(range(first, first + 8))) for first in range(0, 32, 8)]
        stepper.finish()
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        found.append((losses, list(model.state_dict().values())))
    (ours, weights), (theirs, wanted) = found
    assert ours == theirs
    assert all(torch.equal(one, other) for one, other in zip(weights, wanted, strict=True))
