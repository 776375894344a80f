"""Several sweeps read as one: the trials of all of them, each once, under one plan.

Scores stand in one ranking only where they were taken on the same pairs with the same objective:
anything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embft.errors import EmbftError, RecordError
from embft.leaderboard.one_trial import Origin
from embft.leaderboard.pair_scores import frozen_digest
from embft.results.dataset import split_file
from embft.results.folders import SweepDir, TrialDir
from embft.results.plan_record import PlanRecord, read_plan
from embft.spec import Objective
from embft.spec.differences import flat
from embft.spec.search import SCORE, Cost
from embft.spec.seeds import SeedsSpec

SWEEP = "sweep"  # the axis on which sweeps differ that were trained on other data
# What decides no score, or is a result's own and not a choice to compare.
_NO_AXIS = ("seed", "objective", "evaluators", "data")


@dataclass(frozen=True)
class JoinedTrial:
    """One trial: its folder, its sweep, and what that one's plan has of it as plain data."""

    folder: TrialDir
    sweep: SweepDir
    origin: Origin
    params: Mapping[str, Any]
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class JoinedPlan:
    """The plans of some sweeps as one.

    axes: the parameters that the sweeps vary and whatever else differs between their trials, under
    dotted paths; `sweep` where their training data differ.
    """

    name: str
    description: str
    objective: Objective
    seeds: tuple[int, ...]
    trials: tuple[JoinedTrial, ...]
    axes: tuple[str, ...]
    data: tuple[str, ...]
    pairs: Mapping[str, int]
    group_columns: tuple[str, ...]
    dev_is_cut: bool
    test_is_dev: bool
    more_seeds: SeedsSpec | None = None
    suggested: int | None = None
    continuous: tuple[str, ...] = ()
    logarithmic: tuple[str, ...] = ()
    costs: tuple[Cost, ...] = ()


def joined_plan(sweeps: Sequence[SweepDir]) -> JoinedPlan:
    """The plans of these sweeps as one. What there is only once is the first one's.

    Raises RecordError for a folder that holds no sweep, EmbftError for sweeps that cannot be ranked
    together.
    """
    plans = [read_plan(sweep) for sweep in sweeps]
    for sweep, plan in zip(sweeps[1:], plans[1:], strict=True):
        _check_comparable(sweeps[0], plans[0], sweep, plan)
    trials = tuple(_each_once(sweeps, plans))
    columns = [set(plan["group_columns"]) for plan in plans]
    return JoinedPlan(
        name=" + ".join(plan["name"] for plan in plans),
        description=_described(plans),
        objective=_objective(plans[0]),
        seeds=tuple(sorted({seed for plan in plans for seed in plan["seeds"]})),
        trials=trials,
        axes=tuple(_axes(plans, trials)),
        data=tuple(plans[0]["data"]),
        pairs=plans[0]["pairs"],
        group_columns=tuple(sorted(set.intersection(*columns))),
        dev_is_cut=any(plan["dev_is_cut"] for plan in plans),
        test_is_dev=any(plan["test_is_dev"] for plan in plans),
        more_seeds=_more_seeds(plans),
        suggested=_suggested(plans, trials),
        continuous=tuple(dict.fromkeys(a for p in plans for a in p.get("continuous", ()))),
        logarithmic=tuple(dict.fromkeys(a for p in plans for a in p.get("logarithmic", ()))),
        costs=_costs(plans),
    )


def _costs(plans: Sequence[PlanRecord]) -> tuple[Cost, ...]:
    """What searches kept low beside the score; an older version's had the score alone."""
    named = (name for plan in plans for name in plan.get("search", {}).get("objectives", ()))
    return tuple(dict.fromkeys(name for name in named if name != SCORE))


def _suggested(plans: Sequence[PlanRecord], trials: Sequence[JoinedTrial]) -> int | None:
    """How many configurations searches have proposed, each once."""
    if not any("search" in plan for plan in plans):
        return None
    return len({repr(t.params) for t in trials if t.params})


def _more_seeds(plans: Sequence[PlanRecord]) -> SeedsSpec | None:
    """How seeds were spent; of several sweeps, that of the one which compares most often."""
    given = [SeedsSpec(**plan["more_seeds"]) for plan in plans if "more_seeds" in plan]
    return max(given, key=lambda each: each.looks, default=None)


