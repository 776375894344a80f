"""Several sweeps read as one: the trials of all of them, each once, under one plan.

Scores stand in one ranking only where they were taken on the same pairs with the same objective:
anything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embft.errors import EmbftError, RecordError
from embft.leaderboard.pair_scores import file_digest
from embft.results.dataset import split_file
from embft.results.folders import SweepDir
from embft.results.plan_record import read_plan

SWEEP = "sweep"
# What decides no score, or is a result's own and not a choice to compare.
_NO_AXIS = ("seed", "objective", "evaluators", "data")


def joined_plan(folders: Sequence[Path]) -> dict[str, Any]:
    """The plans of these sweeps as one, in which each trial names its `sweep` folder.

    Its `axes` are the parameters that the sweeps vary and whatever else differs between their
    trials. Raises RecordError for a folder that holds no sweep, EmbftError for sweeps that cannot
    be ranked together.
    """
    plans = [read_plan(SweepDir(folder)) for folder in folders]
    for folder, plan in zip(folders[1:], plans[1:], strict=True):
        _check_comparable(folders[0], plans[0], folder, plan)
    trials = list(_each_once(folders, plans))
    first = plans[0]
    columns = [set(plan["group_columns"]) for plan in plans]
    return {
        **first,
        "name": " + ".join(plan["name"] for plan in plans),
        "description": _described(plans),
        "seeds": sorted({seed for plan in plans for seed in plan["seeds"]}),
        "trials": trials,
        "axes": _axes(plans, trials),
        "group_columns": sorted(set.intersection(*columns)),
        "dev_is_cut": any(plan["dev_is_cut"] for plan in plans),
        "test_is_dev": any(plan["test_is_dev"] for plan in plans),
    }


def _described(plans: Sequence[Mapping[str, Any]]) -> str:
    if len(plans) == 1:
        return str(plans[0]["description"])
    return " ".join(f"{plan['name']}: {plan['description']}" for plan in plans)


def _each_once(
    folders: Sequence[Path], plans: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The trials of all sweeps; of one that several sweeps have, the copy that has a record."""
    found: dict[str, dict[str, Any]] = {}
    for folder, plan in zip(folders, plans, strict=True):
        for trial in plan["trials"]:
            place = SweepDir(folder).trial(trial["folder"])
            known = found.get(place.key)
            if known is None or not _finished(known):
                found[place.key] = {**trial, SWEEP: folder, "sweep_name": plan["name"]}
    yield from found.values()


def _finished(trial: Mapping[str, Any]) -> bool:
    return SweepDir(trial[SWEEP]).trial(trial["folder"]).result_file.exists()


def _axes(plans: Sequence[Mapping[str, Any]], trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parameters on which at least two trials differ, in the order of the specs."""
    trained = [trial for trial in trials if trial["params"] or not _is_untrained(trial)]
    points = [trial["params"] for trial in trained]
    names = list(dict.fromkeys(name for point in points for name in point))
    if len(plans) == 1:
        return [name for name in names if len({repr(point.get(name)) for point in points}) > 1]
    fields = [dict(_flat(trial["spec"])) for trial in trained]
    names += [name for field in fields for name in field if not name.startswith(_NO_AXIS)]
    axes = [
        name
        for name in dict.fromkeys(names)
        if len({repr(field.get(name)) for field in fields}) > 1
        and not _without_effect(name, fields)
    ]
    same_data = len({tuple(plan["data"]) for plan in plans}) == 1
    return axes if same_data else [SWEEP, *axes]


def _is_untrained(trial: Mapping[str, Any]) -> bool:
    return bool(trial["spec"]["train"]["method"] == "none")


def _without_effect(name: str, fields: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a LoRA field differs only between trials that train no adapter."""
    if not name.startswith("train.lora."):
        return False
    values = {repr(f.get(name)) for f in fields if f["train.method"] == "lora"}
    return len(values) < 2


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested mapping's values under their dotted paths."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _check_comparable(
    one: Path, first: Mapping[str, Any], other: Path, second: Mapping[str, Any]
) -> None:
    goals = [f"{plan['metric']} ({plan['mode']})" for plan in (first, second)]
    if goals[0] != goals[1]:
        raise EmbftError(
            f"{one} ranks by {goals[0]} and {other} by {goals[1]}: one report ranks by one "
            "objective; write a report for each"
        )
    if _evaluated(one, first) != _evaluated(other, second):
        raise EmbftError(
            f"{one} and {other} were scored on different dev or test pairs: their scores cannot "
            "stand in one ranking; write a report for each"
        )


def _evaluated(folder: Path, plan: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The content of the pairs on which a sweep's trials are scored."""
    return {
        (_digest(split_file(data, "dev")), _digest(split_file(data, "test")))
        for data in map(SweepDir(folder).dataset, plan["data"])
    }


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        raise RecordError(
            f"{path}: the sweep's frozen pairs are missing, so nobody can say whether its scores "
            "compare with another sweep's: copy the whole results folder"
        ) from None
