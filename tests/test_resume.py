"""A training that is cut off goes on as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from embft.data.load import PairFile
from embft.data.pairs import Pairs
from embft.data.splits import build_splits
from embft.evaluation.embed import pair_cosines
from embft.evaluation.scoring import score_dev
from embft.models import build
from embft.spec import LossSpec, ModelSpec, TrainSpec
from embft.training import Checkpoints, Hooks, StoppedError, Trained, train

MODEL = ModelSpec(base="tiny")
BASE = TrainSpec(epochs=3, batch_size=8, learning_rate=5e-3, warmup_steps=3)
IDENTITY = {"key": "abc"}
CASES = {
    "full": BASE,
    "lora": BASE.model_copy(update={"method": "lora", "schedule": "cosine"}),
    "accumulation": BASE.model_copy(update={"micro_batch_size": 3}),
    "no_duplicates": BASE.model_copy(update={"sampler": "no_duplicates"}),
    "early_stopping": BASE.model_copy(
        update={"epochs": 6, "early_stopping_patience": 1, "learning_rate": 1e-5}
    ),
    "steps": BASE.model_copy(update={"evaluation_steps": 4, "max_steps": 15}),
    "fp16": BASE.model_copy(update={"precision": "fp16", "method": "lora"}),
    "cached": BASE.model_copy(
        update={"loss": LossSpec(name="cached_multiple_negatives_ranking"), "micro_batch_size": 4}
    ),
}


@pytest.fixture(scope="module")
def pairs(pair_files: Path) -> Pairs:
    return build_splits(
        PairFile(pair_files / "train.jsonl"), PairFile(pair_files / "dev.jsonl")
    ).train


def _run(
    folder: Path, base: Path, pairs: Pairs, spec: TrainSpec, stop_at: int | None = None
) -> tuple[Trained, dict[str, torch.Tensor]]:
    """A training of a fresh model; with `stop_at`, stopped after that step."""
    torch.manual_seed(99)  # what a process drew before must not matter
    if spec.loss.traits.shapes != ("labelled",):
        pairs = Pairs.unlabelled(pairs.text_1, pairs.text_2)
    model = build(base, MODEL, spec)
    steps: list[int] = []

    def evaluate() -> tuple[float, dict[str, float]]:
        dev = score_dev(pairs, pair_cosines(model, pairs)) if pairs.labelled else {"x": 0.0}
        return dev.get("spearman", 0.0), dev

    hooks = Hooks(
        evaluate=evaluate,
        on_step=lambda step: steps.append(step.step),
        should_stop=lambda: bool(steps) and steps[-1] == stop_at,
    )
    trained = train(model, spec, pairs, 7, hooks, checkpoints=Checkpoints(folder, IDENTITY))
    return trained, {name: value.clone() for name, value in model.state_dict().items()}


def _curve(trained: Trained) -> list[dict[str, Any]]:
    return [score.model_dump(exclude={"seconds"}) for score in trained.history]


@pytest.mark.parametrize("case", CASES)
def test_three_interruptions_change_nothing(
    tmp_path: Path, tiny_model: Path, pairs: Pairs, case: str
) -> None:
    """Weights, curve and best evaluation equal an undisturbed run's to the last digit."""
    spec = CASES[case]
    wanted, weights = _run(tmp_path / "whole", tiny_model, pairs, spec)
    for stop_at in (2, 6, 10):
        if stop_at >= wanted.history[-1].step:
            break
        with pytest.raises(StoppedError):
            _run(tmp_path / "cut", tiny_model, pairs, spec, stop_at)
    found, again = _run(tmp_path / "cut", tiny_model, pairs, spec)
    assert _curve(found) == _curve(wanted)
    assert found.best.step == wanted.best.step
    assert weights.keys() == again.keys()
    for name, weight in weights.items():
        assert torch.equal(weight, again[name]), name


def _stopped(tmp_path: Path, tiny_model: Path, pairs: Pairs) -> Path:
    """A folder with two checkpoints, of step 6 (an epoch's end) and step 8."""
    with pytest.raises(StoppedError):
        _run(tmp_path, tiny_model, pairs, BASE, stop_at=8)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000006",
        "step-000000008",
    ]
    return tmp_path


@pytest.mark.parametrize("file", ["manifest.json", "state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["deleted", "emptied", "halved", "flipped"])
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, tiny_model: Path, pairs: Pairs, file: str, damage: str
) -> None:
    """Whatever happens to one of its files, the checkpoint before it is used instead."""
    folder = _stopped(tmp_path / "c", tiny_model, pairs)
    path = folder / "step-000000008" / file
    content = bytearray(path.read_bytes())
    if damage == "deleted":
        path.unlink()
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "halved":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    found = Checkpoints(folder, IDENTITY).latest()
    assert found is not None
    assert found.state["run"]["step"] == 6


@pytest.mark.parametrize("key", ["key", "torch"])
def test_a_checkpoint_belongs_to_one_training(
    tmp_path: Path, tiny_model: Path, pairs: Pairs, key: str
) -> None:
    """Another key, another version: the checkpoint is not used, and nothing fails."""
    folder = _stopped(tmp_path / "c", tiny_model, pairs)
    assert Checkpoints(folder, {**IDENTITY, key: "other"}).latest() is None


def test_a_forged_identity_does_not_help(tmp_path: Path, tiny_model: Path, pairs: Pairs) -> None:
    """A checkpoint whose state was edited no longer matches its manifest."""
    folder = _stopped(tmp_path / "c", tiny_model, pairs)
    for state in folder.glob("*/state.json"):
        content = json.loads(state.read_text())
        state.write_text(json.dumps({**content, "identity": {"key": "other"}}))
    assert Checkpoints(folder, {"key": "other"}).latest() is None
