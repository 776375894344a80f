"""The training loop: same gradients as the library's, same run from the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import losses

from embft.data.pairs import Splits
from embft.models.base import build
from embft.spec import LoraSpec, ModelSpec, TrainSpec
from embft.training.dropout import BulkDropout, use_bulk_dropout
from embft.training.loop import Hooks, train
from embft.training.step import DivergedError, Stepper

MODEL = ModelSpec(base="tiny")


def _train(folder: Path, splits: Splits, spec: TrainSpec, seed: int = 1) -> tuple[Any, list[float]]:
    losses: list[float] = []
    torch.manual_seed(seed)
    model = build(folder, MODEL, spec)
    hooks = Hooks(evaluate=lambda: (0.0, {}), on_step=lambda step: losses.append(step.loss))
    train(model, spec, splits.train, seed, hooks)
    return model, losses


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("packs", [True, False])
def test_gradients_equal_the_librarys(
    tiny_model: Path, splits: Splits, method: Any, packs: bool
) -> None:
    """One pass over both columns gives the gradients of the loss's own two passes."""
    spec = TrainSpec(method=method, precision="fp32", lora=LoraSpec(dropout=0.0))
    model = build(tiny_model, MODEL, spec)
    stepper = Stepper(model, spec, splits.train, seed=1, steps=10)
    stepper.encoder.packs = packs
    for module in model.modules():
        if isinstance(module, BulkDropout):
            module.p = 0.0
    transformer: Any = model.transformers_model
    for layer in transformer.encoder.layer:
        layer.attention.self.dropout.p = 0.0
    stepper.start()
    rows = list(range(8))
    stepper._loss(rows).backward()
    ours = {n: p.grad.clone() for n, p in stepper.trainable.items() if p.grad is not None}
    stepper.finish()
    model.zero_grad()
    chosen = splits.train.take(rows)
    features = [model.preprocess(list(texts)) for texts in (chosen.text_1, chosen.text_2)]
    library = losses.CosineSimilarityLoss(model)
    library(features, torch.tensor(chosen.label, dtype=torch.float32)).backward()
    theirs = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    for name, gradient in theirs.items():
        if name.endswith("word_embeddings.weight"):
            rows_name = name.removesuffix("weight") + "rows"
            assert stepper.rows is not None
            torch.testing.assert_close(
                ours[rows_name], gradient[stepper.rows.used], rtol=1e-4, atol=1e-7
            )
        else:
            torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-7)


