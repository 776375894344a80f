"""A training that is cut off goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs
from embft.encoding.stopping import StoppedError
from embft.evaluation.embed import pair_cosines
from embft.evaluation.scoring import score_dev
from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.models.base import build
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.records import Attempt
from embft.spec import LossSpec, ModelSpec, TrainSpec, parse_spec
from embft.training.checkpoint import Checkpoints
from embft.training.loop import Hooks, Outcome, train

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


def _run(
    folder: Path,
    base: Path,
    pairs: Pairs,
    spec: TrainSpec,
    stop_at: int | None = None,
    *,
    steps: list[int] | None = None,
) -> tuple[Outcome, dict[str, torch.Tensor]]:
    """A training of a fresh model; with `stop_at`, stopped after that step. Fills `steps`."""
    torch.manual_seed(99)  # what a process drew before must not matter
    if spec.loss.traits.shapes != ("labelled",):
        pairs = Pairs.unlabelled(pairs.text_1, pairs.text_2)
    model = build(base, MODEL, spec)
    done: list[int] = [] if steps is None else steps
    hooks = Hooks(
        evaluate=lambda: _score(model, pairs),
        on_step=lambda step: done.append(step.step),
        should_stop=lambda: bool(done) and done[-1] == stop_at,
    )
    trained = train(model, spec, pairs, 7, hooks, checkpoints=Checkpoints(folder, IDENTITY))
    return trained, {name: value.clone() for name, value in model.state_dict().items()}


def _score(model: SentenceTransformer, pairs: Pairs) -> tuple[float, dict[str, float]]:
    dev = score_dev(pairs, pair_cosines(model, pairs)) if pairs.labelled else {"x": 0.0}
    return dev.get("spearman", 0.0), dev


def _curve(trained: Outcome) -> list[dict[str, Any]]:
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


@pytest.mark.parametrize("catches", [False, True])
@pytest.mark.parametrize("evaluation", [1, 2, 3])
def test_an_evaluation_that_is_cut_off_is_done_again(
    tmp_path: Path, tiny_model: Path, pairs: Pairs, evaluation: int, catches: bool
) -> None:
    """Ctrl-C need not wait for it, and no step before it is lost; nor is a figure that lacks what
    was cut off ever taken, where an evaluator catches every exception.
    """
    wanted, weights = _run(tmp_path / "whole", tiny_model, pairs, BASE)
    scored: list[bool] = []

    def cut_off(model: SentenceTransformer) -> tuple[float, dict[str, float]]:
        torch.rand(3), random.random(), np.random.rand()  # noqa: S311 - as evaluators may
        scored.append(True)
        with suppress(Exception) if catches else nullcontext():
            return _score(model, pairs)
        return 1.0, {"spearman": 1.0}

    model = build(tiny_model, MODEL, BASE)
    hooks = Hooks(evaluate=lambda: cut_off(model), should_stop=lambda: len(scored) == evaluation)
    with pytest.raises(StoppedError):
        train(model, BASE, pairs, 7, hooks, checkpoints=Checkpoints(tmp_path / "c", IDENTITY))
    steps: list[int] = []
    found, again = _run(tmp_path / "c", tiny_model, pairs, BASE, steps=steps)
    assert steps == list(range(6 * evaluation + 1, 19)), "no step is done twice"
    assert _curve(found) == _curve(wanted)
    assert all(torch.equal(weight, again[name]) for name, weight in weights.items())


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


def test_new_checkpoints_are_kept_beside_those_of_another_training(
    tmp_path: Path, tiny_model: Path, pairs: Pairs
) -> None:
    """After an upgrade training begins again, at steps below those that lie there."""
    folder = _stopped(tmp_path / "c", tiny_model, pairs)
    upgraded = Checkpoints(folder, {**IDENTITY, "torch": "other"})
    old = Checkpoints(folder, IDENTITY).latest()
    assert old is not None
    for step in (1, 2, 3):
        upgraded.save(step, replace(old, state={"step": step}))
        found = upgraded.latest()
        assert found is not None
        assert found.state == {"step": step}
    assert len(list(folder.iterdir())) == 2


def test_a_finished_training_is_taken_up_by_the_same_packages_alone(
    tmp_path: Path, tiny_spec: str
) -> None:
    """Interrupted between training and scoring, and upgraded: it is trained again."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    trial = next(t for t in prepare(plan, retry_failed=False) if t.spec.train.method == "full")
    folder = trial.folder
    folder.create(trial.input(threads=1))
    train_step(folder)
    written = folder.trained_file.read_bytes()
    folder.create(trial.input(threads=4))
    assert folder.read_input().threads == 1
    train_step(folder)
    assert folder.trained_file.read_bytes() == written
    trained = folder.read_trained()
    other = {**trained.identity, "torch": "1.0"}
    folder.write_trained(trained.model_copy(update={"identity": other}))
    train_step(folder)
    assert folder.read_trained().identity == trained.identity


def test_what_an_attempt_came_to_stays_when_it_is_interrupted(
    tmp_path: Path, tiny_spec: str
) -> None:
    """Half a batch after memory ran out, and why; once there is a record, all begins afresh."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    trial = prepare(plan, retry_failed=False)[-1]
    given = trial.input(threads=1)
    attempt = Attempt(reason="out_of_memory", message="", peak_memory_mb=1.0, seconds=1.0)
    halved = given.model_copy(update={"micro_batch_size": 4, "attempts": (attempt,)})
    trial.folder.create(given)
    trial.folder.write_input(halved)
    trial.folder.create(given)
    assert trial.folder.read_input() == halved
    trial.folder.result_file.touch()
    trial.folder.create(given)
    assert trial.folder.read_input() == given


def test_a_finished_trial_keeps_no_checkpoints(tmp_path: Path, tiny_spec: str) -> None:
    """Where its launcher was killed right after the record, the next sweep removes them."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    trial = next(t for t in prepare(plan, retry_failed=False) if t.spec.is_baseline)
    trial.folder.create(trial.input(threads=1))
    score_step(trial.folder)
    (trial.folder.checkpoints_folder / "step-000000001").mkdir(parents=True)
    trial.folder.running_file.touch()
    prepare(make_plan(parse_spec(tiny_spec), tmp_path), retry_failed=False)
    assert not trial.folder.checkpoints_folder.exists()
    assert not trial.folder.running_file.exists()
