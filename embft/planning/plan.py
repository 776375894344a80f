"""A spec and what is on disk -> the plan: each trial with its key, its folder and its status.

Reads the data (to hash it) and finds the base models, so that a trial's key is known before
anything runs. Imports no torch and no Ray.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from embft.data.build import load_data
from embft.data.pairs import SPLITS, Splits
from embft.errors import EmbftError, NewerRecordError, RecordError
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.models.resolve import BaseModel, spec_base
from embft.planning.audit import freeze
from embft.planning.evaluator_sources import find_files
from embft.results.evaluators import EvaluatorFiles
from embft.results.folders import SweepDir, TrialDir, finished_trials
from embft.results.key import trial_key
from embft.results.plan_record import BASELINE, PLAN_SCHEMA, PlanRecord, read_plan
from embft.results.records import Completed, Status, TrialInput
from embft.spec import DataSpec, EvaluatorSpec, Point, SweepSpec, TrialSpec, unfit_reason
from embft.spec.names import folder_name
from embft.spec.objective import PAIR_OBJECTIVES
from embft.storage.files import replace_folder, sync_folder, write_atomic
from embft.storage.seal import sealed
from embft.system.machine import Device
from embft.system.processes import no_collection

_UNFIT_FOR_A_NAME = re.compile(r"[^\w=,.+-]")
_NAME_BYTES = 120


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan. params: the varying parameters; empty for a baseline.

    evaluators: the digest of what each of the spec's evaluators reads. prefix: see `prefixes.py`.
    """

    params: Point
    spec: TrialSpec
    key: str
    folder: TrialDir
    data_digest: str
    base: BaseModel
    evaluators: tuple[str, ...] = ()
    prefix: str | None = None

    @cached_property
    def finished(self) -> Status | None:
        """The status in the record that is on disk when this is first asked."""
        # Asked once the folder is held: who held it may have finished the trial since planning.
        found = self.folder.result()
        return found.status if found else None

    def input(self, threads: int, device: Device = "auto") -> TrialInput:
        """What its worker is told."""
        return TrialInput(
            key=self.key,
            name=self.folder.name,
            spec=self.spec,
            data=self.folder.sweep.data_name(self.data_digest),
            data_digest=self.data_digest,
            model_digest=self.base.digest,
            threads=threads,
            device=device,
            prefix=self.prefix,
            evaluators=self.evaluators,
        )


@dataclass(frozen=True)
class Plan:
    """A sweep's trials, baselines first, in the order in which they run one at a time."""

    spec: SweepSpec
    folder: SweepDir
    trials: tuple[PlannedTrial, ...]
    data: Mapping[str, Splits]
    evaluators: Mapping[EvaluatorSpec, EvaluatorFiles] = field(default_factory=dict)

    @no_collection()
    def pending(self, *, retry_failed: bool = False) -> tuple[PlannedTrial, ...]:
        """The trials without a record; with `retry_failed` also those that failed."""
        return tuple(
            trial
            for trial in self.trials
            if trial.finished is None or (retry_failed and trial.finished == Status.FAILED)
        )


@no_collection()
def make_plan(spec: SweepSpec, results: Path) -> Plan:
    """Expand the spec, hash data and models, and look up what is done already.

    A trial that another sweep below `results` has finished counts as done. Raises EmbftError for
    whatever the user can mend.
    """
    folder = SweepDir(results / spec.name)
    read = {entry: find_files(entry) for entry in spec.evaluators}
    known = _Known({}, {}, folder.trials_by_key(), tuple(f.digest for f in read.values()))
    planned = [_planned(params, trial, folder, known) for params, trial in _with_baselines(spec)]
    trials = tuple(_scored_once(planned, known.data))
    used = {trial.data_digest: known.data[trial.data_digest] for trial in trials}
    return Plan(spec, folder, trials, used, read)


