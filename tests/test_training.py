"""The training loop: same gradients as the library's, same run from the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embft.data.load import PairFile
from embft.data.pairs import Splits
from embft.data.splits import build_splits
from embft.dropout import BulkDropout, use_bulk_dropout
from embft.models import build
from embft.spec import LoraSpec, ModelSpec, TrainSpec
from embft.training import DivergedError, Step, Tokenised, _Loop, train

MODEL = ModelSpec(base="tiny")


@pytest.fixture(scope="module")
def splits(pair_files: Path) -> Splits:
    return build_splits(PairFile(pair_files / "train.jsonl"), PairFile(pair_files / "dev.jsonl"))


def _train(folder: Path, splits: Splits, spec: TrainSpec, seed: int = 1) -> tuple[Any, list[float]]:
    losses: list[float] = []

    def step(step: Step) -> None:
        losses.append(step.loss)

    torch.manual_seed(seed)
    model = build(folder, MODEL, spec)
    train(model, spec, splits.train, seed, on_step=step, on_epoch=lambda *_: 0.0)
    return model, losses


def test_batches_are_what_the_tokenizer_makes(tiny_model: Path, splits: Splits) -> None:
    """Tokenised texts, put together and padded, equal the model's own preprocessing."""
    model = build(tiny_model, MODEL, TrainSpec())
    texts = list(splits.train.text_1[:7])
    ours, theirs = Tokenised(model, texts).batch(range(7), "cpu"), model.preprocess(texts)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(ours[name], value)
        else:
            assert ours[name] == value


@pytest.mark.parametrize("method", ["full", "lora"])
def test_gradients_equal_the_librarys(tiny_model: Path, splits: Splits, method: Any) -> None:
    """One pass over both columns gives the gradients of the loss's own two passes."""
    spec = TrainSpec(method=method, precision="fp32", lora=LoraSpec(dropout=0.0))
    model = build(tiny_model, MODEL, spec).eval()  # without dropout the two are comparable
    loop = _Loop(model, spec, splits.train)
    rows = torch.arange(8)
    loop.loss_of(rows).backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    chosen = splits.train.take(rows.tolist())
    features = [model.preprocess(list(texts)) for texts in (chosen.text_1, chosen.text_2)]
    loop.loss(features, torch.tensor(chosen.label, dtype=torch.float32)).backward()
    theirs = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-7)


def test_the_same_seed_gives_the_same_run(tiny_model: Path, splits: Splits) -> None:
    """Losses repeat to the last digit with one seed and differ with another."""
    spec = TrainSpec(epochs=2, batch_size=8, learning_rate=1e-3)
    first, again, other = (_train(tiny_model, splits, spec, seed)[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == 2 * 6


def test_training_learns(tiny_model: Path, splits: Splits) -> None:
    """The loss falls to a fraction of what it was."""
    spec = TrainSpec(epochs=8, batch_size=8, learning_rate=5e-3)
    _, losses = _train(tiny_model, splits, spec)
    assert np.mean(losses[-6:]) < 0.5 * np.mean(losses[:6])


def test_lora_trains_the_adapter_alone(tiny_model: Path, splits: Splits) -> None:
    """After LoRA training the base weights are what they were, the adapter's are not."""
    spec = TrainSpec(method="lora", epochs=1, batch_size=8, learning_rate=1e-2)
    before = dict(build(tiny_model, MODEL, TrainSpec()).named_parameters())
    after, _ = _train(tiny_model, splits, spec)
    named = {n.replace(".base_layer", ""): p for n, p in after.named_parameters()}
    assert all(torch.equal(named[name], weight) for name, weight in before.items())
    assert any(p.abs().sum() > 0 for n, p in named.items() if "lora_B" in n)


def test_the_best_epochs_weights_are_left(tiny_model: Path, splits: Splits) -> None:
    """The model that training leaves is the one that scored best, not the last."""
    spec = TrainSpec(epochs=3, batch_size=8, learning_rate=1e-2)
    model = build(tiny_model, MODEL, spec)
    seen: list[torch.Tensor] = []

    def score(epoch: int, loss: float) -> float:
        del loss
        seen.append(next(model.parameters()).detach().clone())
        return {1: 0.1, 2: 0.9, 3: 0.5}[epoch]

    best = train(model, spec, splits.train, 1, on_step=lambda _: None, on_epoch=score)
    assert best == 2
    assert torch.equal(next(model.parameters()), seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_a_diverged_loss_is_an_error_not_a_score(tiny_model: Path, splits: Splits) -> None:
    """A loss that is no number ends training with the step and what to do."""
    model = build(tiny_model, MODEL, TrainSpec())
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"epoch 1, step 1: try a smaller train.learning_rate"):
        train(model, TrainSpec(), splits.train, 1, on_step=lambda _: None, on_epoch=lambda *_: 0.0)


def test_bulk_dropout_drops_the_share_it_should() -> None:
    """A share p becomes zero, the rest is scaled to keep the mean, eval changes nothing."""
    dropout = BulkDropout(0.1, np.random.Generator(np.random.SFC64(0)))
    ones = torch.ones(1000, 1000, requires_grad=True)
    out = dropout(ones)
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=1e-3)
    assert out.mean().item() == pytest.approx(1.0, abs=1e-3)
    out.sum().backward()
    assert ones.grad is not None
    assert torch.equal(ones.grad.eq(0), out.eq(0))
    assert dropout.eval()(ones) is ones


def test_bulk_dropout_takes_every_dropouts_place(tiny_model: Path) -> None:
    """No stock dropout is left in a model with an adapter, and the saved names do not change."""
    model = build(tiny_model, MODEL, TrainSpec(method="lora"))
    before = list(model.state_dict())
    use_bulk_dropout(model, seed=1)
    kinds = [type(module) for module in model.modules()]
    assert torch.nn.Dropout not in kinds
    assert BulkDropout in kinds
    assert list(model.state_dict()) == before
