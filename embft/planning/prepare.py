"""A plan -> a folder in which its trials can run: cleaned, frozen, and what is done taken over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from embft.data.pairs import SPLITS
from embft.planning.clean import clean
from embft.planning.freeze import freeze
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.seed_rounds import forget_other_rounds
from embft.planning.take_over import adopt_finished
from embft.results.plan_record import PLAN_SCHEMA, PlanEntry, PlanRecord
from embft.spec import SweepSpec
from embft.spec.distributions import Domain
from embft.storage.files import sync_folder, write_atomic
from embft.storage.seal import sealed
from embft.synthesis.mining_progress import Seen
from embft.system.garbage_collection import no_collection


@no_collection()
def prepare(
    plan: Plan, *, retry_failed: bool, seen: Seen | None = None
) -> tuple[PlannedTrial, ...]:
    """Freeze the data, adopt trials of other sweeps, write the plan. Returns what is to run.

    seen: is shown how far the mining of negatives is.

    The trials' own folders come later: how many threads they get, only the cluster knows.
    """
    plan.folder.path.mkdir(parents=True, exist_ok=True)
    sync_folder(plan.folder.path.parent)
    clean(plan)
    forget_other_rounds(plan)
    freeze(plan, seen)
    pending = adopt_finished(plan.folder, plan.pending(retry_failed=retry_failed))
    write_plan(plan)
    return pending


def write_plan(plan: Plan) -> None:
    """Write `plan.json`."""
    write_atomic(plan.folder.plan_file, sealed(plan_record(plan)))


def plan_record(plan: Plan) -> PlanRecord:
    """`plan.json`: which trials the sweep has now, so that a report needs no spec."""
    spec = plan.spec
    any_splits = list(plan.data.values())
    record: PlanRecord = {
        "schema_version": PLAN_SCHEMA,
        "name": spec.name,
        "description": spec.description,
        "metric": spec.objective.metric,
        "mode": spec.objective.mode,
        "tolerance": spec.objective.tolerance,
        "prefer": spec.objective.prefer,
        "seeds": list(
            dict.fromkeys([*spec.seeds, *(t.spec.seed for t in plan.trials if t.replicate)])
        ),
        "trials": [_entry(trial) for trial in plan.trials],
        "data": [plan.folder.data_name(digest) for digest in plan.data],
        "pairs": {name: len(any_splits[0][name]) for name in SPLITS},
        "group_columns": sorted(any_splits[0].test.groups),
        "dev_is_cut": any(splits.dev_is_cut for splits in any_splits),
        "test_is_dev": any(splits.test_is_dev for splits in any_splits),
        "paths_begin": os.path.relpath(Path.cwd().resolve(), plan.folder.path.resolve()),
    }
    if spec.objective.tasks:
        record["tasks"] = list(spec.objective.tasks)
    if spec.search.proposes:
        record["search"] = spec.search.model_dump(mode="json")
        record["continuous"] = _axes(spec, lambda domain: domain.kind != "choice")
        record["logarithmic"] = _axes(spec, lambda domain: domain.kind.startswith("log"))
    if spec.more_seeds is not None:
        record["more_seeds"] = spec.more_seeds.model_dump(mode="json")
    if spec.scheduler is not None:
        record["scheduler"] = spec.scheduler.model_dump(mode="json")
    return record


def _axes(spec: SweepSpec, wanted: Callable[[Domain], bool]) -> list[str]:
    """The axes of a space whose values are of such a form."""
    return list(dict.fromkeys(a for p in spec.space for a, d in p.items() if wanted(d)))


def _entry(trial: PlannedTrial) -> PlanEntry:
    entry: PlanEntry = {
        "folder": trial.folder.name,
        "params": dict(trial.params),
        "spec": trial.spec.model_dump(mode="json"),
    }
    if trial.trained:
        entry["trained_by"] = trial.trained.by
    return entry
