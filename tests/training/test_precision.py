"""Which number format a step computes in, and that frozen weights cast once change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from embft.data.pairs import Pairs
from embft.models.base import build
from embft.spec import ModelSpec, TrainSpec
from embft.training.precision import resolve_precision
from embft.training.step import Stepper

ARM = {"architecture": "aarch64", "neon": True, "bf16": False, "sve_bf16": False}


@pytest.mark.parametrize(
    ("capabilities", "wanted"),
    [
        ({**ARM, "bf16": True}, "bf16"),
        ({**ARM, "sve_bf16": True}, "bf16"),
        (ARM, "fp32"),
        ({"architecture": "x86_64", "avx512_bf16": False}, "fp32"),
        (None, "fp32"),
    ],
)
def test_auto_is_bfloat16_on_arm_that_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any] | None, wanted: str
) -> None:
    """As torch says of the processor; a torch that does not say is taken for none."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", "cpu") == wanted
    assert resolve_precision("auto", "mps") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"


@pytest.mark.parametrize("feature", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_auto_is_bfloat16_on_x86_that_has_it(monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    """Either of the two instruction sets is enough."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    for each in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, each, lambda each=each: each == feature)
    assert resolve_precision("auto", "cpu") == "bf16"


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
