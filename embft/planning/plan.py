"""A spec and what is on disk -> the plan: each trial with its key, its folder and its status.

Reads the data (to hash it) and finds the base models, so that a trial's key is known before
anything runs. Writes nothing: `prepare.py` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from embft.data.build import Loaded, load_data
from embft.data.pairs import Splits
from embft.models.resolve import LocalBase, spec_base
from embft.planning.checks import check_loss, check_objective
from embft.planning.learnable import LearningChecks
from embft.planning.models import BaseChecks
from embft.planning.names import readable
from embft.results.evaluators import EvaluatorFiles, find_files
from embft.results.folders import SweepDir, TrialDir
from embft.results.key import trial_key
from embft.results.records import Status, TrialInput
from embft.spec import DataSpec, EvaluatorSpec, Point, SweepSpec, TrialSpec
from embft.system.garbage_collection import no_collection
from embft.system.machine import Device


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
    base: LocalBase
    evaluators: tuple[str, ...] = ()
    prefix: str | None = None

    @cached_property
    def finished(self) -> Status | None:
        """The status in the record that is on disk when this is first asked."""
        # Asked once the folder is held: who held it may have finished the trial since planning.
        found = self.folder.result()
        return found.status if found else None

    def input(self, threads: int, device: Device = "auto") -> TrialInput:
        """What the trial's worker is given: spec, seed, data and threads."""
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
    """A sweep's trials, baselines first, in the order in which they run one at a time.

    notes: what a user may not expect of its bases and trainings, a sentence each.
    """

    spec: SweepSpec
    folder: SweepDir
    trials: tuple[PlannedTrial, ...]
    data: Mapping[str, Splits]
    evaluators: Mapping[EvaluatorSpec, EvaluatorFiles] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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
    whatever the user can fix.
    """
    folder = SweepDir(results / spec.name)
    read = {entry: find_files(entry) for entry in spec.evaluators}
    digests = tuple(f.digest for f in read.values())
    bases, learning = BaseChecks(spec.resources.device), LearningChecks()
    known = _Known(Loaded(), {}, {}, folder.trials_by_key(), digests, bases, learning)
    planned = [_planned(params, trial, folder, known) for params, trial in _with_baselines(spec)]
    trials = tuple(_scored_once(planned, known.data))
    used = {trial.data_digest: known.data[trial.data_digest] for trial in trials}
    # The largest first, which stands for the sweep where there is room for one.
    used = dict(sorted(used.items(), key=lambda item: -len(item[1].train)))
    return Plan(spec, folder, trials, used, read, (*bases.notes(), *learning.notes()))


@dataclass(frozen=True)
class _Known:
    """What planning looks up once. read: sources; data: splits by digest; folders: those on disk,
    by key; evaluators: the digest of what each reads; bases, learning: what was checked of the
    models and of the data.
    """

    read: Loaded
    digests: dict[DataSpec, str]
    data: dict[str, Splits]
    folders: Mapping[str, TrialDir]
    evaluators: tuple[str, ...]
    bases: BaseChecks
    learning: LearningChecks


def _scored_once(
    trials: Sequence[PlannedTrial], data: Mapping[str, Splits]
) -> Iterator[PlannedTrial]:
    """The trials, without baselines that differ from an earlier one in their train data alone."""
    seen: set[str] = set()
    for trial in trials:
        identity = trial.key
        if trial.spec.is_baseline:
            splits = data[trial.data_digest]
            judged = ":".join(d for name, d in splits.digests().items() if name != "train")
            identity = trial_key(trial.spec, judged, trial.base.digest)
        if identity not in seen:
            seen.add(identity)
            yield trial


def _with_baselines(spec: SweepSpec) -> Iterator[tuple[Point, TrialSpec]]:
    """Each base model on each data, not fine-tuned, once, before the trials compared with it.

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
        splits = load_data(trial.data, known.read)
        digest = known.digests[trial.data] = splits.digest()
        known.data[digest] = splits
        check_objective(trial.objective.metric, splits)
    check_loss(trial, known.data[digest])
    known.learning.check(trial, digest, known.data[digest].train)
    model = spec_base(trial.model)
    known.bases.check(trial, model)
    key = trial_key(trial, digest, model.digest, known.evaluators)
    # A folder with this key is the trial's, whatever its readable part says.
    folder = known.folders.get(key) or sweep.trial(f"{readable(params, trial)}-{key}")
    return PlannedTrial(params, trial, key, folder, digest, model, known.evaluators)
