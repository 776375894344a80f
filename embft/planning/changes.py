"""What an edited spec keeps, adds and drops of its sweep, and which field made a trial another.

Compares a plan with the one that the sweep's folder has. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embft.errors import RecordError
from embft.planning.plan import Plan, PlannedTrial
from embft.results.dataset import split_digests
from embft.results.folders import SweepDir, TrialDir, finished_trials
from embft.results.plan_record import read_plan
from embft.results.records import Status, TrialInput
from embft.spec import SweepSpec, TrialSpec, parse_spec, trial_spec
from embft.spec.differences import differing, flat, in_effect
from embft.spec.names import value_name

_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Old:
    """A trial of the plan on disk. given: its input, None where it never began."""

    folder: TrialDir
    spec: TrialSpec
    status: Status | None
    given: TrialInput | None


@dataclass(frozen=True)
class Added:
    """A trial that the edited spec adds. old: the one before that is most like it, None where there
    is none. why: what makes it another, a phrase each. elsewhere: the sweep that has finished it.
    """

    trial: PlannedTrial
    old: Old | None
    why: tuple[str, ...]
    elsewhere: str | None


@dataclass(frozen=True)
class Changes:
    """An edited spec against its sweep's folder. without_effect: edits that make no other trial."""

    kept: tuple[PlannedTrial, ...]
    added: tuple[Added, ...]
    dropped: tuple[Old, ...]
    without_effect: tuple[str, ...]


def changes(plan: Plan) -> Changes:
    """What the plan changes of the sweep in its folder; without one everything is new."""
    before = {old.folder.key: old for old in _before(plan.folder)}
    now = {trial.key for trial in plan.trials}
    new = [trial for trial in plan.trials if trial.key not in before]
    dropped = [old for key, old in before.items() if key not in now]
    elsewhere = finished_trials(plan.folder.path.parent, {trial.key for trial in new})
    added = [
        _added(plan, trial, dropped or list(before.values()), elsewhere.get(trial.key, ()))
        for trial in new
    ]
    return Changes(
        kept=tuple(trial for trial in plan.trials if trial.key in before),
        added=tuple(added),
        dropped=tuple(dropped),
        without_effect=tuple(_without_effect(plan)),
    )


def _before(sweep: SweepDir) -> Iterator[Old]:
    """The trials of the plan on disk. Raises RecordError where it is damaged."""
    if not sweep.plan_file.exists():
        return
    for entry in read_plan(sweep)["trials"]:
        folder = sweep.trial(entry["folder"])
        result = folder.result()
        try:
            given = folder.read_input()
        except (FileNotFoundError, RecordError):
            given = None
        yield Old(folder, trial_spec(entry["spec"]), result.status if result else None, given)


def _added(
    plan: Plan, trial: PlannedTrial, olds: Sequence[Old], elsewhere: Sequence[TrialDir]
) -> Added:
    alike = [old for old in olds if old.spec.is_baseline == trial.spec.is_baseline]
    where = next((f.sweep.path.name for f in elsewhere if f.sweep.path != plan.folder.path), None)
    if not alike:
        return Added(trial, None, (), where)
    mine = in_effect(trial.spec)
    old = min(alike, key=lambda each: len(differing(in_effect(each.spec), mine)))
    return Added(trial, old, tuple(_why(plan, trial, old)), where)


def _why(plan: Plan, trial: PlannedTrial, old: Old) -> Iterator[str]:
    """What makes the trial another one than this."""
    then, now = _choices(old.spec), _choices(trial.spec)
    names = [name for name in differing(then, now) if not _by_content(name)]
    if trial.spec.is_baseline:
        names = [name for name in names if not name.startswith(("train.", "seed"))]
    reasons = [*_fields(names, then, now), *_contents(plan, trial, old)]
    yield from reasons or [
        "the version of embft: it trains or scores otherwise than the one before"
    ]


def _fields(names: Sequence[str], then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {value_name(then.get(name), name)} → {value_name(now.get(name), name)}"
        for name in names
    ]


def _by_content(name: str) -> bool:
    """Whether what the field leads to counts, and not the field itself."""
    return name.startswith("data.") or name in {"model.base", "model.revision"}


def _choices(spec: TrialSpec) -> dict[str, Any]:
    """The fields that decide a result, evaluators by what they are called."""
    fields = in_effect(spec)
    fields.pop("evaluators", None)
    for entry in spec.evaluators:
        fields |= {f"evaluators.{entry.fields.title}": entry.content()}
    return fields


def _contents(plan: Plan, trial: PlannedTrial, old: Old) -> Iterator[str]:
    """What has other content now: by the field that leads to it, if that was edited."""
    given = old.given
    then, now = _choices(old.spec), _choices(trial.spec)
    edited = [name for name in differing(then, now) if _by_content(name)]
    data, model = ([n for n in edited if n.startswith(part)] for part in ("data.", "model."))
    if given is None or given.data_digest != trial.data_digest:
        yield from _fields(data, then, now)
        if given is not None and not data:
            yield f"data: {_changed_splits(plan, trial, given)}"
    if given is None or given.model_digest != trial.base.digest:
        yield from _fields(model, then, now)
        if given is not None and not model:
            yield f"model.base: {trial.spec.model.base} has other content"
    yield from _changed_evaluators(trial, old)


def _changed_evaluators(trial: PlannedTrial, old: Old) -> Iterator[str]:
    digests = old.given.evaluators if old.given else ()
    then = dict(zip(old.spec.evaluators, digests, strict=False))
    for entry, digest in zip(trial.spec.evaluators, trial.evaluators, strict=True):
        if entry in then and then[entry] != digest:
            yield f"evaluators.{entry.fields.title}: what it reads has other content"


def _changed_splits(plan: Plan, trial: PlannedTrial, given: TrialInput) -> str:
    """`train and dev have other content`, as far as the data of then are on disk."""
    now, folder = plan.data[trial.data_digest].digests(), plan.folder.dataset(given.data)
    try:
        then = split_digests(folder)
        changed = [name for name in _SPLITS if then[name] != now[name]]
    except (FileNotFoundError, RecordError):
        changed = []
    names = " and ".join(changed) or "the files"
    return f"{names} {'has' if len(changed) == 1 else 'have'} other content"


def _without_effect(plan: Plan) -> Iterator[str]:
    """Edited fields that make no other trial, such as `resources.memory`."""
    try:
        old = parse_spec(plan.folder.spec_file.read_text(), folder=plan.folder.path)
    except (OSError, UnicodeDecodeError):
        return
    for name, (then, now) in differing(_outside(old), _outside(plan.spec)).items():
        yield f"{name}: {value_name(then)} → {value_name(now)}"


def _outside(spec: SweepSpec) -> Mapping[str, Any]:
    """The fields that are no part of a trial's key."""
    content = spec.model_dump(
        mode="json", include={"description", "resources", "artifacts", "serving"}
    )
    tolerance = spec.objective.model_dump(mode="json", include={"tolerance", "prefer"})
    return {**dict(flat(content)), **dict(flat({"objective": tolerance}))}