def test_training_used_rows_alone_changes_no_weight(tiny_model: Path, splits: Splits) -> None:
    """AdamW over the rows that the texts touch leaves the table that AdamW over all leaves."""
    spec = TrainSpec(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")
    used, _ = _train(tiny_model, splits, spec)
    # The smallest decay that is not 0 turns the shortcut off and moves no weight visibly.
    whole, _ = _train(tiny_model, splits, spec.model_copy(update={"weight_decay": 1e-12}))
    for one, other in zip(used.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert used.transformers_model.get_input_embeddings().weight.shape[0] > 30


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_accumulation_changes_no_gradient(tiny_model: Path, splits: Splits, micro: int) -> None:
    """A batch in parts trains like the batch at once, up to rounding, without dropout."""
    spec = TrainSpec(epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32")
    results = []
    for size in (None, micro):
        changed = spec.model_copy(update={"micro_batch_size": size})
        model = build(tiny_model, MODEL, changed)
        stepper = Stepper(model, changed, splits.train, seed=1, steps=6)
        for module in model.modules():
            if isinstance(module, BulkDropout):
                module.p = 0.0
        stepper.start()
        value = stepper.step(list(range(8)))
        results.append((value, stepper.weights()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    for name, weight in results[0][1].items():
        torch.testing.assert_close(weight, results[1][1][name], rtol=1e-3, atol=1e-5)


def test_a_model_is_made_ready_once_between_scores(
    tiny_model: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step asks for a model that trains; its modules hear it at the start and after scores."""
    spec = TrainSpec(batch_size=8)
    model = build(tiny_model, MODEL, spec)
    modes: list[bool] = []
    tell = model.train

    def train_mode(mode: bool = True) -> Any:
        modes.append(mode)
        return tell(mode)

    stepper = Stepper(model, spec, splits.train, seed=1, steps=6)
    monkeypatch.setattr(model, "train", train_mode)
    for _ in range(3):
        stepper.start()
    assert modes == [True]
    stepper.score()
    assert not model.training
    stepper.start()
    assert model.training
    assert modes == [True, False, True]


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


def test_the_best_weights_are_left(tiny_model: Path, splits: Splits) -> None:
    """The model that training leaves is the one that scored best, not the last."""
    spec = TrainSpec(epochs=3, batch_size=8, learning_rate=1e-2)
    model = build(tiny_model, MODEL, spec)
    transformer: Any = model.transformers_model
    seen: list[torch.Tensor] = []

    def score() -> tuple[float, dict[str, float]]:
        seen.append(transformer.get_input_embeddings().table.weight.detach().clone())
        return [0.1, 0.9, 0.5][len(seen) - 1], {}

    trained = train(model, spec, splits.train, 1, Hooks(evaluate=score))
    assert trained.best.epoch == 2
    left = transformer.get_input_embeddings().weight
    assert torch.equal(left, seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_steps_decide_when_to_evaluate_and_when_to_end(tiny_model: Path, splits: Splits) -> None:
    """evaluation_steps adds evaluations between the epochs' ends, max_steps ends training."""
    spec = TrainSpec(epochs=3, batch_size=8, evaluation_steps=4, max_steps=10)
    trained = train(
        build(tiny_model, MODEL, spec),
        spec,
        splits.train,
        1,
        Hooks(evaluate=lambda: (0.0, {"spearman": 0.0})),
    )
    assert [(score.step, score.epoch) for score in trained.history] == [
        (4, 0.6667),
        (6, 1),
        (8, 1.3333),
        (10, 1.6667),
    ]


def test_early_stopping_ends_after_its_patience(tiny_model: Path, splits: Splits) -> None:
    """Two evaluations without a better score end the training; the best one's weights are kept."""
    spec = TrainSpec(epochs=10, batch_size=8, early_stopping_patience=2)
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    trained = train(
        build(tiny_model, MODEL, spec),
        spec,
        splits.train,
        1,
        Hooks(evaluate=lambda: (next(scores), {})),
    )
    assert [score.epoch for score in trained.history] == [1, 2, 3, 4]
    assert trained.best.epoch == 2


def test_a_diverged_loss_is_an_error_not_a_score(tiny_model: Path, splits: Splits) -> None:
    """A loss that is no number ends training with the step and what to do."""
    model = build(tiny_model, MODEL, TrainSpec())
    transformer: Any = model.transformers_model
    with torch.no_grad():
        transformer.encoder.layer[0].output.dense.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"epoch 1, step 1: try a smaller train.learning_rate"):
        train(model, TrainSpec(), splits.train, 1, Hooks(evaluate=lambda: (0.0, {})))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_trains(tiny_model: Path, splits: Splits, precision: Any) -> None:
    """Each number format gives finite losses that fall, and float32 weights in the end."""
    spec = TrainSpec(epochs=6, batch_size=8, learning_rate=5e-3, precision=precision, method="lora")
    model, found = _train(tiny_model, splits, spec)
    assert np.isfinite(found).all()
    assert np.mean(found[-6:]) < np.mean(found[:6])
    assert {p.dtype for p in model.parameters()} == {torch.float32}


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


def test_attention_with_dropout_weighs_in_float32(
    tiny_model: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the precision, no softmax is left to 16 bits where the encoder is not fused."""
    seen: list[torch.dtype] = []
    softmax = torch.softmax

    def watched(scores: torch.Tensor, dim: int) -> torch.Tensor:
        seen.append(scores.dtype)
        return softmax(scores, dim=dim)

    monkeypatch.setattr(torch, "softmax", watched)
    spec = TrainSpec(precision="bf16")
    stepper = Stepper(build(tiny_model, MODEL, spec), spec, splits.train, seed=1, steps=10)
    stepper.fused = None
    stepper.start()
    stepper.step(list(range(8)))
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_bulk_dropout_keeps_the_mean_in_every_precision(dtype: torch.dtype, rate: float) -> None:
    """What is kept is scaled by 1 / (1 - p), forward and backward, not by that number rounded."""
    dropout = BulkDropout(rate, np.random.Generator(np.random.SFC64(0)))
    values = (1 + torch.rand(1 << 20, generator=torch.Generator().manual_seed(0))).to(dtype)
    values.requires_grad_()
    out = dropout(values)
    kept = out != 0
    assert out.dtype == dtype
    scale = out[kept].double().mean() / values[kept].double().mean()
    assert scale.item() == pytest.approx(1 / (1 - rate), rel=3e-5)
    out.backward(values.detach())
    assert values.grad is not None
    assert torch.equal(values.grad, out)


def test_bulk_dropout_takes_every_dropouts_place(tiny_model: Path) -> None:
    """No stock dropout is left in a model with an adapter, and the saved names do not change."""
    model = build(tiny_model, MODEL, TrainSpec(method="lora"))
    before = list(model.state_dict())
    use_bulk_dropout(model, seed=1)
    kinds = [type(module) for module in model.modules()]
    assert torch.nn.Dropout not in kinds
    assert BulkDropout in kinds
    assert list(model.state_dict()) == before
