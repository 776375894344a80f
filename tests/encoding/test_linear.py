"""Linear layers by oneDNN: the same products to rounding, and nothing left behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from embft.encoding import linear
from embft.encoding.linear import fast_linear
from embft.system import speedups


def layers() -> torch.nn.Sequential:
    """Two plain layers around one that is not."""
    torch.manual_seed(0)
    plain = torch.nn.Linear
    return torch.nn.Sequential(plain(48, 96), torch.nn.GELU(), plain(96, 32, bias=False))


def replaced(model: torch.nn.Module) -> int:
    """How many layers have a forward of their own."""
    return sum("forward" in vars(module) for module in model.modules())


@pytest.fixture
def with_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that gains by it, as far as is asked: oneDNN computes on any."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(linear, "has_instructions", lambda *_: True)


@pytest.mark.usefixtures("with_avx512")
@pytest.mark.parametrize("shape", [(48,), (5, 48), (1, 7, 48), (3, 2, 48)])
def test_products_are_the_same_to_rounding(shape: tuple[int, ...]) -> None:
    """Every shape that a layer takes; afterwards the layers are as they were."""
    model, values = layers(), torch.randn(shape)
    with torch.no_grad():
        wanted = model(values)
        with fast_linear(model):
            assert replaced(model) == 2
            found = model(values)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert replaced(model) == 0


@pytest.mark.usefixtures("with_avx512")
def test_what_is_not_plain_float32_is_left() -> None:
    """Another number format, a layer that does more, and autocast."""

    class More(torch.nn.Linear):
        pass

    values = torch.randn(3, 48)
    for model in (layers().bfloat16(), layers().double(), torch.nn.Sequential(More(48, 8))):
        with fast_linear(model):
            assert replaced(model) == 0
    model = layers()
    with torch.no_grad(), fast_linear(model), torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(values).dtype == torch.bfloat16


@pytest.mark.usefixtures("with_avx512")
def test_gradients_flow() -> None:
    """A product by oneDNN has none, so it is not taken where they are wanted."""
    model = layers()
    with fast_linear(model):
        model(torch.randn(3, 48)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.usefixtures("with_avx512")
def test_an_error_leaves_the_layers_as_they_were() -> None:
    """What a failing block used is put back all the same."""
    model = layers()
    with pytest.raises(ValueError, match="x"), fast_linear(model):
        raise ValueError("x")
    assert replaced(model) == 0


def test_without_avx512_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch's own choice is as fast."""
    monkeypatch.setattr(linear, "has_instructions", lambda *_: False)
    model = layers()
    with fast_linear(model):
        assert replaced(model) == 0


def _wrong(values: torch.Tensor, weight: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.zeros(*values.shape[:-1], len(weight))


@pytest.mark.usefixtures("with_avx512")
@pytest.mark.parametrize(
    "operators", [SimpleNamespace(), SimpleNamespace(_linear_pointwise=_wrong)]
)
def test_torchs_own_products_serve_where_the_operator_is_gone_or_wrong(
    monkeypatch: pytest.MonkeyPatch, operators: SimpleNamespace
) -> None:
    """Said once, and nothing fails."""
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    monkeypatch.setattr(speedups, "_missing", {})
    monkeypatch.setattr(speedups, "_said", set())
    linear._by_onednn.cache_clear()
    model, values = layers(), torch.randn(3, 48)
    for _ in range(2):
        with torch.no_grad(), fast_linear(model):
            assert replaced(model) == 0
            assert torch.equal(model(values), layers()(values))
    linear._by_onednn.cache_clear()
    (sentence,) = speedups.unsaid()
    assert "oneDNN" in sentence
    assert not list(speedups.unsaid())


@pytest.mark.usefixtures("with_avx512")
@pytest.mark.parametrize(
    "activation", [torch.nn.GELU(), torch.nn.GELU(approximate="tanh"), torch.nn.SiLU()]
)
def test_an_activation_is_computed_with_the_product_before_it(
    monkeypatch: pytest.MonkeyPatch, activation: torch.nn.Module
) -> None:
    """It runs no pass of its own, the values are the same to rounding, and nothing is left."""
    model, values = layers(), 3 * torch.randn(5, 48)
    model[1] = activation
    asked: list[str] = []
    with torch.no_grad():
        wanted = model(values)
        with fast_linear(model, lambda: model(values)):
            assert replaced(model) == 3
            monkeypatch.setattr(type(activation), "forward", lambda *_: asked.append("a pass"))
            found = model(values)
    assert not asked
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert replaced(model) == 0


class _AlsoBefore(torch.nn.Module):
    """Adds what the activation is given to what it makes of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.activation = torch.nn.Linear(48, 48), torch.nn.GELU()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        before: torch.Tensor = self.linear(values)
        after: torch.Tensor = self.activation(before)
        return before + after


@pytest.mark.usefixtures("with_avx512")
def test_an_activation_whose_input_is_used_elsewhere_is_left() -> None:
    """The model is tried with it, makes something else of the text, and keeps its own."""
    model, values = _AlsoBefore(), torch.randn(3, 48)
    with torch.no_grad():
        wanted = model(values)
        with fast_linear(model, lambda: model(values)):
            assert replaced(model) == 1
            torch.testing.assert_close(model(values), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("with_avx512")
def test_an_activation_of_several_layers_is_left() -> None:
    """One that is called twice has no layer of its own; where gradients flow it is computed."""
    shared = torch.nn.GELU()
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), shared, torch.nn.Linear(8, 8), shared)
    values = torch.randn(2, 8)
    with fast_linear(model, lambda: model(values)):
        assert replaced(model) == 2
    own = layers()
    values = torch.randn(2, 48)
    wanted = own(values)
    with fast_linear(own, lambda: own(values)):
        found = own(values)
        found.sum().backward()
    torch.testing.assert_close(found, wanted)
