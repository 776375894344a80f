"""Trials of a plan run in the test's own process, without Ray and without workers."""

from __future__ import annotations

from pathlib import Path

from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.planning.plan import Plan, make_plan
from embft.planning.prepare import prepare
from embft.planning.take_over import begin
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.spec import SweepSpec


def run_whole(plan: Plan) -> list[Completed]:
    """Every trial of a plan, in this process."""
    found = []
    for trial in prepare(plan, retry_failed=False):
        begin(trial, threads=1)
        if not trial.spec.is_baseline and trial.folder.read_input().trained_by is None:
            train_step(trial.folder)
        score_step(trial.folder)
        result = trial.folder.result()
        assert isinstance(result, Completed)
        found.append(result)
    return found


def run_spec(spec: SweepSpec, results: Path) -> dict[str, TrialDir]:
    """Every trial of a spec, in this process; their folders by method."""
    plan = make_plan(spec, results)
    run_whole(plan)
    return {trial.spec.train.method: trial.folder for trial in plan.trials}
