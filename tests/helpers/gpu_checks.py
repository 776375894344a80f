"""What runs on a GPU, on a device that keeps its tensors apart: `test_gpu.py` runs these tests."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from embft.data.pairs import Pairs, Splits
from embft.encoding.stopping import StoppedError
from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.models.base import build
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.records import Completed
from embft.spec import LOSSES, LoraSpec, LossSpec, ModelSpec, TrainSpec, load_spec
from embft.training.checkpoint import Checkpoints
from embft.training.loop import Hooks, train
from tests.conftest import make_pairs
from tests.helpers.pretended_gpu import DEVICE, OnDevice, pretended_gpu

MODEL = ModelSpec(base="tiny")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The tiny model without dropout, whose masks the devices draw differently."""
    folder = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(tiny_model, folder)
    (config,) = [p for p in folder.rglob("config.json") if "hidden_dropout_prob" in p.read_text()]
    fields = json.loads(config.read_text())
    fields |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(fields))
    return folder


@pytest.fixture(scope="module")
def few_pairs(tmp_path_factory: pytest.TempPathFactory, pair_files: Path) -> Path:
    """The first half of the toy problem: each operator of the device costs Python's time."""
    folder = tmp_path_factory.mktemp("few")
    for file in pair_files.glob("*.jsonl"):
        lines = file.read_text().splitlines(keepends=True)
        (folder / file.name).write_text("".join(lines[: len(lines) // 2]))
    return folder


def test_what_lies_apart_does_not_mix() -> None:
    """The device is one on which mistakes of placement show."""
    with pretended_gpu():
        there, here = torch.ones(3, device=DEVICE), torch.ones(3)
        assert isinstance(there, OnDevice)
        assert (there + 1).device.type == DEVICE
        assert (there + here.to(DEVICE)).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="1 of 2 tensors lie on the CPU"):
            there + here
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def _on(device: str) -> AbstractContextManager[None]:
    return pretended_gpu() if device == DEVICE else nullcontext()


SPEC = """\
name: gpu
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
model: {{base: {base}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-3, {training}}}
"""
DECODER = """\
name: gpu
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
model: {{base: tiny-llama, pooling: {pooling}, template: eol, layer: 2, padding_side: {side}}}
train:
  method: lora
  lora: {{dropout: 0.0, target_modules: all-linear, variant: {variant}}}
  max_steps: 3
  batch_size: 8
  learning_rate: 1e-3
  precision: fp32
evaluators: [attention, collapse, probe, retrieval]
"""


def _record(folder: Path, spec: str, device: str) -> Completed:
    """The record of the spec's only trained trial, run in this process."""
    folder.mkdir()
    (folder / "spec.yaml").write_text(spec)
    plan = make_plan(load_spec(folder / "spec.yaml"), folder)
    (trial,) = [t for t in prepare(plan, retry_failed=False) if not t.spec.is_baseline]
    trial.folder.create(trial.input(threads=1))
    with _on(device):
        train_step(trial.folder)
        score_step(trial.folder)
    result = trial.folder.result()
    assert isinstance(result, Completed)
    assert result.provenance
    assert result.provenance.device == device
    return result


# One pair more or less on its other side moves them.
AT_A_THRESHOLD = {"accuracy", "f1", "precision", "recall", "false_positives"}


def _same(one: Completed, other: Completed, tolerance: float) -> None:
    assert one.trainable_parameters == other.trainable_parameters
    assert other.verification
    assert other.verification.against_memory <= other.verification.tolerance
    assert one.test.keys() == other.test.keys()
    for name in one.test.keys() - AT_A_THRESHOLD:
        assert one.test[name] == pytest.approx(other.test[name], abs=tolerance), name
    for a, b in zip(one.epochs, other.epochs, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=tolerance)


@pytest.mark.parametrize(
    ("training", "tolerance"),
    [
        ("method: full, precision: fp32", 1e-3),
        ("method: full, precision: bf16", 0.02),
        ("method: lora, precision: fp32, lora: {dropout: 0.0, variant: dora}", 1e-3),
        ("method: lora, precision: bf16, lora: {dropout: 0.0}", 0.02),
        ("method: lora, precision: fp16, lora: {dropout: 0.0}, micro_batch_size: 3", 0.02),
        ("method: full, precision: fp16, weight_decay: 0.1, schedule: cosine", 0.02),
    ],
)
def test_a_trial_comes_to_what_it_comes_to_on_the_cpu(
    tmp_path: Path, base: Path, few_pairs: Path, training: str, tolerance: float
) -> None:
    """From frozen data to a verified and scored record, every number the same within tolerance."""
    spec = SPEC.format(data=few_pairs, base=base, training=training)
    one, other = (_record(tmp_path / device, spec, device) for device in ("cpu", DEVICE))
    _same(one, other, tolerance)


@pytest.mark.parametrize(
    ("pooling", "side", "variant"), [("last", "left", "lora"), ("text_mean", "right", "rslora")]
)
def test_a_decoder_comes_to_what_it_comes_to_on_the_cpu(
    tmp_path: Path, few_pairs: Path, pooling: str, side: str, variant: str
) -> None:
    """With a template, a layer, and evaluators that look into the model."""
    spec = DECODER.format(data=few_pairs, pooling=pooling, side=side, variant=variant)
    one, other = (_record(tmp_path / device, spec, device) for device in ("cpu", DEVICE))
    _same(one, other, 1e-3)


def _losses(base: Path, spec: TrainSpec, pairs: Pairs, device: str) -> list[float]:
    """The loss of each step."""
    found: list[float] = []
    with _on(device):
        torch.manual_seed(1)
        model = build(base, MODEL, spec)
        hooks = Hooks(evaluate=lambda: (0.0, {}), on_step=lambda step: found.append(step.loss))
        train(model, spec, pairs, 1, hooks, guide=lambda: build(base, MODEL, spec))
        assert {p.device.type for p in model.parameters()} == {device}
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_what_it_is_on_the_cpu(base: Path, name: str) -> None:
    """In each step; Matryoshka's too."""
    loss = LossSpec.model_validate({"name": name, "matryoshka_dims": (8, 16)})
    spec = TrainSpec(loss=loss, epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32")
    pairs = make_pairs(LOSSES[name].shapes[0])
    on_cpu, on_gpu = (_losses(base, spec, pairs, device) for device in ("cpu", DEVICE))
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    tmp_path: Path,
    base: Path,
    splits: Splits,
    precision: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Moments, their counters, the scaler and random numbers come back to the device."""
    scalers = list[torch.amp.GradScaler]()

    class Growing(torch.amp.GradScaler):
        def __init__(self, device: str, enabled: bool) -> None:
            super().__init__(device, growth_interval=3, enabled=enabled)
            scalers.append(self)

    monkeypatch.setattr(torch.amp, "GradScaler", Growing)
    spec = TrainSpec(
        method="lora",
        lora=LoraSpec(dropout=0.1),
        precision=precision,
        epochs=2,
        batch_size=8,
        learning_rate=1e-3,
    )
    steps: list[int] = []

    def trained(folder: Path, most: int) -> dict[str, torch.Tensor]:
        steps.clear()
        torch.manual_seed(1)
        model = build(base, MODEL, spec)
        hooks = Hooks(
            evaluate=lambda: (steps[-1], {}),  # the last weights are the best
            on_step=lambda step: steps.append(step.step),
            should_stop=lambda: len(steps) == most,
        )
        train(model, spec, splits.train, 1, hooks, checkpoints=Checkpoints(folder, {}))
        return {name: p.detach().cpu() for name, p in model.named_parameters()}

    with pretended_gpu():
        whole = trained(tmp_path / "whole", 1000)
        with pytest.raises(StoppedError):
            trained(tmp_path / "parts", 8)
        parts = trained(tmp_path / "parts", 1000)
    assert steps[0] == 9
    for name, weight in whole.items():
        assert torch.equal(weight, parts[name]), name
    first, _, last = (scaler.state_dict() for scaler in scalers)
    assert first == last
    assert precision != "fp16" or first["scale"] > 2**16
