"""A spec and what is on disk -> the plan: each trial with its key, its folder and its status.

Reads the data (to hash it) and finds the base models, so that a trial's key is known before
anything runs. Writes nothing: `prepare.py` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from embft.data.build import Loaded, load_data
from embft.data.pairs import Splits
from embft.models.resolve import LocalBase, spec_base
from embft.planning.checks import (
    check_corpus_fields,
    check_loss,
    check_objective,
    check_one_kind,
    check_ranked,
    judged_notes,
    objective_note,
)
from embft.planning.learnable import LearningChecks
from embft.planning.mining import Miners, mining_notes
from embft.planning.models import BaseChecks
from embft.planning.names import readable
from embft.planning.scheduling import check_scheduler, early_note, most_evaluations
from embft.planning.seed_rounds import with_rounds
from embft.planning.trained_before import TrainedBefore, Trainings
from embft.results.evaluators import EvaluatorFiles, find_files
from embft.results.folders import SweepDir, TrialDir
from embft.results.key import trial_key
from embft.results.records import Pruned, Status, TrialInput, TrialResult
from embft.spec import DataSpec, EvaluatorSpec, ModelSpec, Point, SweepSpec, TrialSpec
from embft.system.garbage_collection import no_collection
from embft.system.machine import Device


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan. params: the varying parameters; empty for a baseline.

    evaluators: the digest of what each of the spec's evaluators reads. prefix: see `prefixes.py`.
    scheduler: the spec's section, if it has one: what another scheduler has stopped runs again.
    before: a finished training of the same weights, if there is one.
    replicate: whether it is a further seed that a round has added.
    """

    params: Point
    spec: TrialSpec
    key: str
    folder: TrialDir
    data_digest: str
    base: LocalBase
    evaluators: tuple[str, ...] = ()
    prefix: str | None = None
    scheduler: Mapping[str, Any] | None = None
    before: TrainedBefore | None = None
    replicate: bool = False

    @property
    def trained(self) -> TrainedBefore | None:
        """The training that is taken over, so that the trial is only scored; None where it is to
        train.
        """
        return self.before if self.before is not None and self.before.kept else None

    @cached_property
    def finished(self) -> Status | None:
        """The status in the record that is on disk when this is first asked."""
        # Asked once the folder is held: who held it may have finished the trial since planning.
        found = self.result()
        return found.status if found else None

    def result(self) -> TrialResult | None:
        """The record on disk, unless a scheduler of another spec has stopped the trial."""
        found = self.folder.result()
        return None if isinstance(found, Pruned) and found.scheduler != self.scheduler else found

    def input(
        self, threads: int, device: Device = "auto", *, chooses_threads: bool = False
    ) -> TrialInput:
        """What the trial's worker is given: spec, seed, data and threads, or the most that it may
        choose.
        """
        return TrialInput(
            key=self.key,
            name=self.folder.name,
            spec=self.spec,
            data=self.folder.sweep.data_name(self.data_digest),
            data_digest=self.data_digest,
            model_digest=self.base.digest,
            threads=threads,
            chooses_threads=chooses_threads,
            device=device,
            prefix=self.prefix,
            evaluators=self.evaluators,
            asks=self.scheduler is not None and not self.spec.is_baseline,
            trained_by=self.trained.by if self.trained else None,
            micro_batch_size=self.trained.micro_batch_size if self.trained else None,
        )


@dataclass(frozen=True)
class Plan:
    """A sweep's trials, baselines first, in the order in which they run one at a time.

    notes: what a user may not expect of its bases and trainings, a sentence each. planner: turns
    what a search proposes into trials. samples: where it does, trials that stand for those, and do
    not run. most_evaluations: of the longest training.
    """

    spec: SweepSpec
    folder: SweepDir
    trials: tuple[PlannedTrial, ...]
    data: Mapping[str, Splits]
    evaluators: Mapping[EvaluatorSpec, EvaluatorFiles] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    planner: Planner | None = field(default=None, compare=False, repr=False)
    samples: tuple[PlannedTrial, ...] = ()
    most_evaluations: int = 0

    @property
    def expected(self) -> tuple[PlannedTrial, ...]:
        """What stands for the trials that a search may propose, as many as it may."""
        count = self.spec.search.trials or 0
        return tuple(itertools.islice(itertools.cycle(self.samples), count if self.samples else 0))

    @no_collection()
    def pending(self, *, retry_failed: bool = False) -> tuple[PlannedTrial, ...]:
        """The trials without a record; with `retry_failed` also those that failed."""
        return tuple(
            trial
            for trial in self.trials
            if trial.finished is None or (retry_failed and trial.finished == Status.FAILED)
        )


@dataclass(frozen=True)
class _Known:
    """What planning looks up once. read: sources; data: splits by digest; folders: those on disk,
    by key; evaluators: the digest of what each reads; bases, learning: what was checked of the
    models and of the data; miners: how negatives are mined.
    """

    read: Loaded
    digests: dict[tuple[DataSpec, ModelSpec | None], str]
    data: dict[str, Splits]
    folders: dict[str, TrialDir]
    evaluators: tuple[str, ...]
    bases: BaseChecks
    learning: LearningChecks
    miners: Miners


