"""Trainings wait for a scheduler's decision, and end, pause or go on by it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from embft.errors import EmbftError, SpecError
from embft.execution.launcher import write_pruned
from embft.execution.train_step import _Decisions
from embft.planning.plan import PlannedTrial, make_plan
from embft.planning.steps import epoch_steps, evaluations, steps_before
from embft.results.folders import TrialDir
from embft.results.observer import Observed
from embft.results.records import EpochScore, Pruned, PruneDecision, Status
from embft.scheduler.early_stopping import EVALUATION, EarlyStopping
from embft.scheduler.searchers import METRIC
from embft.scheduler.stepped import SteppedTrial
from embft.scheduler.stopping import Enough
from embft.spec import Goal, TrainSpec, parse_spec
from embft.spec.search import Scheduler, Stop
from tests.helpers.searches import begin, finish, search_plan

RANDOM = "{algorithm: random, trials: 8, seed: 3}"
ASHA = "scheduler: asha\n"


@pytest.fixture
def trials(tmp_path: Path, tiny_spec: str) -> list[PlannedTrial]:
    """Three trials whose folders are ready."""
    plan = search_plan(tmp_path, tiny_spec, RANDOM, ASHA)
    assert plan.planner is not None
    rates = (1e-4, 1e-3, 5e-3)
    point = {"train.method": "full"}
    made = [plan.planner.proposed({**point, "train.learning_rate": rate}) for rate in rates]
    for trial in made:
        begin(trial)
    return made


def score(count: int, value: float = 0.5) -> EpochScore:
    return EpochScore(epoch=count, step=count, loss=0.1, dev={"spearman": value}, seconds=1.0)


def train(folder: TrialDir, values: list[float]) -> Status:
    """What a training does between its evaluations; the last needs no decision."""
    asks = _Decisions(folder, asks=True)
    for count, value in enumerate(values, 1):
        asks.on_evaluation(score(count, value))
        if count < len(values) and asks.should_stop():
            if (decision := folder.read_decision()) is None:
                return Status.PENDING
            write_pruned(folder, folder.read_input(), decision)
            return Status.PRUNED
    return Status.COMPLETED


def test_a_training_goes_on_only_step_by_step(trials: list[PlannedTrial]) -> None:
    """Ray hears of each evaluation but the last, and what comes after the next step was asked."""
    folder = trials[0].folder
    stepped = SteppedTrial(folder, lambda f: train(f, [0.1, 0.2, 0.3]), "spearman")
    assert stepped.step() == {METRIC: 0.1, EVALUATION: 1}
    time.sleep(0.1)
    assert [e["event"] for e in folder.progress()] == ["epoch", "asks"], "it waits"
    assert stepped.step() == {METRIC: 0.2, EVALUATION: 2}
    assert stepped.step() == {"status": Status.COMPLETED, "done": True}


def test_a_decision_to_stop_ends_it_with_a_record(trials: list[PlannedTrial]) -> None:
    """The curve up to the decision, and the scheduler's words."""
    folder = trials[0].folder
    stepped = SteppedTrial(folder, lambda f: train(f, [0.1, 0.2, 0.3]), "spearman")
    stepped.step()
    decision = PruneDecision(reason="too low", scheduler=dict(trials[0].scheduler or {}))
    folder.write_decision(decision)
    end = stepped.step()
    assert end == {METRIC: 0.1, EVALUATION: 1, "status": Status.PRUNED, "done": True}
    record = trials[0].result()
    assert isinstance(record, Pruned)
    assert (record.reason, len(record.epochs)) == ("too low", 1)


def test_a_paused_trial_goes_on_where_ray_knows_it(trials: list[PlannedTrial]) -> None:
    """Its evaluations before the pause are not reported again."""
    folder = trials[0].folder
    first = SteppedTrial(folder, lambda f: train(f, [0.1, 0.2, 0.3]), "spearman")
    first.step()
    folder.pause_file.touch()
    assert first.step() == {"status": Status.PENDING, "done": True}
    again = SteppedTrial(folder, lambda f: train(f, [0.1, 0.2, 0.3]), "spearman", reported=1)
    assert not folder.pause_file.exists()
    assert again.step() == {METRIC: 0.2, EVALUATION: 2}


