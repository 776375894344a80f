"""A sweep's folder -> its leaderboard: a row for each trial, and the answer.

Reads the plan and the records; ranking and comparing is in `ranking.py`, the words in `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from embft.data.audit.findings import MINED
from embft.leaderboard.axis_values import on_axis, with_names, written_fields
from embft.leaderboard.borda import with_borda
from embft.leaderboard.front import front
from embft.leaderboard.joined import JoinedPlan, JoinedTrial, joined_plan
from embft.leaderboard.one_trial import Origin, trial_yaml
from embft.leaderboard.ranking import Ranking, rank
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.leaderboard.selection_bias import selection_bias
from embft.leaderboard.stability import with_probe_drop
from embft.leaderboard.verdict import verdict
from embft.leaderboard.warnings import warnings
from embft.metrics.optimism import Optimism
from embft.results.dataset import frozen_audit
from embft.results.folders import SweepDir, TrialDir
from embft.results.plan_record import BASELINE, read_plan
from embft.results.records import Status
from embft.spec import trial_spec
from embft.storage.seal import damaged
from embft.system.garbage_collection import no_collection


@no_collection()
def build_leaderboard(*folders: Path) -> Leaderboard:
    """The leaderboard of a sweep's folder, finished or not, or of several sweeps as one.

    Raises RecordError for what is missing or damaged, EmbftError for sweeps that do not compare.
    """
    plan = joined_plan([SweepDir(folder) for folder in folders])
    rows = with_probe_drop(_rows(plan))
    if plan.objective.tasks:
        rows = with_borda(rows, plan.objective.tasks)
    found = rank(rows, plan.objective, plan.more_seeds.looks if plan.more_seeds else 1)
    goal = plan.objective.ranked_by
    first = SweepDir(folders[0])
    leaderboard = Leaderboard(
        name=plan.name,
        description=plan.description,
        metric=goal.metric,
        mode=goal.mode,
        axes=plan.axes,
        seeds=plan.seeds,
        rows=tuple(_ranked_rows(rows, found.groups)),
        groups=found.groups,
        baseline=_baseline(rows, found),
        pairs=plan.pairs,
        group_columns=plan.group_columns,
        warnings=(),
        verdict=(),
        audit=_audit(first, plan.data),
        folder=first,
        optimism=_optimism(plan, found),
        dev_is_cut=plan.dev_is_cut,
        test_is_dev=plan.test_is_dev,
        more_seeds=plan.more_seeds,
        suggested=plan.suggested,
        continuous=plan.continuous,
        logarithmic=plan.logarithmic,
        costs=plan.costs,
        bases=found.bases,
        decision=found.decision,
    )
    leaderboard = replace(leaderboard, front=front(leaderboard))
    leaderboard = replace(leaderboard, warnings=tuple(warnings(leaderboard)))
    return replace(leaderboard, verdict=tuple(verdict(leaderboard)))


def _audit(sweep: SweepDir, data: Sequence[str]) -> dict[str, Any] | None:
    """What was found in the sweep's first data, and of all of them what was mined: other data of a
    sweep differ from the first by little else.
    """
    found = frozen_audit(sweep.dataset(data[0]))
    if found is None:
        return None
    every = [found, *(frozen_audit(sweep.dataset(name)) or {} for name in data[1:])]
    mined = [f for audit in every for f in audit.get("findings", ()) if f["name"] == MINED]
    others = [f for f in found["findings"] if f["name"] != MINED]
    return {**found, "findings": [*mined, *others]}


def _optimism(plan: JoinedPlan, found: Ranking) -> Optimism | None:
    """The selection bias, where a reader would take the leader's dev score for what it is worth."""
    wanted = plan.test_is_dev or plan.suggested is not None
    return selection_bias(found.groups, plan.objective.ranked_by.metric) if wanted else None


def _rows(plan: JoinedPlan) -> list[Row]:
    """A row for each trial, with short names for its values on the axes."""
    alive = {sweep for sweep in {t.sweep for t in plan.trials} if sweep.is_running()}
    fields = written_fields(plan.trials)
    rows = [_row(trial, plan.axes, fields, alive=trial.sweep in alive) for trial in plan.trials]
    return with_names(_named(rows), plan.axes)


def _row(trial: JoinedTrial, axes: Sequence[str], fields: Mapping[str, Any], *, alive: bool) -> Row:
    folder = trial.folder
    try:
        spec = trial_spec(trial.spec)
    except ValidationError as error:
        raise damaged(trial.sweep.plan_file, str(error)) from None
    result = folder.result()
    running = alive and result is None and folder.progress_file.exists()
    return Row(
        trial=folder.name,
        folder=folder,
        status=result.status if result else Status.RUNNING if running else Status.PENDING,
        is_baseline=spec.is_baseline and not trial.params,
        seed=spec.seed,
        params={axis: on_axis(axis, trial, spec, fields.get(axis)) for axis in axes},
        result=result,
        to_yaml=partial(trial_yaml, spec, trial.origin),
    )


def lone_row(folder: TrialDir) -> Row:
    """A trial by its folder alone: its sweep's plan is not here, or has it no more.

    Raises FileNotFoundError and RecordError.
    """
    given, result = folder.read_input(), folder.result()
    sweep = folder.sweep
    start = read_plan(sweep).get("paths_begin") if sweep.plan_file.is_file() else None
    return Row(
        trial=folder.name,
        folder=folder,
        status=result.status if result else Status.PENDING,
        is_baseline=given.spec.is_baseline,
        seed=given.spec.seed,
        params={},
        result=result,
        to_yaml=partial(trial_yaml, given.spec, Origin(sweep, sweep.path.name, start)),
    )


def _named(rows: Sequence[Row]) -> list[Row]:
    """The rows, the first baseline called `baseline`; further ones keep their folders' names."""
    first = next((row for row in rows if row.is_baseline), None)
    return [replace(row, trial=BASELINE) if row is first else row for row in rows]


def _baseline(rows: Sequence[Row], found: Ranking) -> Row | None:
    """The base model to compare with: the recommended trial's own, where there are several."""
    chosen = next((g for g in (*found.groups, *found.bases) if g.recommended), None)
    if chosen is not None and chosen.is_base:
        return chosen.best
    own = (row for row in rows if chosen and row.starts(chosen.best))
    return next(own, next((row for row in rows if row.is_baseline), None))


def _ranked_rows(rows: Sequence[Row], groups: Sequence[Group]) -> list[Row]:
    order = {row.trial: i for i, group in enumerate(groups) for row in group.rows}
    place = {status: i for i, status in enumerate(Status)}
    return sorted(rows, key=lambda row: (place[row.status], order.get(row.trial, len(rows))))
