"""Which metric a recorded name stands for, in tables that know the sweep's evaluators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from embft.leaderboard.agreement import agreements
from embft.leaderboard.metrics import metric_of
from embft.leaderboard.rows import Leaderboard, Row
from embft.results.records import Completed
from embft.spec import EvaluatorSpec
from tests.helpers.leaderboards import lora_lr

TIMED = {"function": "m:f", "name": "own", "metrics": {"seconds": "min"}}


def _timed(row: Row, seconds: float) -> Row:
    result = row.result
    assert isinstance(result, Completed)
    spec = result.spec.model_copy(update={"evaluators": (EvaluatorSpec.of(TIMED),)})
    test = {**result.test, "own_seconds": seconds}
    return replace(row, result=result.model_copy(update={"spec": spec, "test": test}))


def _board(folder: Path) -> Leaderboard:
    """The better by the objective, the fewer seconds."""
    leaderboard = lora_lr(folder, pairs=(60, 60))
    order = {group.best.trial: place for place, group in enumerate(leaderboard.groups)}
    rows = {row.trial: _timed(row, 1.0 + order.get(row.trial, 0)) for row in leaderboard.rows}
    groups = [
        replace(group, rows=tuple(rows[row.trial] for row in group.rows))
        for group in leaderboard.groups
    ]
    return replace(leaderboard, rows=tuple(rows.values()), groups=tuple(groups))


def test_less_is_better_where_the_spec_says_so(tmp_path: Path) -> None:
    """A user's metric agrees with the objective where its order does, turned round."""
    leaderboard = _board(tmp_path)
    assert not metric_of(leaderboard, "own_seconds").higher_is_better
    assert metric_of(leaderboard, "spearman").label == "Spearman correlation"
    assert metric_of(leaderboard, "unheard_of").higher_is_better
    found = {item.metric: item for item in agreements(leaderboard)}["own_seconds"]
    assert found.first_trial == leaderboard.groups[0].best.trial
    assert found.tau is not None
    assert found.tau > 0
