"""Trials of a plan run in the test's own process, without Ray and without workers."""

from __future__ import annotations

from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.planning.plan import Plan
from embft.planning.prepare import prepare
from embft.results.records import Completed


def run_whole(plan: Plan) -> list[Completed]:
    """Every trial of a plan, in this process."""
    found = []
    for trial in prepare(plan, retry_failed=False):
        trial.folder.create(trial.input(threads=1))
        if not trial.spec.is_baseline:
            train_step(trial.folder)
        score_step(trial.folder)
        result = trial.folder.result()
        assert isinstance(result, Completed)
        found.append(result)
    return found