def _objective(plan: PlanRecord) -> Objective:
    """What a plan ranks by; an older version's had no tolerance and no preference to say."""
    usual = Objective()
    return Objective(
        metric=plan["metric"],
        mode=plan["mode"],
        tolerance=plan.get("tolerance", usual.tolerance),
        prefer=plan.get("prefer", usual.prefer),
        tasks=tuple(plan.get("tasks", ())),
    )


def _goal(plan: PlanRecord) -> str:
    """What a plan ranks by, in words."""
    tasks = plan.get("tasks")
    return f"tasks ({', '.join(tasks)})" if tasks else f"{plan['metric']} ({plan['mode']})"


def _described(plans: Sequence[PlanRecord]) -> str:
    if len(plans) == 1:
        return plans[0]["description"]
    return " ".join(f"{plan['name']}: {plan['description']}" for plan in plans)


def _each_once(sweeps: Sequence[SweepDir], plans: Sequence[PlanRecord]) -> Iterator[JoinedTrial]:
    """The trials of all sweeps; of one that several sweeps have, the copy that has a record."""
    found: dict[str, JoinedTrial] = {}
    for sweep, plan in zip(sweeps, plans, strict=True):
        origin = Origin(sweep, plan["name"], plan.get("paths_begin"))
        for trial in plan["trials"]:
            folder = sweep.trial(trial["folder"])
            known = found.get(folder.key)
            if known is None or not known.folder.result_file.exists():
                found[folder.key] = JoinedTrial(
                    folder, sweep, origin, trial["params"], trial["spec"]
                )
    yield from found.values()


def _axes(plans: Sequence[PlanRecord], trials: Sequence[JoinedTrial]) -> list[str]:
    """The parameters on which at least two trials differ, in the order of the specs."""
    trained = [t for t in trials if t.params or t.spec["train"]["method"] != "none"]
    # Products with more axes first, which have those of the others at their places.
    points = sorted((trial.params for trial in trained), key=len, reverse=True)
    names = list(dict.fromkeys(name for point in points for name in point))
    if len(plans) == 1:
        return [name for name in names if len({repr(point.get(name)) for point in points}) > 1]
    fields = [dict(flat(trial.spec)) for trial in trained]
    names += [name for field in fields for name in field if not name.startswith(_NO_AXIS)]
    axes = [
        name
        for name in dict.fromkeys(names)
        if len({repr(field.get(name)) for field in fields}) > 1
        and not _without_effect(name, fields)
    ]
    same_data = len({tuple(plan["data"]) for plan in plans}) == 1
    return axes if same_data else [SWEEP, *axes]


def _without_effect(name: str, fields: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a LoRA field differs only between trials that train no adapter."""
    if not name.startswith("train.lora."):
        return False
    values = {repr(f.get(name)) for f in fields if f["train.method"] == "lora"}
    return len(values) < 2


def _check_comparable(
    one: SweepDir, first: PlanRecord, other: SweepDir, second: PlanRecord
) -> None:
    goals = [_goal(plan) for plan in (first, second)]
    if goals[0] != goals[1]:
        raise EmbftError(
            f"{one.path} ranks by {goals[0]} and {other.path} by {goals[1]}: one report ranks by "
            "one objective; write a report for each"
        )
    if _evaluated(one, first) != _evaluated(other, second):
        raise EmbftError(
            f"{one.path} and {other.path} were scored on different dev or test pairs: their scores "
            "cannot stand in one ranking; write a report for each"
        )


def _evaluated(sweep: SweepDir, plan: PlanRecord) -> set[tuple[str, str]]:
    """The content of the pairs on which a sweep's trials are scored."""
    return {
        (_digest(split_file(data, "dev")), _digest(split_file(data, "test")))
        for data in map(sweep.dataset, plan["data"])
    }


def _digest(path: Path) -> str:
    try:
        return frozen_digest(path)
    except OSError:
        raise RecordError(
            f"{path}: the sweep's frozen pairs are missing, so nobody can say whether its scores "
            "compare with another sweep's: copy the whole results folder"
        ) from None