@dataclass(frozen=True)
class _Known:
    """What planning looks up once. data: splits by digest; folders: those on disk, by key;
    evaluators: the digest of what each reads.
    """

    digests: dict[DataSpec, str]
    data: dict[str, Splits]
    folders: Mapping[str, TrialDir]
    evaluators: tuple[str, ...]


def _scored_once(
    trials: Sequence[PlannedTrial], data: Mapping[str, Splits]
) -> Iterator[PlannedTrial]:
    """The trials, without baselines that differ from an earlier one in their train data alone."""
    seen: set[str] = set()
    for trial in trials:
        identity = trial.key
        if trial.spec.is_baseline:
            splits = data[trial.data_digest]
            judged = f"{splits.dev.digest()}:{splits.test.digest()}"
            identity = trial_key(trial.spec, judged, trial.base.digest)
        if identity not in seen:
            seen.add(identity)
            yield trial


def _with_baselines(spec: SweepSpec) -> Iterator[tuple[Point, TrialSpec]]:
    """The untrained model of each data and base, once, before the trials that compare with it.

    One that the space names itself keeps its params: it is ranked among the others.
    """
    trials = list(spec.trials())
    named = {trial: params for params, trial in trials if trial.is_baseline}
    # Of thousands of trials few differ in data and base: sections that are equal are one object.
    kinds = {(id(trial.data), id(trial.model)): trial for _, trial in trials}
    for baseline in dict.fromkeys(trial.baseline() for trial in kinds.values()):
        yield named.get(baseline, {}), baseline
    yield from (pair for pair in trials if not pair[1].is_baseline)


def _planned(params: Point, trial: TrialSpec, sweep: SweepDir, known: _Known) -> PlannedTrial:
    digest = known.digests.get(trial.data)
    if digest is None:
        splits = load_data(trial.data)
        digest = known.digests[trial.data] = splits.digest()
        known.data[digest] = splits
        check_objective(trial.objective.metric, splits)
    check_loss(trial, known.data[digest])
    model = spec_base(trial.model)
    key = trial_key(trial, digest, model.digest, known.evaluators)
    # A folder with this key is the trial's, whatever its readable part says.
    folder = known.folders.get(key) or sweep.trial(f"{readable(params, trial)}-{key}")
    return PlannedTrial(params, trial, key, folder, digest, model, known.evaluators)


def readable(params: Point, trial: TrialSpec) -> str:
    """A trial's params as the readable part of a folder's name, `rank=8,learning_rate=0.0002`."""
    if trial.is_baseline and not params:
        return BASELINE
    shown = [
        f"{name.rpartition('.')[2]}={folder_name(value)}"
        for name, value in params.items()
        if not trial.is_baseline or name == "train.method" or name.partition(".")[0] != "train"
    ]
    text = _UNFIT_FOR_A_NAME.sub("_", ",".join([*shown, f"seed={trial.seed}"]))
    return text.encode()[:_NAME_BYTES].decode(errors="ignore")  # a file system counts bytes


def check_loss(trial: TrialSpec, splits: Splits) -> None:
    """Refuse a loss that cannot train on such data."""
    if trial.is_baseline:
        return
    train = splits.train
    reason = unfit_reason(trial.train.loss, train.shape, binary=train.is_binary)
    if reason is None:
        return
    turned = ""
    if train.is_binary and train.shape not in trial.train.loss.traits.shapes:
        shapes = " or ".join(trial.train.loss.traits.shapes)
        turned = f". Or turn them into what it needs: `data.shape: {shapes}`"
    raise EmbftError(f"train.loss: {reason}{turned}")


