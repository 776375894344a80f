"""The losses: each trains on the data that it takes, and refuses the rest before anything runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs
from embft.errors import EmbftError
from embft.models.base import build
from embft.spec import LOSSES, LossSpec, ModelSpec, Shape, TrainSpec, unfit_reason
from embft.training.batches import Batches, without_duplicates
from embft.training.loop import Hooks, train
from embft.training.losses import _CLASSES, _SYMMETRIC, FromEmbeddings
from embft.training.step import Stepper
from tests.conftest import make_pairs

MODEL = ModelSpec(base="tiny")


def test_spec_and_library_name_the_same_losses() -> None:
    """Every loss that a spec may name has a class."""
    assert LOSSES.keys() == _CLASSES.keys()


@pytest.mark.parametrize("dims", [None, (8, 16)])
@pytest.mark.parametrize(
    ("name", "shape"), [(n, shape) for n, traits in LOSSES.items() for shape in traits.shapes]
)
def test_every_loss_trains(
    tiny_model: Path, name: str, shape: str, dims: tuple[int, ...] | None
) -> None:
    """Each loss on each shape of data changes the weights and stays finite; Matryoshka too."""
    loss = LossSpec.model_validate({"name": name, "matryoshka_dims": dims})
    spec = TrainSpec(loss=loss, epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32")
    model = build(tiny_model, MODEL, spec)
    before = [p.detach().clone() for p in model.parameters()]
    losses: list[float] = []
    hooks = Hooks(evaluate=lambda: (0.0, {}), on_step=lambda step: losses.append(step.loss))
    train(
        model,
        spec,
        make_pairs(shape),
        1,
        hooks,
        guide=lambda: build(tiny_model, MODEL, TrainSpec()),
    )
    assert np.isfinite(losses).all()
    assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def _several(count: int) -> Pairs:
    """Triplets with so many negatives in each row."""
    pairs = make_pairs("triplets")
    first = list(pairs.negatives[0])
    others = [first[8 * i :] + first[: 8 * i] for i in range(count)]
    return Pairs.unlabelled(pairs.text_1, pairs.text_2, others)


@pytest.mark.parametrize("name", [n for n, t in LOSSES.items() if Shape.TRIPLETS in t.shapes])
def test_several_negatives(tiny_model: Path, name: str) -> None:
    """A loss of rows with three negatives is the library's own of five columns; of those that take
    one, the mean over the negatives or a refusal that names what takes more.
    """
    loss, pairs = LossSpec.model_validate({"name": name}), _several(3)
    reason = unfit_reason(loss, pairs.shape, binary=True, negatives=3)
    if name == "gist_embed":
        assert reason is not None
        assert "takes one negative in a row, and the training data have 3" in reason
        assert unfit_reason(loss, pairs.shape, binary=True) is None
        return
    assert reason is None
    spec = TrainSpec(loss=loss, batch_size=24, precision="fp32")
    model = build(tiny_model, MODEL, spec).eval()
    stepper = Stepper(model, spec, pairs, seed=1, steps=1, guide=lambda: _guide(tiny_model))
    model.eval()
    found = stepper._loss(list(range(24))).item()
    features = [model.preprocess(list(column)) for column in pairs.columns]
    extra: dict[str, Any] = {"guide": _guide(tiny_model)} if "gist" in name else {}
    extra |= _SYMMETRIC if "symmetric" in name else {}
    theirs = _CLASSES[name](model, **extra)
    groups = [[*features[:2], each] for each in features[2:]] if name == "triplet" else [features]
    wanted = [theirs([dict(f) for f in group], torch.zeros(0)).item() for group in groups]
    assert found == pytest.approx(sum(wanted) / len(wanted), rel=1e-4)


def test_a_loss_of_several_terms_is_their_sum() -> None:
    """Some losses of the library give each term under its name, as its trainer sums them."""

    def terms(parts: list[torch.Tensor], _: torch.Tensor | None) -> dict[str, torch.Tensor]:
        return {"near": parts[0].mean(), "far": parts[1].mean()}

    encoder: Any = SimpleNamespace(embed=lambda _: torch.arange(8.0).reshape(4, 2))
    loss = FromEmbeddings(encoder, SimpleNamespace(compute_loss_from_embeddings=terms), None)
    assert loss([[0, 1], [2, 3]], None).item() == 1.5 + 5.5


def _guide(tiny_model: Path) -> SentenceTransformer:
    return build(tiny_model, MODEL, TrainSpec(method="full")).eval()


def _value(tiny_model: Path, shape: str, **loss: object) -> float:
    spec = TrainSpec(loss=LossSpec.model_validate(loss), batch_size=24, precision="fp32")
    model = build(tiny_model, MODEL, spec)
    stepper = Stepper(
        model, spec, make_pairs(shape), seed=1, steps=1, guide=lambda: _guide(tiny_model)
    )
    model.eval()
    return stepper._loss(list(range(24))).item()


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("multiple_negatives_ranking", "positives", {"temperature": 0.5}),
        ("cosent", "labelled", {"temperature": 0.5}),
        ("contrastive", "labelled", {"margin": 1.9}),
        ("contrastive", "labelled", {"distance": "euclidean"}),
        ("triplet", "triplets", {"margin": 9.0}),
        ("triplet", "triplets", {"distance": "cosine"}),
        ("angle", "labelled", {"temperature": 0.5}),
        ("online_contrastive", "labelled", {"margin": 1.9}),
        ("online_contrastive", "labelled", {"distance": "euclidean"}),
        ("gist_embed", "positives", {"temperature": 0.5}),
        ("gist_embed", "positives", {"margin": 0.05}),
        ("cached_gist_embed", "positives", {"temperature": 0.5}),
        ("cached_gist_embed", "positives", {"margin": 0.05}),
    ],
)
def test_parameters_reach_the_loss(
    tiny_model: Path, name: str, shape: str, parameters: dict[str, object]
) -> None:
    """A loss's value on one batch changes with its parameters."""
    plain = _value(tiny_model, shape, name=name)
    assert _value(tiny_model, shape, name=name, **parameters) != pytest.approx(plain, rel=1e-3)


