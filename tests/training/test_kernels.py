"""The fused encoder: torch's values and gradients, by fewer passes over memory."""

from __future__ import annotations

import ast
import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from embft.data.pairs import Splits
from embft.encoding.packing import can_pack
from embft.models.base import build
from embft.spec import LoraSpec, ModelSpec, TrainSpec
from embft.training import dropout_bits
from embft.training.dropout_bits import DropoutBits
from embft.training.kernels import adamw, adapters, attention, functions, rows, threads
from embft.training.kernels.encoder import FusedEncoder
from embft.training.kernels.functions import Adapter, Seen, Texts
from embft.training.kernels.fuse import fuse
from embft.training.kernels.loops import compiled
from embft.training.kernels.random_bits import fill_blocks
from embft.training.kernels.vectors import FLAT, erf, exp, product, transposed_product
from embft.training.step import Stepper

MODEL = ModelSpec(base="tiny")
LENGTHS = (1, 7, 8, 9, 30)
WIDTH, HEADS = 32, 4
ROWS = 75
DTYPES = [torch.float32, torch.bfloat16]
# How far results may be off, in lengths of the wanted; bfloat16 has 8 significant bits.
CLOSE = {torch.float32: 1e-6, torch.bfloat16: 1e-2}

Function = Callable[..., Any]


def _bits(n: int, p: float = 0.3) -> DropoutBits:
    return DropoutBits.draw(p, n, np.random.Generator(np.random.SFC64(1)))


def _mask(bits: DropoutBits, *shape: int) -> torch.Tensor:
    return torch.from_numpy((bits.bits >= bits.least) * np.float32(bits.keep)).view(shape)


