"""The threads of a training: chosen at its start by what the machine has left, kept afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs
from embft.encoding.stopping import StoppedError
from embft.errors import EmbftError
from embft.execution import train_step as worker_step
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.planning.take_over import begin
from embft.spec import TrainSpec, parse_spec
from embft.spec.resources import Resources
from embft.system.load import Others
from embft.training.random_state import random_state
from embft.training.step import Stepper
from embft.training.threads import choose_threads


def timings(seconds: dict[int, list[float]]) -> Callable[[int], float]:
    """Steps that take these times in turn, by threads; the last one again and again."""

    def timed(threads: int) -> float:
        found = seconds[threads]
        return found.pop(0) if len(found) > 1 else found[0]

    return timed


@pytest.mark.parametrize(
    ("most", "others", "seconds", "chosen"),
    [
        (2, 1.0, {1: [1.0], 2: [1.5]}, 1),  # threads that wait for each other
        (2, 1.0, {1: [1.0], 2: [0.6]}, 2),  # what others run is done in between
        (2, 1.0, {1: [1.0], 2: [0.95]}, 1),  # hardly faster, and another core taken
        (2, 1.0, {1: [1.0], 2: [9.0, 0.6]}, 2),  # the first step of all compiles
        (2, 1.0, {1: [1.0], 2: [0.6, 0.6, 9.0, 0.6]}, 2),  # one slow step decides nothing
        (16, 2.5, {1: [8.0], 13: [0.8], 16: [2.0]}, 13),  # the cores that are left
        (16, 30.0, {1: [1.0], 16: [2.0]}, 1),
        (64, 1.0, {1: [0.2], 63: [0.5], 64: [0.6]}, 1),  # a small model's short steps
    ],
)
def test_the_fewest_threads_that_are_fast(
    most: int, others: float, seconds: dict[int, list[float]], chosen: int
) -> None:
    """By the medians of steps with one thread, with the cores that are left, and with all."""
    assert choose_threads(most, others, timings(seconds)) == chosen


@pytest.mark.parametrize(("most", "others"), [(1, 5.0), (2, 0.1), (64, 0.0)])
def test_nothing_is_timed_where_nothing_is_to_choose(most: int, others: float) -> None:
    """On a machine that does nothing else all cores are taken, so that digits come out again."""

    def timed(_: int) -> float:
        raise AssertionError("no step is needed")

    assert choose_threads(most, others, timed) == most


def test_slow_steps_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a large model take seconds: one of each says enough."""
    clock, asked = [0.0], list[int]()
    monkeypatch.setattr("embft.training.threads.time.perf_counter", lambda: clock[0])

    def timed(threads: int) -> float:
        asked.append(threads)
        clock[0] += 10.0 / threads
        return 10.0 / threads

    assert choose_threads(2, 1.0, timed) == 2
    assert asked == [2, 1, 2]


@pytest.mark.parametrize("loss", ["cosine_similarity", "cosent"])
def test_timing_a_step_changes_nothing(tiny_model: Path, pairs: Pairs, loss: str) -> None:
    """Neither weights nor random states: the training after it is the one without it."""
    found = []
    for trials in (0, 3):
        spec = TrainSpec.model_validate({"loss": loss, "batch_size": 8})
        model = SentenceTransformer(str(tiny_model), device="cpu")
        torch.manual_seed(7)
        stepper = Stepper(model, spec, pairs, seed=7, steps=4)
        for _ in range(trials):
            assert stepper.seconds([0, 1, 2, 3]) > 0
        stepper.start()
        losses = [stepper.step([*range(start, start + 8)]) for start in (0, 8, 16)]
        stepper.finish()
        plain, tensors = random_state(stepper.dropout, "cpu")
        found.append((losses, plain["dropout"], tensors, stepper.weights()))
    (losses, dropout, tensors, weights), other = found
    assert (losses, dropout) == other[:2]
    assert all(torch.equal(tensors[name], other[2][name]) for name in tensors)
    assert all(torch.equal(weights[name], other[3][name]) for name in weights)


def test_a_training_that_goes_on_keeps_its_threads(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch, set_threads: Any
) -> None:
    """Chosen on a busy machine, written down, and taken again where it goes on, on a quiet one: the
    record is that of a training that nothing interrupted.
    """
    set_threads(torch.get_num_threads())
    weights = []
    for name, stops in (("whole", ()), ("stopped", (3,))):
        monkeypatch.setattr(Others, "cores", lambda _: 1.0)
        monkeypatch.setattr(Stepper, "seconds", lambda _s, _r: float(torch.get_num_threads()))
        plan = make_plan(parse_spec(tiny_spec), tmp_path / name)
        trial = next(t for t in prepare(plan, retry_failed=False) if t.spec.train.method == "full")
        begin(trial, 2, Resources())
        assert trial.folder.read_input().chooses_threads
        for stop in stops:
            with monkeypatch.context() as patch:
                patch.setattr(worker_step._Decisions, "should_stop", _after(stop))
                with pytest.raises(StoppedError):
                    worker_step.train_step(trial.folder)
            begin(trial, 2, Resources())  # the next sweep, and nothing else on the machine
            monkeypatch.setattr(Others, "cores", lambda _: 0.0)
        worker_step.train_step(trial.folder)
        given, trained = trial.folder.read_input(), trial.folder.read_trained()
        assert (given.threads, given.chooses_threads) == (1, False)
        assert trained.identity["threads"] == 1
        with np.load(trial.folder.reference_file) as reference:
            weights.append((reference["trained"], [s.loss for s in trained.epochs]))
    assert np.array_equal(weights[0][0], weights[1][0])
    assert weights[0][1] == weights[1][1]


def _after(steps: int) -> Callable[[Any], bool]:
    """Asks to stop after so many steps."""
    asked = [0]

    def should_stop(_: Any) -> bool:
        asked[0] += 1
        return asked[0] >= steps

    return should_stop


def test_a_number_that_the_spec_names_is_taken(tmp_path: Path, tiny_spec: str) -> None:
    """As it is, more than there are cores as well; nothing is chosen."""
    plan = make_plan(parse_spec(tiny_spec + "resources: {threads: 3}\n"), tmp_path)
    trial = prepare(plan, retry_failed=False)[-1]
    begin(trial, 1, plan.spec.resources)
    given = trial.folder.read_input()
    assert (given.threads, given.chooses_threads) == (3, False)
    for wrong in ("0", "many", "1.5"):
        with pytest.raises(EmbftError, match=r"resources\.threads"):
            parse_spec(tiny_spec + f"resources: {{threads: {wrong}}}\n")


def test_a_shared_prefix_hands_its_threads_on(tmp_path: Path, tiny_spec: str) -> None:
    """A longer training goes on from a shorter one's end only with as many threads."""
    from embft.training.checkpoint import Checkpoint, Checkpoints

    prefix = Checkpoints(tmp_path / "prefix", {"key": "k", "threads": 1})
    assert prefix.newest("threads") is None
    prefix.save(3, Checkpoint({}, {"w": torch.zeros(1)}))
    assert prefix.newest("threads") == 1
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    given = plan.trials[-1].input(2, chooses_threads=True)

    def timed(_: int) -> float:
        raise AssertionError("what is gone on from decides")

    assert worker_step._chosen_threads(given, prefix, Others(0), timed) == 1
    assert json.loads((tmp_path / "prefix/step-000000003/state.json").read_text())