def test_a_cached_loss_sees_the_whole_batch(tiny_model: Path) -> None:
    """The cached form equals the plain one on the batch, however small its parts."""
    plain = _value(tiny_model, "positives", name="multiple_negatives_ranking")
    spec = TrainSpec(
        loss=LossSpec(name="cached_multiple_negatives_ranking"),
        batch_size=24,
        micro_batch_size=5,
        precision="fp32",
    )
    model = build(tiny_model, MODEL, spec)
    stepper = Stepper(model, spec, make_pairs("positives"), seed=1, steps=1)
    model.eval()
    assert stepper._loss(list(range(24))).item() == pytest.approx(plain, rel=1e-4)


def _gradient(
    tiny_model: Path, method: str, precision: str, loss: str
) -> tuple[float, torch.Tensor]:
    """One step's loss and the gradient that it hands to the optimizer, without dropout."""
    spec = TrainSpec.model_validate({
        "method": method, "loss": loss, "precision": precision, "batch_size": 24,
        "micro_batch_size": 5 if loss.startswith("cached") else None, "max_grad_norm": 1e6,
    })  # fmt: skip
    torch.manual_seed(0)
    model = build(tiny_model, MODEL, spec)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zero at first, so that the other half has no gradient
                parameter.normal_(std=0.1)

    stepper = Stepper(
        model, spec, make_pairs("positives"), seed=1, steps=1, guide=lambda: _guide(tiny_model)
    )
    found: list[torch.Tensor] = []
    weights = stepper.trainable.values()
    stepper.optimizer.register_step_pre_hook(
        lambda *_: found.extend(p.grad.flatten() for p in weights if p.grad is not None)
    )
    stepper.start()
    model.eval()
    value = stepper.step(list(range(24)))
    assert "forward" not in vars(model)
    return value, torch.cat(found)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", [n for n, traits in LOSSES.items() if traits.cached])
