"""Trainings of any architecture: packed attention of every kind, and single modules compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embft.data.pairs import Splits
from embft.encoding import packing
from embft.encoding.attention import ALONE, Batch, Group, Kind
from embft.encoding.encoder import encode
from embft.encoding.packing import can_pack
from embft.models.base import build, load_base
from embft.spec import LoraSpec, ModelSpec, TrainSpec
from embft.system.speedups import missing
from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import functions, rows
from embft.training.kernels.attending import attend, attend_by_kind
from embft.training.kernels.encoder import FusedEncoder
from embft.training.kernels.functions import Seen
from embft.training.kernels.fuse import fuse
from embft.training.kernels.modules import FastModules
from embft.training.kernels.threads import together
from embft.training.step import Stepper
from tests.helpers.architectures import ARCHITECTURES, make

HEADS, WIDTH = 2, 16
SHORT, LONG = (1, 7, 30, 9), (5, 130, 131, 200, 12)
FAMILIES = ("mpnet", "distilbert", "modernbert", "albert", "deberta-v2", "t5", "llama", "qwen3")
TEXTS = ["i love dogs", "cats", "you always like the films and the music " * 3, "i love dogs"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each family."""
    root = tmp_path_factory.mktemp("families")
    return {name: make(name, root / name) for name in FAMILIES}


def _batch(lengths: tuple[int, ...]) -> Batch:
    return Batch({"cu_seq_lens_q": torch.tensor([0, *np.cumsum(lengths)])})


def _nothing_dropped(n: int) -> DropoutBits:
    return DropoutBits.draw(0.0, n, np.random.Generator(np.random.SFC64(0)))


def _wanted(given: list[torch.Tensor], batch: Batch, seen: Seen) -> torch.Tensor:
    """Attention by torch, text by text."""
    q, k, v, bias = given
    found = []
    for start, end in zip(batch.starts[:-1], batch.starts[1:], strict=True):
        n = end - start
        a, b, c = (x[start:end].view(n, HEADS, -1).transpose(0, 1) for x in (q, k, v))
        ahead = torch.arange(n)[None] - torch.arange(n)[:, None]
        hidden = (ahead > 0) & bool(seen.causal)
        hidden |= (ahead.abs() >= seen.window) & bool(seen.window)
        products = a @ b.transpose(1, 2) * seen.scale + bias[:, :n, :n]
        weights = torch.softmax(products.masked_fill(hidden, float("-inf")), dim=-1)
        found.append((weights @ c).transpose(0, 1).reshape(n, -1))
    return torch.cat(found)


@pytest.mark.usefixtures("some_threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("seen", [Seen(0.25), Seen(0.3, 1), Seen(0.25, 0, 6), Seen(0.25, 1, 6)])
def test_attention_of_every_kind_is_torchs(
    dtype: torch.dtype, lengths: tuple[int, ...], seen: Seen
) -> None:
    """Causal or not, within a window or not, with a bias by position: values and gradients."""
    torch.manual_seed(0)
    batch = _batch(lengths)
    given = [torch.randn(sum(lengths), HEADS * WIDTH).to(dtype) for _ in range(3)]
    given.append(torch.randn(HEADS, batch.longest, batch.longest))
    ours = [each.clone().requires_grad_() for each in given]
    theirs = [each.float().clone().requires_grad_() for each in given]
    q, k, v, bias = ours
    found = attend(q, k, v, bias, batch, HEADS, seen, _nothing_dropped)
    wanted = _wanted(theirs, batch, seen)
    shares = torch.randn(wanted.shape)
    (found.float() * shares).sum().backward()
    (wanted * shares).sum().backward()
    off = 1e-5 if dtype == torch.float32 else 3e-2
    for one, other in [
        (found, wanted),
        *((a.grad, b.grad) for a, b in zip(ours, theirs, strict=True)),
    ]:
        assert one is not None
        assert other is not None
        assert (one.float() - other).norm() <= off * other.norm()


def test_long_texts_drop_out_what_the_bits_say() -> None:
    """The mean of what dropout leaves is what there was, and backward drops the same."""
    batch, n = _batch((140, 150)), 290
    generator = np.random.Generator(np.random.SFC64(0))
    q, k = torch.zeros(n, HEADS * WIDTH), torch.zeros(n, HEADS * WIDTH)
    v = torch.ones(n, HEADS * WIDTH, requires_grad=True)
    found = attend(
        q, k, v, None, batch, HEADS, Seen(1.0), lambda n: DropoutBits.draw(0.25, n, generator)
    )
    assert abs(float(found.detach().mean()) - 1.0) < 1e-2
    assert float(found.detach().std()) > 1e-2
    found.sum().backward()
    assert v.grad is not None
    # Of zeros all weights are equal: what a value's gradient sums up is what the result did.
    torch.testing.assert_close(v.grad.sum(), found.detach().sum())


def test_heads_of_odd_widths_and_long_texts_without_dropout_are_torchs() -> None:
    module = torch.nn.Module()
    kind = Kind(module, 0.25, 0.0, causal=False, window=0, bias=None)
    generator = np.random.Generator(np.random.SFC64(0))
    narrow, wide = torch.randn(8, HEADS, 4), torch.randn(sum(LONG), HEADS, WIDTH)
    assert attend_by_kind(generator, narrow, narrow, narrow, _batch((8,)), kind) is None
    assert attend_by_kind(generator, wide, wide, wide, _batch(LONG), kind) is None


@pytest.mark.parametrize("activation", functions.ACTIVATIONS, ids=["gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_torchs(dtype: torch.dtype, activation: Any) -> None:
    ours, theirs = activation
    x = torch.linspace(-100, 100, 4001).to(dtype).requires_grad_()
    copy = x.detach().float().requires_grad_()
    found, wanted = ours(x), theirs(copy)
    found.sum().backward()
    wanted.sum().backward()
    off = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(found.float(), wanted, rtol=off, atol=off)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.float(), copy.grad, rtol=off, atol=off)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in {"deberta-v2", "t5"}])