def _given(dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def _assert_close(found: Any, wanted: Any, off: float) -> None:
    difference = (found.detach().float() - wanted.detach().float()).norm()
    assert bool(difference <= off * wanted.norm())


def _agree(
    dtype: torch.dtype, inputs: list[torch.Tensor], ours: Function, wanted: Function
) -> None:
    """The same results, and the same slopes at every input, as the wanted in float32."""
    copies = [each.detach().float().requires_grad_() for each in inputs]
    found, reference = ours(*inputs), wanted(*copies)
    torch.manual_seed(1)
    for one, other in zip(found, reference, strict=True):
        _assert_close(one, other, CLOSE[dtype])
    weights = [torch.randn(each.shape) for each in reference]
    sum((w * one.float()).sum() for w, one in zip(weights, found, strict=True)).backward()
    sum((w * one).sum() for w, one in zip(weights, reference, strict=True)).backward()
    for mine, copy in zip(inputs, copies, strict=True):
        assert mine.grad is not None
        assert mine.grad.dtype == mine.dtype
        _assert_close(mine.grad, copy.grad, 2 * CLOSE[dtype])


@pytest.mark.usefixtures("some_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_is_torchs(dtype: torch.dtype) -> None:
    """Each text attends to itself alone, dropout included, whatever shares its batch."""
    starts = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
    texts = Texts.of(starts, HEADS)
    bits = _bits(int(texts.places[-1]))

    def wanted(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for text, n in enumerate(LENGTHS):
            own = slice(int(starts[text]), int(starts[text + 1]))
            a, b, c = (x[own].view(n, HEADS, -1).transpose(0, 1) for x in (q, k, v))
            m = -(-n // 8) * 8
            place = slice(int(texts.places[text]), int(texts.places[text + 1]))
            part = DropoutBits(bits.bits[place], bits.least, bits.keep)
            weights = torch.softmax(a @ b.transpose(1, 2) * 0.25, dim=-1)
            weights = weights * _mask(part, HEADS, m, m)[:, :n, :n]
            found.append((weights @ c).transpose(0, 1).reshape(n, WIDTH))
        return [torch.cat(found)]

    inputs = _given(dtype, *[(sum(LENGTHS), WIDTH)] * 3)
    seen = Seen(0.25)
    _agree(dtype, inputs, lambda *qkv: [functions.attend(*qkv, None, texts, seen, bits)], wanted)


@pytest.mark.usefixtures("some_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_is_torchs(dtype: torch.dtype) -> None:
    """Its value and its slope."""
    inputs = _given(dtype, (37, WIDTH))
    _agree(dtype, inputs, lambda x: [functions.gelu(x)], lambda x: [torch.nn.functional.gelu(x)])


@pytest.mark.usefixtures("some_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_norm_is_torchs(dtype: torch.dtype) -> None:
    """Of what is added to what dropout left; in bfloat16 both formats of the result have slopes."""
    bits = _bits(11 * WIDTH)

    def wanted(
        x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> list[torch.Tensor]:
        added = residual + x * _mask(bits, 11, WIDTH)
        found = torch.nn.functional.layer_norm(added, (WIDTH,), weight, bias, 1e-3)
        return [found] if dtype == torch.float32 else [found, found]

    inputs = _given(dtype, (11, WIDTH)) + _given(torch.float32, (11, WIDTH), (WIDTH,), (WIDTH,))
    _agree(dtype, inputs, lambda *given: functions.norm(*given, 1e-3, bits), wanted)


@pytest.mark.usefixtures("some_threads")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [3, 8, 20])
def test_projections_are_torchs(dtype: torch.dtype, rank: int) -> None:
    """Two linear layers of one input, the second with an adapter; all of it is trained.

    More rows than are looked at at a time, and a rank that is no whole block.
    """
    bits = _bits(ROWS * WIDTH)

    def wanted(x: torch.Tensor, *given: torch.Tensor) -> list[torch.Tensor]:
        weight, bias, other, a, b = given
        linear = torch.nn.functional.linear
        low = linear(x * _mask(bits, ROWS, WIDTH), a)
        return [linear(x, weight, bias), linear(x, other) + linear(low, b) * 2.5]

    def ours(x: torch.Tensor, *given: torch.Tensor) -> Any:
        weight, bias, other, a, b = given
        tensors = (weight, bias, None, None, other, None, a, b)
        used = (weight, bias, other, None)
        return functions.project(x, [None, Adapter(2.5, bits)], used, *tensors)

    inputs = [each / WIDTH**0.5 for each in _given(torch.float32, (16, WIDTH), (16,), (24, WIDTH))]
    inputs += [each / 8 for each in _given(torch.float32, (rank, WIDTH), (24, rank))]
    inputs = [each.detach().requires_grad_() for each in inputs]
    _agree(dtype, _given(dtype, (ROWS, WIDTH)) + inputs, ours, wanted)


def _stepper(
    folder: Path, splits: Splits, spec: TrainSpec, model: ModelSpec = MODEL
) -> tuple[Any, Stepper]:
    torch.manual_seed(0)
    built = build(folder, model, spec)
    return built, Stepper(built, spec, splits.train, seed=1, steps=10)


@pytest.fixture(scope="module")
def roberta(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa of 2 layers with random weights, and the tiny model's tokenizer."""
    folder = tmp_path_factory.mktemp("roberta")
    config = RobertaConfig(
        vocab_size=200, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS,
        intermediate_size=64, max_position_embeddings=66, type_vocab_size=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    RobertaModel(config).save_pretrained(folder)
    for file in tiny_model.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_step_has_the_gradients_of_the_models_own_code(  # noqa: PLR0917
    tiny_model: Path, roberta: Path, splits: Splits, architecture: str, method: Any, precision: Any
) -> None:
    """Loss and gradients of a whole step without dropout, with the encoder fused and not."""
    lora = LoraSpec(dropout=0.0, target_modules=("query", "value", "dense"))
    spec = TrainSpec(method=method, precision=precision, lora=lora)
    model, stepper = _stepper(tiny_model if architecture == "bert" else roberta, splits, spec)
    assert isinstance(stepper.fused, FusedEncoder)
    fused: FusedEncoder | None = stepper.fused
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    for name, parameter in stepper.trainable.items():
        if "lora_B" in name:  # as after some steps: zeros would hide what lies before them
            torch.nn.init.normal_(parameter, std=0.1)
    found = []
    for each in (fused, None):
        stepper.score()
        stepper.fused = each
        stepper.start()
        with stepper.autocast():
            loss = stepper._loss(list(range(8)))
        loss.backward()
        gradients = {n: p.grad for n, p in stepper.trainable.items() if p.grad is not None}
        found.append((loss.detach(), gradients))
        model.zero_grad(set_to_none=True)
    assert fused is not None
    assert fused.calls == 2  # the trial at its beginning, and this one
    (loss, ours), (wanted, theirs) = found
    off = 1e-5 if precision == "fp32" else 2e-2
    _assert_close(loss, wanted, off)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        if "key.bias" not in name:  # nothing depends on it: softmax takes it away
            _assert_close(ours[name], gradient, off)


def test_scores_come_from_the_models_own_code(tiny_model: Path, splits: Splits) -> None:
    """Between steps, and after the last, nothing of the fused encoder is left in the model."""
    model, stepper = _stepper(tiny_model, splits, TrainSpec(precision="fp32"))
    encoder = model.transformers_model.encoder
    stepper.start()
    assert "forward" in vars(encoder)
    stepper.score()
    assert "forward" not in vars(encoder)
    stepper.start()
    stepper.finish()
    assert "forward" not in vars(encoder)


def _is_fused(model: Any) -> bool:
    """Whether whole layers are computed so, and not their modules alone."""
    assert can_pack(model)
    found = fuse(model, np.random.Generator(np.random.SFC64(0)))
    assert found is not None
    return isinstance(found, FusedEncoder)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TrainSpec(method="lora"), True),
        (TrainSpec(method="lora", lora=LoraSpec(variant="rslora")), True),
        (TrainSpec(method="lora", lora=LoraSpec(variant="dora")), False),
    ],
)
def test_adapters_that_are_more_than_two_matrices_are_left_alone(
    tiny_model: Path, spec: TrainSpec, expected: bool
) -> None:
    """DoRA computes otherwise."""
    assert _is_fused(build(tiny_model, MODEL, spec)) == expected


@pytest.mark.parametrize(("targets", "expected"), [(("query",), True), (("dense",), False)])
def test_an_adapted_layer_of_no_whole_blocks_is_left_alone(
    tiny_model: Path, tmp_path: Path, targets: tuple[str, ...], expected: bool
) -> None:
    """The compiled loops would write beside it; layers without an adapter may have any width."""
    config = BertConfig.from_pretrained(tiny_model)
    config.intermediate_size = 61
    torch.manual_seed(0)
    shutil.copytree(tiny_model, tmp_path / "model")
    BertModel(config).save_pretrained(tmp_path / "model")
    spec = TrainSpec(method="lora", lora=LoraSpec(target_modules=targets))
    assert _is_fused(build(tmp_path / "model", MODEL, spec)) == expected


@pytest.mark.parametrize("change", ["activation", "width", "norm", "linear", "hidden", "formula"])
def test_a_model_that_computes_otherwise_is_left_alone(tiny_model: Path, change: str) -> None:
    """By its parts where they are known, by its embeddings where they are not."""
    model: Any = build(tiny_model, MODEL, TrainSpec())
    layer = model.transformers_model.encoder.layer[0]
    if change == "activation":
        layer.intermediate.intermediate_act_fn = torch.nn.SiLU()
    elif change == "width":
        layer.attention.self.attention_head_size = 12
    elif change == "norm":
        layer.output.LayerNorm = torch.nn.RMSNorm(WIDTH)
    elif change == "linear":
        layer.output.dense = torch.nn.Sequential(layer.output.dense)
    elif change == "hidden":
        layer.output.dense.weight.data = layer.output.dense.weight.data.double()
    else:
        own = layer.feed_forward_chunk
        layer.feed_forward_chunk = lambda states: own(states) + 0.1
    generator = np.random.Generator(np.random.SFC64(0))
    assert not isinstance(fuse(model, generator), FusedEncoder)
    assert "forward" not in vars(model.transformers_model.encoder)


@pytest.mark.parametrize("place", ["query", "key", "value", "attention.output.dense"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_so(
    tiny_model: Path, splits: Splits, place: str, value: float
) -> None:
    """A diverged model must be seen to be one: compilers may assume that no NaN occurs."""
    model, stepper = _stepper(tiny_model, splits, TrainSpec(precision="fp32"))
    layer = model.transformers_model.encoder.layer[-1]
    inner = layer if "output" in place else layer.attention.self
    stepper.start()
    with torch.no_grad():
        inner.get_submodule(place).weight.fill_(value)
        assert not bool(torch.isfinite(stepper._loss(list(range(4)))))


def test_functions_are_as_exact_as_their_format() -> None:
    """Both, exp and erf, to a few units in the last place, over all that they are asked."""

    @njit
    def both(x: Any, first: Any, second: Any) -> None:
        for i in range(x.size):
            first[i] = exp(x[i])
            second[i] = erf(x[i])

    x = np.linspace(-80, 20, 200_001, dtype=np.float32)
    found, errors = np.empty_like(x), np.empty_like(x)
    both(x, found, errors)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(found, np.exp(wide), rtol=3e-7)
    wanted = torch.erf(torch.from_numpy(wide)).numpy()
    np.testing.assert_allclose(errors, wanted, atol=5e-7)


@pytest.mark.parametrize("n", [1, 8, 13])
def test_small_products_are_numpys(n: int) -> None:
    """Of as many terms as there are, whole blocks or not."""

    @njit
    def both(a: Any, b: Any, c: Any, n: Any) -> None:
        product(a, b, c, n)
        transposed_product(a, b, c, n)

    @njit
    def one(a: Any, b: Any, c: Any, n: Any) -> None:
        product(a, b, c, n)

    random = np.random.default_rng(0)
    a, b = (random.standard_normal((16, 16)).astype(np.float32) for _ in range(2))
    c = np.empty((16, 16), np.float32)
    one(a, b, c, n)
    np.testing.assert_allclose(c, a[:, :n] @ b[:n], rtol=1e-4, atol=1e-5)
    both(a, b, c, n)
    np.testing.assert_allclose(c, a[:n].T @ b[:n], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("some_threads")
def test_random_bits_are_numpys() -> None:
    """Each column of a block as numpy's SFC64 goes on from the same state, with any threads."""
    generator = np.random.Generator(np.random.SFC64(7))
    n = 2 * dropout_bits._ROWS * dropout_bits._COLUMNS + 100
    shape = (3, 4, dropout_bits._COLUMNS)
    states = np.random.Generator(np.random.SFC64(7)).integers(1 << 64, size=shape, dtype=np.uint64)
    words = dropout_bits._words(n, generator).reshape(-1, dropout_bits._COLUMNS)
    assert len(words) == -(-n // dropout_bits._COLUMNS)
    for row in range(0, len(words), dropout_bits._ROWS):
        block = words[row : row + dropout_bits._ROWS]
        for column in (0, 5, dropout_bits._COLUMNS - 1):
            numpys: Any = np.random.SFC64()
            state = numpys.state
            state["state"]["state"] = states[row // dropout_bits._ROWS, :, column].copy()
            numpys.state = state
            wanted = np.random.Generator(numpys).integers(1 << 64, size=len(block), dtype=np.uint64)
            np.testing.assert_array_equal(block[:, column], wanted)


def test_dropout_drops_its_share() -> None:
    """At the rate that was asked for, each of a word's four draws alike, no two draws alike."""
    n = 400_000
    bits = _bits(n, 0.1)
    dropped = bits.bits < bits.least
    for start in range(4):
        assert abs(dropped[start::4].mean() - 0.1) < 5 * (0.09 / (n / 4)) ** 0.5
    again = DropoutBits.draw(0.1, n, np.random.Generator(np.random.SFC64(2))).bits < bits.least
    assert abs((dropped & again).mean() - 0.01) < 0.001
    assert abs((dropped[:-64] & dropped[64:]).mean() - 0.01) < 0.001


@compiled(FLAT, None)
def count(done: Any, share: Any, shares: Any) -> None:
    done[share] += 1.0
    done[-1] = shares


@compiled(FLAT, None)
def ask_too_much(done: Any, share: Any, shares: Any) -> None:
    if share == shares - 1:
        done[share] = np.empty(1 << 60, np.float32)[share]
    done[share] += 1.0


@pytest.mark.parametrize("openmp", [True, False])
def test_every_share_is_done_once(
    some_threads: int, openmp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By as many threads as torch has; an error in any of them is an error here."""
    if not openmp:
        monkeypatch.setattr(threads, "_openmp", lambda: 0)
    for _ in range(200):
        done = np.zeros(some_threads + 2, np.float32)
        threads.together(count, done)
        assert done.tolist() == [1.0] * some_threads + [0.0, some_threads]
    with pytest.raises(MemoryError, match="no memory"):
        threads.together(ask_too_much, np.zeros(some_threads, np.float32))


@pytest.mark.parametrize(
    "loop", [rows.gelu, attention.attend, adapters.adapt, adamw.change, fill_blocks, count]
)
def test_what_numba_reads_of_a_loop_is_its_own_source(loop: Any) -> None:
    """Numba looks at the source at a loop's file and line, for its cache among others. Since Python
    3.12 a part of a file that is no whole statement ends that in a TokenError.
    """
    source = textwrap.dedent(inspect.getsource(loop.py_func))
    (found,) = ast.parse(source).body
    assert isinstance(found, ast.FunctionDef)
    assert loop.py_func.__name__.startswith(f"{found.name}_")


def test_shares_can_be_done_apart() -> None:
    """As threads of Python do them: those asked for, and no other."""
    done = np.zeros(5, np.float32)
    count(1, 3, 4, 0, done)
    assert done.tolist() == [0.0, 1.0, 1.0, 0.0, 4.0]


@pytest.mark.skipif(sys.platform != "linux", reason="torch's OpenMP is another there")
def test_shares_are_done_by_torchs_own_threads() -> None:
    """Else they would wait for Python's lock, 40 microseconds for each loop."""
    assert threads._openmp()