def test_a_cached_loss_has_the_plain_ones_gradient(
    tiny_model: Path, name: str, method: str, precision: str
) -> None:
    """Each way to train and each precision: the second run of the model computes as the first."""
    value, gradient = _gradient(tiny_model, method, precision, name)
    plain, wanted = _gradient(tiny_model, method, precision, name.removeprefix("cached_"))
    exact = precision == "fp32"
    assert value == pytest.approx(plain, rel=1e-5 if exact else 2e-2)
    off = float((gradient - wanted).norm() / wanted.norm())
    assert off < (1e-4 if exact else 0.1)


def test_a_cached_losses_second_run_is_in_the_steps_precision(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both runs of the model see bfloat16 where the step has it, with every weight trained too."""
    asked: list[bool] = []
    plain = SentenceTransformer.forward

    def forward(self: SentenceTransformer, *args: Any, **kwargs: Any) -> Any:
        asked.append(torch.is_autocast_enabled("cpu"))
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(SentenceTransformer, "forward", forward)
    _gradient(tiny_model, "full", "bf16", "cached_multiple_negatives_ranking")
    assert len(asked) >= 2 * 2 * 5
    assert all(asked[-2 * 2 * 5 :])


def test_data_that_do_not_fit_are_refused() -> None:
    """The reason names the shape that the loss needs and the losses that the data could have."""
    reason = unfit_reason(LossSpec(name="triplet"), Shape.LABELLED, binary=True)
    assert reason is not None
    assert "an anchor, a positive and negatives" in reason
    assert "cosine_similarity" in reason
    graded = unfit_reason(LossSpec(name="contrastive"), Shape.LABELLED, binary=False)
    assert graded is not None
    assert "labels 0 and 1" in graded
    assert unfit_reason(LossSpec(), Shape.LABELLED, binary=False) is None


def test_dimensions_beyond_the_models_are_refused(tiny_model: Path) -> None:
    """Matryoshka dimensions must not exceed the embedding's."""
    spec = TrainSpec(loss=LossSpec(matryoshka_dims=(64,)))
    with pytest.raises(EmbftError, match="has 64, but this model's embeddings have 32"):
        Stepper(build(tiny_model, MODEL, spec), spec, make_pairs("labelled"), seed=1, steps=1)


def test_in_batch_losses_never_see_a_text_twice_in_a_batch() -> None:
    """Every row comes once an epoch; no text stands in two rows of a batch."""
    pairs = Pairs.unlabelled(["a", "a", "b", "c", "a", "d"], ["x", "y", "x", "z", "w", "v"])
    spec = TrainSpec(loss=LossSpec(name="multiple_negatives_ranking"), batch_size=4)
    batches = Batches(pairs.columns, spec, seed=1)
    assert spec.avoids_duplicates
    for epoch in (1, 2):
        found = batches.of(epoch)
        assert sorted(row for batch in found for row in batch) == list(range(6))
        for batch in found:
            texts = [text for row in batch for text in (pairs.text_1[row], pairs.text_2[row])]
            assert len(texts) == len(set(texts))
    assert batches.steps(2) == len(batches.of(1)) + len(batches.of(2))


def test_batches_are_slices_of_an_order_of_all_rows() -> None:
    """Other orders in other epochs, a shorter last batch, and no batch beyond it."""
    batches = Batches([["a"] * 10, ["b"] * 10], TrainSpec(batch_size=4), seed=1)
    first, second = batches.of(1), batches.of(2)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(row for batch in first for row in batch) == list(range(10))
    assert list(first) == list(batches.of(1)) != list(second)
    assert (first[-1], first[1:]) == (first[2], [first[1], first[2]])
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            first[beyond]
    assert batches.steps(3) == 9


def test_rows_that_clash_wait_for_the_next_batch() -> None:
    """The order is kept as far as duplicates allow."""
    assert without_duplicates([0, 1, 2, 3], [["a", "a", "b", "c"]], 2) == [[0, 2], [1, 3]]
