"""Bases in 8 and 4 bits. The tests that load one need bitsandbytes, which is not installed here by
itself, and skip without it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from embft.data.pairs import Pairs
from embft.encoding.encoder import encode
from embft.errors import ModelError
from embft.evaluation.embed import unit
from embft.models.base import build, load_base
from embft.models.resolve import spec_base
from embft.models.save import Origin, load_saved, save
from embft.spec import ModelSpec, TrainSpec
from embft.training.step import Stepper

WHOLE = ModelSpec(base="tiny-llama")
EIGHT, FOUR = (ModelSpec(base="tiny-llama", quantization=kind) for kind in ("8bit", "4bit"))
TEXTS = ["a cat", "dogs and cats and a longer text", "x"]


@pytest.fixture
def base() -> Path:
    """The tiny decoder's folder."""
    return spec_base(WHOLE).folder


def test_without_its_package_it_says_so(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the field, the package, and what to set instead."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"model\.quantization is 4bit.*pip install bitsandbytes"):
        load_base(base, FOUR)


def test_no_adapter_is_trained_where_no_gradient_passes(base: Path) -> None:
    """4-bit weights on a CPU: refused before anything is loaded."""
    if torch.cuda.is_available():
        pytest.skip("with a GPU it trains")
    with pytest.raises(ModelError, match="no gradient passes 4-bit weights"):
        build(base, FOUR, TrainSpec(method="lora"))


@pytest.mark.parametrize("spec", [EIGHT, FOUR])
def test_a_quantised_base_embeds(base: Path, spec: ModelSpec) -> None:
    """Close to what the full weights give."""
    pytest.importorskip("bitsandbytes")
    whole = unit(encode(load_base(base, WHOLE), TEXTS))
    found = unit(encode(load_base(base, spec), TEXTS))
    assert ((found * whole).sum(axis=1) > 0.95).all()


def test_an_adapter_on_8_bits_trains_and_is_saved(base: Path, tmp_path: Path) -> None:
    """The loss falls, and what is loaded again is what was trained."""
    pytest.importorskip("bitsandbytes")
    train = TrainSpec(method="lora", learning_rate=1e-2, batch_size=2, warmup_steps=0)
    model = build(base, EIGHT, train)
    pairs = Pairs(["a cat", "dogs"], ["cats", "a text"], np.array([1.0, 0.0]))
    stepper = Stepper(model, train, pairs, seed=1, steps=10)
    stepper.start()
    losses = [stepper.step([0, 1]) for _ in range(6)]
    stepper.finish()
    assert losses[-1] < losses[0] / 2
    save(model, tmp_path / "saved", Origin("tiny-llama"))
    again = load_saved(tmp_path / "saved", base, EIGHT)
    np.testing.assert_allclose(encode(again, TEXTS), encode(model, TEXTS), atol=1e-5)