class Planner:
    """Turns points of one sweep into trials; what it has looked up once, it knows."""

    def __init__(self, spec: SweepSpec, folder: SweepDir) -> None:
        self.spec, self.folder = spec, folder
        self.read = {entry: find_files(entry) for entry in spec.evaluators}
        digests = tuple(files.digest for files in self.read.values())
        bases, learning = BaseChecks(spec.resources.device), LearningChecks()
        miners = Miners(folder.path.parent, spec.resources.device)
        on_disk = folder.trials_by_key()
        self.known = _Known(Loaded(), {}, {}, on_disk, digests, bases, learning, miners)
        self.scheduler = spec.scheduler.model_dump() if spec.scheduler else None
        self.trainings = Trainings(folder)

    def trial(self, params: Point, spec: TrialSpec) -> PlannedTrial:
        """A trial with its key and its folder. Raises EmbftError where it cannot run."""
        found = _planned(params, spec, self.folder, self.known)
        before = self.trainings.of(found, self.data(found.data_digest))
        if before is None and self.scheduler is None:
            return found
        return replace(found, scheduler=self.scheduler, before=before)

    def proposed(self, params: Point) -> PlannedTrial:
        """The trial of a point that a search has proposed. Raises EmbftError where there is none:
        its values do not go together, or its data are not there.
        """
        return self.point(params, self.spec.seeds[0])

    def point(self, params: Point, seed: int) -> PlannedTrial:
        """The trial of a point of the space and a seed. Raises EmbftError where there is none."""
        return self.trial(params, self.spec.resolve(self.spec.point(params), seed))

    def data(self, digest: str) -> Splits:
        """The data with this digest, of a trial that was planned."""
        return self.known.data[digest]

    def notes(self) -> tuple[str, ...]:
        """What a user may not expect of the bases and trainings planned so far."""
        turned = objective_note(self.spec.objective)
        known = self.known
        of_models = (*known.bases.notes(), *known.learning.notes())
        of_data = (*judged_notes(self.read), *mining_notes(known.data.values()))
        said = (*of_models, *of_data)
        return said if turned is None else (*said, turned)


@no_collection()
def make_plan(spec: SweepSpec, results: Path) -> Plan:
    """Expand the spec, hash data and models, and look up what is done already.

    A trial that another sweep below `results` has finished counts as done. Where a search proposes
    the trials, the plan has the baselines, and of all others those that stand for them have been
    checked. Raises EmbftError for whatever the user can fix.
    """
    folder = SweepDir(results / spec.name)
    planner = Planner(spec, folder)
    planned = [planner.trial(params, trial) for params, trial in _with_baselines(spec)]
    trials = tuple(_scored_once(planned, planner.known.data))
    used = {trial.data_digest: planner.data(trial.data_digest) for trial in trials}
    check_one_kind(used.values())
    # The largest first, which stands for the sweep where there is room for one.
    used = dict(sorted(used.items(), key=lambda item: -len(item[1].train)))
    for splits in used.values():
        _check_goals(spec.objective.tasks, spec, splits)
    trainings, early = [(trial.spec, trial.data_digest) for trial in trials], None
    most = most_evaluations(trainings, used)
    if spec.scheduler is not None:
        check_scheduler(spec.scheduler, most)
        early = early_note(spec.scheduler, trainings, used)
    notes = (*planner.notes(), *([early] if early else []))
    runs = tuple(t for t in trials if t.spec.is_baseline or not spec.search.proposes)
    samples = tuple(t for t in trials if not t.spec.is_baseline and spec.search.proposes)
    return with_rounds(Plan(spec, folder, runs, used, planner.read, notes, planner, samples, most))


def _check_goals(metrics: Iterable[str], of: TrialSpec | SweepSpec, splits: Splits) -> None:
    """Refuse metrics of an objective that these data do not give."""
    for metric in metrics:
        check_objective(metric, splits)
        check_ranked(metric, of.evaluators, splits)


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
    data = (trial.data, trial.model if trial.data.negatives is not None else None)
    digest = known.digests.get(data)
    if digest is None:
        splits = known.miners.add(load_data(trial.data, known.read), trial)
        digest = known.digests[data] = splits.digest()
        known.data[digest] = splits
        _check_goals((trial.objective.metric,), trial, splits)
        check_corpus_fields(trial.evaluators, splits)
    check_loss(trial, known.data[digest])
    known.learning.check(trial, digest, known.data[digest])
    model = spec_base(trial.model)
    known.bases.check(trial, model)
    key = trial_key(trial, digest, model.digest, known.evaluators)
    # A folder with this key is the trial's, whatever its readable part says.
    named = sweep.trial(f"{readable(params, trial)}-{key}")
    folder = known.folders.setdefault(key, named)
    return PlannedTrial(params, trial, key, folder, digest, model, known.evaluators)
