"""A sweep's folder -> its leaderboard: rows, configurations ranked, compared and tied.

Reads records and per-pair scores; knows no models. Trials are ranked on dev and reported on test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from embft.data.pairs import Pairs
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.leaderboard.verdict import cautions, verdict
from embft.metrics.bootstrap import BootstrapResult, hierarchical
from embft.metrics.comparison import Comparison, compare, holm
from embft.metrics.resampling import Units, sampling_units
from embft.plan import BASELINE, read_plan
from embft.spec import TrialSpec
from embft.trial import TrialDir, TrialInput

SIGNIFICANCE = 0.05
_STATUS_ORDER = ("completed", "pruned", "failed", "running", "pending")


def build_leaderboard(folder: Path) -> Leaderboard:
    """The leaderboard of a sweep's folder, finished or not. Raises RecordError."""
    plan = read_plan(folder)
    specs = [TrialSpec.model_validate_json(json.dumps(t["spec"])) for t in plan["trials"]]
    axes = _varying_axes([t["params"] for t in plan["trials"]])
    rows = [
        _row(folder / "trials" / trial["folder"], spec, axes, plan["name"])
        for trial, spec in zip(plan["trials"], specs, strict=True)
    ]
    higher = plan["mode"] == "max"
    groups = _groups(rows, plan["metric"], higher)
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


def _row(path: Path, spec: TrialSpec, axes: Sequence[str], sweep: str) -> Row:
    folder = TrialDir(path)
    result = folder.result()
    running = result is None and folder.progress_file.exists()
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


def _groups(rows: Sequence[Row], metric: str, higher: bool) -> list[Group]:
    """Completed configurations, ranked by their mean dev objective and compared with the first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.completed and not row.is_baseline and metric in row.dev:
            found.setdefault(json.dumps(dict(row.params), sort_keys=True), []).append(row)
    sign = 1.0 if higher else -1.0
    members = [sorted(g, key=lambda r: -sign * r.dev[metric]) for g in found.values()]
    members.sort(key=lambda g: -sign * float(np.mean([r.dev[metric] for r in g])))
    resampled = _resample(members)
    compared = _compare_with_leader(members, resampled, metric, higher)
    return _recommended(
        [
            _group(place, g, resampled[place - 1], compared[place - 1], metric)
            for place, g in enumerate(members, 1)
        ]
    )


def _group(
    place: int,
    rows: Sequence[Row],
    result: BootstrapResult | None,
    compared: tuple[Comparison, float] | None,
    metric: str,
) -> Group:
    interval = result.intervals.get(metric) if result else None
    # `compare` gives leader minus other; a reader expects this one minus the leader.
    return Group(
        params=rows[0].params,
        rows=tuple(rows),
        rank=place,
        rank_low=place,
        rank_high=place,
        dev_score=float(np.mean([row.dev[metric] for row in rows])),
        score=float(np.mean([row.test.get(metric, np.nan) for row in rows])),
        interval=(interval.low, interval.high) if interval else None,
        difference=-compared[0].difference if compared else None,
        difference_interval=(-compared[0].high, -compared[0].low) if compared else None,
        p_value=compared[1] if compared else None,
        tied=place == 1 or (compared is not None and compared[1] >= SIGNIFICANCE),
        recommended=False,
    )


def _recommended(groups: list[Group]) -> list[Group]:
    """Mark the cheapest of those tied with the leader, and give all of these one rank interval."""
    tied = [group for group in groups if group.tied]
    if not tied:
        return groups
    cheapest = min(tied, key=_cost)
    return [
        replace(
            group,
            rank_low=1 if group.tied else group.rank,
            rank_high=len(tied) if group.tied else group.rank,
            recommended=group is cheapest,
        )
        for group in groups
    ]


def _cost(group: Group) -> tuple[float, float]:
    """Trainable parameters, then training time."""
    done = [row.completed for row in group.rows if row.completed]
    return (
        float(np.mean([result.trainable_parameters for result in done])),
        float(np.mean([result.timings.train for result in done])),
    )


def _compare_with_leader(
    members: Sequence[Sequence[Row]],
    resampled: Sequence[BootstrapResult | None],
    metric: str,
    higher: bool,
) -> list[tuple[Comparison, float] | None]:
    """Each group's paired comparison with the first, its p-value corrected for all of them."""
    raw: list[Comparison | None] = [None] * len(members)
    leader = resampled[0] if resampled else None
    for i, other in enumerate(resampled):
        if i and leader and other and _same_pairs(members[0][0], members[i][0]):
            raw[i] = compare(leader, other, metric, higher_is_better=higher)
    asked = [i for i, comparison in enumerate(raw) if comparison is not None]
    corrected = dict(
        zip(asked, holm([c.p_value for c in raw if c is not None]) if asked else [], strict=True)
    )
    return [(c, corrected[i]) if c is not None else None for i, c in enumerate(raw)]


def _same_pairs(one: Row, other: Row) -> bool:
    first, second = one.completed, other.completed
    return bool(first and second and first.data_digest == second.data_digest)


def _resample(members: Sequence[Sequence[Row]]) -> list[BootstrapResult | None]:
    units: dict[str, Units] = {}
    return [_resample_group(rows, units) for rows in members]


def _resample_group(rows: Sequence[Row], units: dict[str, Units]) -> BootstrapResult | None:
    """Resamples of a group's test scores, or None where its per-pair scores are not on disk."""
    scores, label, thresholds = [], None, []
    for row in rows:
        table = test_scores(row)
        if table is None or row.completed is None:
            return None
        label, score = table
        scores.append(score)
        thresholds.append(row.completed.threshold or 0.0)
    first = rows[0].completed
    if label is None or first is None:
        return None
    if first.data_digest not in units:
        given = TrialDir(rows[0].folder).read_input()
        units[first.data_digest] = _units(rows[0].folder.parent.parent, given)
    return hierarchical(scores, label, thresholds, units[first.data_digest])


def _units(sweep: Path, given: TrialInput) -> Units:
    pairs = Pairs.read(sweep / given.data / "test.parquet")
    return sampling_units(pairs.text_1, pairs.text_2)


def test_scores(row: Row) -> tuple[Any, Any] | None:
    """A trial's labels and cosines on the test split, each (n,), or None where there are none."""
    path = TrialDir(row.folder).scores_file
    if not path.exists():
        return None
    table = pq.read_table(path, columns=["split", "label", "score"])
    table = table.filter(pc.equal(table["split"], "test"))
    return table["label"].to_numpy(), table["score"].to_numpy().astype(np.float64)


test_scores.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def _audit(folder: Path, plan: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the audit said of the sweep's (first) data."""
    path = folder / plan["data"][0] / "audit.json"
    if not path.exists():
        return None
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found