def test_a_finished_trial_steps_through_its_record(trials: list[PlannedTrial]) -> None:
    """So that a scheduler that begins afresh knows what the one before knew."""
    finish(trials[0], evaluations=3)
    never: Any = None
    stepped = SteppedTrial(trials[0].folder, never, "spearman")
    steps = [stepped.step() for _ in range(3)]
    assert [step.get("done", False) for step in steps] == [False, False, True]
    assert [step[EVALUATION] for step in steps] == [1, 2, 3]


@dataclass(frozen=True, eq=False)
class RayTrial:
    """What schedulers ask of Ray's trials."""

    trial_id: str
    config: dict[str, str]
    status: str
    is_saving: bool = False

    @property
    def last_result(self) -> dict[str, Any]:
        """The first evaluation."""
        return {METRIC: 0.1, EVALUATION: 1}


def ray_trial(planned: PlannedTrial, status: str = Trial.RUNNING) -> Any:
    return RayTrial(planned.key, {"trial": str(planned.folder.path)}, status)


def test_asha_ends_what_falls_behind(trials: list[PlannedTrial]) -> None:
    """Its decision is in the trial's folder; Ray hears of the end when the trial has ended."""
    early = EarlyStopping(Scheduler(algorithm="asha", reduction_factor=2), "max", 4)
    decisions = []
    for planned, value in zip(trials, (0.5, 0.9, 0.1), strict=True):
        trial = ray_trial(planned)
        early.on_trial_add(None, trial)
        decisions.append(early.on_trial_result(None, trial, {METRIC: value, EVALUATION: 1}))
    assert decisions == [TrialScheduler.CONTINUE] * 3
    decision = trials[2].folder.read_decision()
    assert decision is not None
    assert decision.reason == "stopped by asha after evaluation 1 at 0.1000"
    assert [trial.folder.prune_file.exists() for trial in trials] == [False, False, True]


def test_the_median_rule_never_pauses(trials: list[PlannedTrial]) -> None:
    """Ray's own would run trials in turns until it has three to compare with."""
    early = EarlyStopping(Scheduler(algorithm="median"), "max", 4)
    waiting = SimpleNamespace(get_live_trials=lambda: [SimpleNamespace(status=Trial.PENDING)])
    trial = ray_trial(trials[0])
    early.on_trial_add(waiting, trial)
    result = {METRIC: 0.5, EVALUATION: 1}
    assert early.on_trial_result(waiting, trial, result) == TrialScheduler.CONTINUE


def test_hyperbands_pause_waits_until_the_training_has_saved(trials: list[PlannedTrial]) -> None:
    """Its place is given away at once; one that waits and falls behind is pruned where it is."""
    early = EarlyStopping(Scheduler(algorithm="hyperband", reduction_factor=2), "max", 2)
    folder = trials[0].folder
    folder.running_file.touch()
    timer = threading.Timer(0.3, folder.running_file.unlink)
    timer.start()
    began, trial = time.monotonic(), ray_trial(trials[0])
    early.inner.on_trial_result = lambda *_: TrialScheduler.PAUSE  # type: ignore[method-assign]
    result = {METRIC: 0.1, EVALUATION: 1}
    assert early.on_trial_result(None, trial, result) == TrialScheduler.PAUSE
    assert time.monotonic() - began >= 0.25
    assert folder.pause_file.exists()
    early.inner.on_trial_remove = lambda *_: None  # type: ignore[method-assign]
    early.on_trial_remove(None, ray_trial(trials[0], Trial.PAUSED))
    record = folder.result()
    assert isinstance(record, Pruned)
    assert record.scheduler["algorithm"] == "hyperband"
    assert trials[0].result() is None, "by this spec's scheduler it would run again"
    assert not folder.pause_file.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("scheduler: asha", "every trial of this sweep has 1"),
        ("scheduler: {algorithm: asha, grace: 3}\ntrain: {epochs: 3}", "set it to 2 or less"),
        ("scheduler: asha\ntrain: {method: none}", "every trial of this sweep has none"),
    ],
)
def test_a_scheduler_with_nothing_to_stop_is_refused(more: str, message: str) -> None:
    """With file and line, before anything is read."""
    text = f"name: a\ndata: {{dataset: dating}}\n{more}\n"
    text = text if "train:" in text else text + "train: {epochs: 1}\n"
    with pytest.raises(SpecError, match=message) as error:
        parse_spec(text, "a.yaml")
    assert str(error.value).startswith("a.yaml:3:")