def check_objective(metric: str, splits: Splits) -> None:
    """Refuse an objective that the dev split's labels cannot give."""
    if metric not in PAIR_METRICS:
        return  # an evaluator's
    if PAIR_METRICS[metric].binary_only and not splits.dev.is_binary:
        graded = [name for name in PAIR_OBJECTIVES if not PAIR_METRICS[name].binary_only]
        raise EmbftError(
            f"objective.metric is {metric}, which needs labels 0 and 1, but the labels are graded: "
            f"use one of {', '.join(graded)}"
        )
    if len(set(splits.dev.label.tolist())) < 2:
        raise EmbftError(
            f"all {len(splits.dev)} labels of the dev split are {splits.dev.label[0]:g}: no metric "
            "can rank trials on them; give a dev split with both kinds of pairs"
        )


@no_collection()
def prepare(plan: Plan, *, retry_failed: bool) -> tuple[PlannedTrial, ...]:
    """Freeze the data, adopt trials of other sweeps, write the plan. Returns what is to run.

    The trials' own folders come later: how many threads they get, only the cluster knows.
    """
    folder = plan.folder
    folder.path.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.path.parent)
    _refuse_links(folder.path)
    _refuse_newer_plan(folder)
    for path in folder.torn():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for trial in plan.trials:
        if trial.finished is not None:
            trial.folder.forget_attempts()
    write_atomic(folder.spec_file, plan.spec.text)
    for digest, splits in plan.data.items():
        model = next(t.spec.model for t in plan.trials if t.data_digest == digest)
        freeze(folder.dataset(folder.data_name(digest)), splits, model)
    for files in plan.evaluators.values():
        files.freeze(folder)
    pending = plan.pending(retry_failed=retry_failed)
    elsewhere = finished_trials(folder.path.parent, {t.key for t in pending if not t.finished})
    pending = tuple(
        t for t in pending if not any(_adopt(t, found) for found in elsewhere.get(t.key, ()))
    )
    write_atomic(folder.plan_file, sealed(plan_record(plan)))
    return pending


def _refuse_links(folder: Path) -> None:
    """A results folder may come from anyone: what is written or removed in it must be in it."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise RecordError(
                f"{path}: a symbolic link in a results folder may lead anywhere: put what it "
                "points to in its place, or remove it"
            )


def _refuse_newer_plan(folder: SweepDir) -> None:
    """Raise NewerRecordError where a newer embft has written the plan: ours would replace it."""
    try:
        read_plan(folder)
    except NewerRecordError:
        raise
    except RecordError:
        return  # missing or damaged: it is written anew


def plan_record(plan: Plan) -> PlanRecord:
    """`plan.json`: which trials the sweep has now, so that a report needs no spec."""
    spec = plan.spec
    any_splits = list(plan.data.values())
    return {
        "schema_version": PLAN_SCHEMA,
        "name": spec.name,
        "description": spec.description,
        "metric": spec.objective.metric,
        "mode": spec.objective.mode,
        "seeds": list(spec.seeds),
        "trials": [
            {
                "folder": t.folder.name,
                "params": dict(t.params),
                "spec": t.spec.model_dump(mode="json"),
            }
            for t in plan.trials
        ],
        "data": [plan.folder.data_name(digest) for digest in plan.data],
        "pairs": {name: len(any_splits[0][name]) for name in SPLITS},
        "group_columns": sorted(any_splits[0].test.groups),
        "dev_is_cut": any(splits.dev_is_cut for splits in any_splits),
        "test_is_dev": any(splits.test_is_dev for splits in any_splits),
    }


def _adopt(trial: PlannedTrial, found: TrialDir) -> bool:
    """Copy a trial that another sweep has finished, if it completed. Returns whether it did."""
    try:
        record = found.result()
    except RecordError:
        return False
    if not isinstance(record, Completed):
        return False
    target = trial.folder.path
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        _refuse_links(found.path)
        shutil.copytree(found.path, temporary)
        TrialDir(temporary).forget_attempts()
        TrialDir(temporary).check_files(record)
    except (RecordError, shutil.Error):  # the other sweep may be removing its model just now
        shutil.rmtree(temporary, ignore_errors=True)
        return False
    replace_folder(temporary, target)
    return True
