"""A sweep's folder -> its leaderboard: a row for each trial, and the answer.

Reads the plan and the records; ranking and comparing is in `ranking.py`, the words in `verdict.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from embft.leaderboard.ranking import rank_groups
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.leaderboard.verdict import cautions, verdict
from embft.lock import is_running
from embft.plan import BASELINE, read_plan
from embft.spec import TrialSpec
from embft.trial import TrialDir

_STATUS_ORDER = ("completed", "pruned", "failed", "running", "pending")


def build_leaderboard(folder: Path) -> Leaderboard:
    """The leaderboard of a sweep's folder, finished or not. Raises RecordError."""
    plan = read_plan(folder)
    specs = [TrialSpec.model_validate_json(json.dumps(t["spec"])) for t in plan["trials"]]
    axes = _varying_axes([t["params"] for t in plan["trials"]])
    alive = is_running(folder)
    rows = [
        _row(folder / "trials" / trial["folder"], spec, axes, plan["name"], alive=alive)
        for trial, spec in zip(plan["trials"], specs, strict=True)
    ]
    groups = rank_groups(rows, plan["metric"], higher=plan["mode"] == "max")
    board = Leaderboard(
        name=plan["name"],
        description=plan["description"],
        metric=plan["metric"],
        mode=plan["mode"],
        axes=tuple(axes),
        seeds=tuple(plan["seeds"]),
        rows=tuple(_ranked_rows(rows, groups)),
        groups=tuple(groups),
        baseline=next((row for row in rows if row.is_baseline), None),
        pairs=plan["pairs"],
        group_columns=tuple(plan["group_columns"]),
        cautions=(),
        verdict=(),
        audit=_audit(folder, plan),
        folder=folder,
    )
    board = replace(board, cautions=tuple(cautions(board, plan)))
    return replace(board, verdict=tuple(verdict(board)))


def _varying_axes(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """The axes on which at least two trials differ; an axis that only some have differs."""
    trained = [point for point in params if point]
    names = list(dict.fromkeys(name for point in trained for name in point))
    return [name for name in names if len({repr(point.get(name)) for point in trained}) > 1]


def _row(path: Path, spec: TrialSpec, axes: Sequence[str], sweep: str, *, alive: bool) -> Row:
    folder = TrialDir(path)
    result = folder.result()
    running = alive and result is None and folder.progress_file.exists()
    return Row(
        trial=BASELINE if spec.is_baseline else path.name,
        folder=path,
        status=result.status if result else "running" if running else "pending",
        is_baseline=spec.is_baseline,
        seed=spec.seed,
        params={name: _applying(name, spec) for name in axes},
        result=result,
        spec_yaml=one_trial_yaml(spec, sweep),
    )


def _applying(axis: str, spec: TrialSpec) -> Any:
    """The trial's value on an axis, or None where it has no effect."""
    if spec.is_baseline or (axis.startswith("train.lora.") and spec.train.method != "lora"):
        return None
    value: Any = spec.model_dump(mode="json")
    for name in axis.split("."):
        value = value[name]
    return value


def one_trial_yaml(spec: TrialSpec, sweep: str) -> str:
    """A spec file that runs this one trial; fields at their default are left out."""
    fields = json.loads(spec.model_dump_json(exclude_defaults=True))
    if spec.train.method == "full":
        fields.setdefault("train", {})["method"] = "full"
    seed = fields.pop("seed", 42)
    content = {"name": f"{sweep}-one", **fields, "seeds": [seed]}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text


def _ranked_rows(rows: Sequence[Row], groups: Sequence[Group]) -> list[Row]:
    order = {row.trial: i for i, group in enumerate(groups) for row in group.rows}
    place = {status: i for i, status in enumerate(_STATUS_ORDER)}
    return sorted(rows, key=lambda row: (place[row.status], order.get(row.trial, len(rows))))


def _audit(folder: Path, plan: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the audit said of the sweep's (first) data."""
    path = folder / plan["data"][0] / "audit.json"
    if not path.exists():
        return None
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found