@pytest.mark.parametrize(
    ("warmup", "grace", "warned"), [(5, 1, False), (6, 1, True), (6, 2, False), (30, 2, True)]
)
def test_a_decision_before_the_end_of_the_warm_up_is_warned_of(
    warmup: int, grace: int, warned: bool, tmp_path: Path, tiny_spec: str
) -> None:
    """After so many evaluations: here one after each six steps, at the end of an epoch."""
    text = tiny_spec.replace("epochs: 2", f"epochs: 3, warmup_steps: {warmup}")
    plan = make_plan(
        parse_spec(f"{text}scheduler: {{algorithm: asha, grace: {grace}}}\n"), tmp_path
    )
    steps = epoch_steps(plan.trials[-1].spec.train, len(next(iter(plan.data.values())).train))
    assert steps == 6
    said = [note for note in plan.notes if "the warm-up of the learning rate takes" in note]
    assert bool(said) == warned
    assert not warned or f"after {steps * grace} steps" in said[0]


def test_steps_before_an_evaluation() -> None:
    """Evaluations come at the ends of epochs and every so many steps; the last one at the end."""
    spec = TrainSpec(epochs=2, batch_size=10, evaluation_steps=4)
    found = [steps_before(spec, 55, number) for number in (1, 2, 3, 4, 5, 6)]
    assert found == [4, 6, 8, 12, 12, 12]


def test_what_only_the_data_say_is_refused_by_the_plan(tmp_path: Path, tiny_spec: str) -> None:
    """Evaluations every so many steps, of which a training has too few."""
    text = tiny_spec.replace("epochs: 2", "epochs: 1, evaluation_steps: 100") + ASHA
    with pytest.raises(EmbftError, match="every trial of this sweep has 1"):
        make_plan(parse_spec(text), tmp_path)


def test_evaluations_are_counted_once() -> None:
    """Where an epoch's end is also a hundredth step it is one evaluation."""
    rows = 80  # 10 steps an epoch
    spec = TrainSpec(epochs=2, batch_size=8)
    assert evaluations(spec, rows) == 2
    assert evaluations(spec.model_copy(update={"evaluation_steps": 5}), rows) == 4
    assert evaluations(spec.model_copy(update={"evaluation_steps": 7}), rows) == 4
    assert evaluations(spec.model_copy(update={"max_steps": 13}), rows) == 2


def results(plan_trials: list[PlannedTrial]) -> list[Any]:
    for trial in plan_trials:
        finish(trial)
    return [trial.result() for trial in plan_trials]


def test_a_sweep_ends_when_it_has_enough(trials: list[PlannedTrial]) -> None:
    """By score, by trials without a better one, by the clock, by the recommendation."""
    sweep, goal = trials[0].folder.sweep, Goal()
    observed = Observed(trials[0].folder, trials[0].spec, {})
    first, best, worse = results(trials)  # dev: 0.9, 1.0 and less

    def ended_after(stop: Stop, resolved: Any = None) -> int | None:
        sweep.stop_file.unlink(missing_ok=True)
        enough = Enough(stop, goal, sweep, resolved)
        for count, result in enumerate((first, best, worse, worse), 1):
            enough.on_trial(observed, result)
            for thread in threading.enumerate():
                if thread.name.startswith("Thread") and thread.daemon and resolved:
                    thread.join(1.0)
            enough.look()
            if enough.reason is not None:
                assert sweep.stop_file.exists()
                return count
        return None

    assert ended_after(Stop()) is None
    assert ended_after(Stop(score=0.99)) == 2
    assert ended_after(Stop(no_better_for=2)) == 4
    assert ended_after(Stop(no_better_for=3)) is None
    assert ended_after(Stop(time=1e-9)) == 1
    assert ended_after(Stop(resolved=True), lambda: True) == 1
    assert ended_after(Stop(resolved=True), lambda: False) is None