def test_a_family_is_encoded_as_by_the_library(folders: dict[str, Path], name: str) -> None:
    """Packed, and equal to 1e-5."""
    model = load_base(folders[name], ModelSpec(base=name))
    assert can_pack(model)
    texts = [*TEXTS, *(" ".join(map(str, range(n, 2 * n))) for n in (12, ALONE, 45, 50))]
    found = encode(model, texts)
    np.testing.assert_allclose(found, model.encode(texts, show_progress_bar=False), atol=1e-5)


def test_a_fault_in_texts_that_are_computed_alone_is_noticed(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of which a long text sees but the half of itself is not packed."""
    model = load_base(folders["llama"], ModelSpec(base="llama"))
    apart = vars(Batch)["apart"].func

    def halved(batch: Batch) -> tuple[tuple[Group, ...], tuple[slice, ...]]:
        groups, (first, *others) = apart(batch)
        middle = (first.start + first.stop) // 2
        halves = slice(first.start, middle), slice(middle, first.stop)
        return groups, (*halves, *others)

    monkeypatch.setattr(packing, "_tried", type(packing._tried)())
    monkeypatch.setattr(Batch, "apart", property(halved))
    with pytest.raises(ArithmeticError, match="do not give this model's embeddings"):
        packing._tried_on(model)
    assert not can_pack(model)


@pytest.mark.parametrize("name", ["llama", "mpnet"])
def test_an_empty_text_changes_no_others_embedding(folders: dict[str, Path], name: str) -> None:
    """A decoder's tokenizer makes no token of it: a group of such texts has nothing to compute."""
    model = load_base(folders[name], ModelSpec(base=name))
    texts = ["", *(" ".join(map(str, range(n))) for n in (12, 14, 45, 50))]
    found = encode(model, texts)
    wanted = model.encode(texts[1:], show_progress_bar=False)
    np.testing.assert_allclose(found[1:], wanted, atol=1e-5)


def test_texts_beyond_a_window_are_encoded_as_by_the_library(tmp_path: Path) -> None:
    """ModernBERT's layers see 64 tokens on either side; a wrong window is noticed."""
    architecture = ARCHITECTURES["modernbert"]
    longer = {**architecture.settings, "max_position_embeddings": 512, "num_hidden_layers": 4}
    changed = ARCHITECTURES | {"modernbert": type(architecture)(architecture.model, "", longer)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.helpers.architectures.ARCHITECTURES", changed)
        model = load_base(make("modernbert", tmp_path), ModelSpec(base="modernbert"))
    model.max_seq_length = 512
    for weight in model.parameters():  # so large that it matters which tokens are seen
        weight.data *= 5 if weight.ndim > 1 else 1
    assert can_pack(model)
    texts = [" ".join(map(str, range(200))), "cats", " ".join(map(str, range(90)))]
    np.testing.assert_allclose(
        encode(model, texts), model.encode(texts, show_progress_bar=False), atol=1e-5
    )
    layers: list[Any] = [each for each in model.modules() if hasattr(each, "sliding_window")]
    for each in layers:
        each.sliding_window = each.sliding_window and each.sliding_window - 8
    packing._tried.clear()  # nothing else of the model has changed
    assert not can_pack(model)


def _gradients(stepper: Stepper, fused: Any) -> dict[str, torch.Tensor]:
    stepper.score()
    stepper.fused = fused
    stepper.start()
    with stepper.autocast(), stepper._computing():
        loss = stepper._loss(list(range(8)))
    loss.backward()
    found = {n: p.grad.float() for n, p in stepper.trainable.items() if p.grad is not None}
    stepper.model.zero_grad(set_to_none=True)
    return {"loss": loss.detach(), **found}


@pytest.mark.parametrize(("method", "precision"), [("lora", "fp32"), ("full", "bf16")])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_has_the_gradients_of_the_models_own_code(
    folders: dict[str, Path], splits: Splits, name: str, method: Any, precision: Any
) -> None:
    """Of every family, with its modules compiled and not, without dropout."""
    spec = TrainSpec(method=method, precision=precision, lora=LoraSpec(dropout=0.0))
    torch.manual_seed(0)
    model = build(folders[name], ModelSpec(base=name), spec)
    stepper = Stepper(model, spec, splits.train, seed=1, steps=10)
    fused = stepper.fused
    assert isinstance(fused, FastModules), missing()
    modules: list[Any] = [*model.modules()]
    for module in modules:
        if hasattr(module, "p"):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):  # T5's attention
            module.dropout = 0.0
    for parameter in (p for n, p in stepper.trainable.items() if "lora_B" in n):
        torch.nn.init.normal_(parameter, std=0.1)
    ours, theirs = _gradients(stepper, fused), _gradients(stepper, None)
    assert ours.keys() == theirs.keys()
    least = 1e-4 * max(float(each.norm()) for each in theirs.values())
    off = 1e-4 if precision == "fp32" else 6e-2
    for each, wanted in theirs.items():
        assert float((ours[each] - wanted).norm()) <= off * float(wanted.norm()) + least, each


def test_modules_with_wrong_gradients_are_not_used(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their embeddings are right: only the way back tells. The model then has its own code."""

    def forgets_a_slope(loop: Callable[..., Any], *arguments: Any) -> None:
        if loop is not rows.multiply:
            together(loop, *arguments)

    monkeypatch.setattr("embft.system.speedups._missing", {})
    monkeypatch.setattr(functions, "together", forgets_a_slope)
    model = build(folders["distilbert"], ModelSpec(base="distilbert"), TrainSpec())
    assert fuse(model, np.random.Generator(np.random.SFC64(0))) is None
    assert "gradients" in missing()["compiled modules"]
    assert not any("forward" in vars(module) for module in model.modules())


def test_layers_that_are_used_twice_sum_their_gradients_in_float32(
    folders: dict[str, Path], splits: Splits
) -> None:
    """ALBERT has one layer, which it runs through again and again."""
    spec = TrainSpec(precision="bf16")
    model = build(folders["albert"], ModelSpec(base="albert"), spec)
    stepper = Stepper(model, spec, splits.train, seed=1, steps=10)
    assert stepper.fused is not None
    stepper.start()
    shared = {id(p) for n, p in stepper.trainable.items() if "albert_layer_groups" in n}
    assert shared
    assert not any(id(weight) in shared for weight in stepper.fused.halves)
    assert stepper.fused.halves  # that of the embeddings' projection
    stepper.step(list(range(8)))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_known_layers_take_long_texts_too(
    tiny_model: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    """Whole layers of BERT, with texts that attention pads."""
    monkeypatch.setattr("embft.training.kernels.attending.LONGEST", 0)
    spec = TrainSpec(method=method, precision="fp32", lora=LoraSpec(dropout=0.0))
    model = build(tiny_model, ModelSpec(base="tiny"), spec)
    stepper = Stepper(model, spec, splits.train, seed=1, steps=10)
    assert isinstance(stepper.fused, FusedEncoder)
    fused, dropouts = stepper.fused, [each for each in model.modules() if hasattr(each, "p")]
    for dropout in dropouts:
        vars(dropout)["p"] = 0.0
    ours, theirs = _gradients(stepper, fused), _gradients(stepper, None)
    least = 1e-5 * max(float(each.norm()) for each in theirs.values())
    for each, wanted in theirs.items():
        assert float((ours[each] - wanted).norm()) <= 1e-4 * float(wanted.norm()) + least, each
