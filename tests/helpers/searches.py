"""A search without Ray and without training: its trials come to what a formula gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from embft.planning.plan import Plan, PlannedTrial, make_plan
from embft.planning.prepare import prepare
from embft.results.records import Completed, EpochScore, Pruned, Timings
from embft.results.search_log import Suggested
from embft.scheduler.proposals import ProposedTrials, Suggestions
from embft.spec import parse_spec

SPACE = """\
space:
  - train.method: [lora]
    train.lora.rank: {randint: [2, 33]}
    train.learning_rate: {loguniform: [1e-5, 1e-1]}
  - train.method: [full]
    train.learning_rate: {loguniform: [1e-6, 1e-2]}
"""


class Killed(BaseException):
    """The search's process is gone."""


def search_plan(results: Path, tiny_spec: str, search: str, more: str = "") -> Plan:
    """A prepared plan of a search over LoRA and full fine-tuning."""
    return planned(
        tiny_spec[: tiny_spec.index("space:")] + SPACE + f"search: {search}\n" + more, results
    )


def planned(text: str, results: Path) -> Plan:
    """A prepared plan of this spec."""
    plan = make_plan(parse_spec(text), results)
    prepare(plan, retry_failed=False)
    return plan


def score(trial: PlannedTrial) -> float:
    """What a trial comes to: best at a learning rate of 1e-3."""
    return 1.0 - 0.1 * abs(math.log10(trial.spec.train.learning_rate) + 3)


def seconds(trial: PlannedTrial) -> float:
    """What its training took: less with a smaller rank and at a lower learning rate."""
    train = trial.spec.train
    size = train.lora.rank / 32 if train.method == "lora" else 4.0
    return 10 + size + math.log10(train.learning_rate)


def finish(trial: PlannedTrial, evaluations: int = 2, *, pruned: bool = False) -> None:
    """Write the record that a training of the trial would have left."""
    given = trial.folder.read_input()
    values = [score(trial) * (i + 1) / evaluations for i in range(evaluations)]
    epochs = tuple(
        EpochScore(epoch=i + 1, step=i + 1, loss=0.1, dev={"spearman": value}, seconds=1.0)
        for i, value in enumerate(values)
    )
    if pruned:
        record = Pruned(**given.repeated, epochs=epochs[:1], reason="stopped")
        trial.folder.write_result(record.model_copy(update={"scheduler": trial.scheduler or {}}))
        return
    trial.folder.write_result(
        Completed(
            **given.repeated,
            epochs=epochs,
            best_epoch=evaluations,
            threshold=None,
            dev={"spearman": values[-1]},
            test={"spearman": values[-1]},
            verification=None,
            trainable_parameters=1,
            total_parameters=1,
            artifact_bytes=1,
            timings=Timings(train=seconds(trial), evaluate=1.0, total=20.0),
        )
    )


def begin(trial: PlannedTrial) -> None:
    """Make the trial's folder, as the sweep does."""
    trial.folder.create(trial.input(threads=1))


def proposals(plan: Plan, *, ready: Callable[[PlannedTrial], None] = begin) -> ProposedTrials:
    """What Ray Tune would ask for the trials of this plan."""
    return ProposedTrials(Suggestions(plan), ready, ended=lambda: False, replays=False)


def run(plan: Plan, at_once: int = 1) -> list[str]:
    """Run a search to its end, so many trials at once. Returns the keys in the order of starts."""
    asked, started, running = proposals(plan), list[str](), list[str]()
    while True:
        name = f"ray-{len(started)}"
        found = asked.suggest(name)
        if asked.error is not None:
            raise asked.error
        if isinstance(found, dict):
            started.append(asked.running[name][1].key)
            running.append(name)
            if len(running) < at_once:
                continue
        elif not running:
            return started
        first = running.pop(0)
        finish(asked.running[first][1])
        asked.on_trial_complete(first)


def suggestions(plan: Plan) -> list[Suggested]:
    """What the search has proposed, from the disk."""
    return Suggestions(plan).log.suggested
