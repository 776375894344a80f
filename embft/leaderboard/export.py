"""The leaderboard as CSV and JSON, the form that scripts rely on."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

from embft.leaderboard.front import row_cost
from embft.leaderboard.labels import config_label
from embft.leaderboard.rows import Group, Interval, Leaderboard, Needed, Row
from embft.leaderboard.serving import chosen_index
from embft.leaderboard.significance import outcome
from embft.leaderboard.stability import purity_change
from embft.leaderboard.verdict import group_name
from embft.metrics.comparison import Comparison
from embft.results.records import Failed, Pruned
from embft.spec.names import value_name
from embft.storage.files import write_atomic
from embft.system.text import printable

# A cell that begins so runs as a formula when a spreadsheet opens the file.
_FORMULA = re.compile(r"^\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


def write_tables(leaderboard: Leaderboard) -> None:
    """Write `leaderboard.csv` and `leaderboard.json` into the sweep's folder, and the recommended
    configuration as a spec, once there is one.
    """
    records = to_records(leaderboard)
    if leaderboard.recommended_yaml is None:
        leaderboard.folder.recommended_file.unlink(missing_ok=True)
    else:
        write_atomic(leaderboard.folder.recommended_file, leaderboard.recommended_yaml)
    write_atomic(leaderboard.folder.leaderboard_csv, to_csv(records))
    write_atomic(leaderboard.folder.leaderboard_json, to_json(leaderboard, records))


def to_records(leaderboard: Leaderboard) -> list[dict[str, Any]]:
    """A flat record for each trial, with the same columns in each; None where there is no value."""
    known = (*leaderboard.bases, *leaderboard.groups)
    groups = {row.trial: group for group in known for row in group.rows}
    answer = _answer(leaderboard)
    on_front = {row.trial: w.on_front for w in leaderboard.front for row in w.group.rows}
    records = []
    for row in leaderboard.rows:
        group = groups.get(row.trial)
        records.append(
            {
                "trial": row.trial,
                "status": row.status,
                **_rank(None if row.is_baseline else group),
                "tied_with_leader": group.in_best_set if group else None,
                "in_best_set": group.in_best_set if group else None,
                "recommended": group.recommended if group else None,
                **_of_front(leaderboard, row, on_front),
                **answer,
                "seed": row.seed,
                **row.params,
                **row.values,
                **_scores("dev", row.dev, row.dev_intervals),
                **_scores("test", row.test, row.test_intervals),
                **_differences(group),
                "difference_outcome": _outcome(leaderboard, group),
                **_without_leaks(row),
                **_purity(leaderboard, row),
                **_costs(row),
                **_in_service(leaderboard, row),
                "reason": row.result.reason if isinstance(row.result, Failed | Pruned) else None,
            }
        )
    columns = list(dict.fromkeys(name for record in records for name in record))
    return [{name: record.get(name) for name in columns} for record in records]


def _answer(leaderboard: Leaderboard) -> dict[str, Any]:
    """Whether the recommendation is resolved, and of what it is said: the same in each record."""
    decision = leaderboard.decision
    return {
        "resolved": bool(decision and decision.resolved),
        "scope": decision.scope if decision else None,
    }


def _of_front(
    leaderboard: Leaderboard, row: Row, on_front: Mapping[str, bool]
) -> dict[str, float | bool | None]:
    """Whether a trial's configuration is on the front, and the cost that has no column of its own;
    nothing where the search had one objective.
    """
    if not leaderboard.costs:
        return {}
    cells: dict[str, float | bool | None] = {"on_front": on_front.get(row.trial)}
    if "training" in leaderboard.costs:
        cells["rows_trained_on"] = row_cost(leaderboard, row, "training")
    return cells


def _rank(group: Group | None) -> dict[str, int | None]:
    names = ("rank", "rank_low", "rank_high")
    return {name: getattr(group, name) if group else None for name in names}


def _differences(group: Group | None) -> dict[str, float | None]:
    """A configuration's differences: on test to the recommended one and to its base model, on dev
    to the best of the others; with intervals, p-values, and what could have been detected.
    """
    return {
        **_difference("difference", group.to_recommended if group else None),
        "detectable_difference": group.detectable if group else None,
        **_difference("difference_to_base", group.to_base if group else None, adjusted=False),
        **_difference("dev_difference_to_best", group.to_best if group else None),
        "dev_loss_at_most": group.loss_high if group else None,
    }


def _outcome(leaderboard: Leaderboard, group: Group | None) -> str | None:
    """What the difference to the recommended configuration shows on test."""
    found, decision = group.to_recommended if group else None, leaderboard.decision
    if found is None or decision is None:
        return None
    return outcome(found, decision.objective.tolerance)


def _difference(
    name: str, found: Comparison | None, *, adjusted: bool = True
) -> dict[str, float | None]:
    cells = {
        name: found.difference if found else None,
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
        f"{name}_p": found.p_value if found else None,
    }
    return cells | ({f"{name}_p_adjusted": found.p_adjusted if found else None} if adjusted else {})


def _scores(
    split: str, metrics: Mapping[str, float], intervals: Mapping[str, Interval]
) -> dict[str, float]:
    cells: dict[str, float] = {}
    for name, value in metrics.items():
        cells[f"{split}_{name}"] = value
        if name in intervals:
            cells[f"{split}_{name}_low"], cells[f"{split}_{name}_high"] = intervals[name]
    return cells


def _without_leaks(row: Row) -> dict[str, float]:
    if row.completed is None:
        return {}
    cells: dict[str, float] = {}
    for name, value in row.completed.test_without_leaks.items():
        cells[f"test_{name}_without_leaks"] = value
        ends = row.completed.test_without_leaks_intervals.get(name)
        if ends:
            low, high = f"test_{name}_without_leaks_low", f"test_{name}_without_leaks_high"
            cells[low], cells[high] = ends
    return cells


def _purity(leaderboard: Leaderboard, row: Row) -> dict[str, float | str]:
    """What became of cluster purity since the baseline; `none` within its spread."""
    if leaderboard.baseline is None or row.is_baseline:
        return {}
    change = purity_change(leaderboard.baseline, row)
    return {} if change is None else {"test_cluster_purity_change": change}


def _in_service(leaderboard: Leaderboard, row: Row) -> dict[str, Any]:
    """The smallest index that is not worse, and the model's speed; nothing where not measured."""
    decision = leaderboard.decision
    found = chosen_index(row, decision.objective.tolerance) if decision else None
    if found is None:
        return {}
    variant, serving = found
    return {
        "index_dimensions": variant.dimensions,
        "index_kind": variant.kind,
        "index_bytes": variant.bytes,
        "texts_per_second": serving.speed.texts,
        "latency_p50": serving.speed.p50,
        "latency_p95": serving.speed.p95,
    }


def _costs(row: Row) -> dict[str, Any]:
    result = row.completed
    return {
        "best_epoch": result.best_epoch if result else None,
        "threshold": result.threshold if result else None,
        "train_seconds": result.timings.train if result else None,
        "total_seconds": result.timings.total
        if result
        else row.result.total_seconds
        if isinstance(row.result, Failed)
        else None,
        "trainable_parameters": result.trainable_parameters if result else None,
        "peak_memory_mb": row.result.peak_memory_mb if row.result else None,
        "artifact_bytes": result.artifact_bytes if result else None,
    }


def to_csv(records: list[dict[str, Any]]) -> str:
    """CSV whose texts no spreadsheet will run as a formula."""
    out = io.StringIO()
    if records:
        writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in r.items()} for r in records)
    return out.getvalue()


def _cell(value: Any) -> Any:
    text = value_name(value) if isinstance(value, list | tuple | dict) else value
    text = printable(text) if isinstance(text, str) else text
    if isinstance(text, str) and _FORMULA.match(text) and not _NUMBER.match(text):
        return "'" + text
    return text


def _optimism(leaderboard: Leaderboard) -> dict[str, Any] | None:
    """The selection bias of the leader's score; None where there is a test split."""
    found = leaderboard.optimism
    if found is None:
        return None
    return {
        "metric": leaderboard.metric,
        "estimate": found.optimism,
        "naive": found.naive,
        "corrected": found.corrected,
        "configurations": len(leaderboard.groups),
    }


def _decision(leaderboard: Leaderboard) -> dict[str, Any]:
    """What is recommended, whether that is resolved and of what it is said, and what is missing."""
    decision, chosen = leaderboard.decision, leaderboard.recommended
    known = (*leaderboard.bases, *leaderboard.groups)
    detectable = [group.detectable for group in known if group.detectable is not None]
    answer = _answer(leaderboard) | {"detectable_difference": max(detectable, default=None)}
    if decision is None or chosen is None:
        return answer | {"decision": None}
    return answer | {
        "decision": {
            "recommended": chosen.best.trial,
            "keep_base_model": chosen.is_base,
            "configuration": group_name(leaderboard, chosen),
            "tolerance": decision.objective.tolerance,
            "prefer": decision.objective.prefer,
            "compared": decision.compared,
            "best_set": [group.best.trial for group in known if group.in_best_set],
            "loss_at_most": decision.loss_high,
            "better_than_base_model": decision.better_than_base,
            "dev_units": {"unit": decision.unit, "count": decision.units},
            "needed": _needed(decision.needed),
            "needed_for_base_model": _needed(decision.needed_for_base),
            "seed_standard_deviation": decision.seed_spread,
            "incomplete": [
                {
                    "configuration": config_label(each.params, leaderboard.axes),
                    "seeds": {str(seed): str(status) for seed, status in each.missing},
                }
                for each in decision.incomplete
            ],
        },
    }


def _needed(found: Needed | None) -> dict[str, int | None] | None:
    return None if found is None else {"dev_units": found.pairs, "seeds": found.seeds}


def _front(leaderboard: Leaderboard) -> dict[str, Any]:
    """The objectives of a search that had several, and the configurations on their front."""
    if not leaderboard.costs:
        return {}
    return {
        "objectives": ["score", *leaderboard.costs],
        "front": [
            {
                "trial": each.group.best.trial,
                "configuration": group_name(leaderboard, each.group),
                "dev_score": each.group.dev_score,
                "dev_interval": each.interval,
                **each.costs,
            }
            for each in leaderboard.front
            if each.on_front
        ],
    }


def to_json(leaderboard: Leaderboard, records: list[dict[str, Any]] | None = None) -> str:
    """The same records as JSON, with the answer and the warnings beside them.

    `cautions` are the warnings, under the name that they had before.
    """
    content = {
        "schema_version": 1,
        "name": leaderboard.name,
        "description": leaderboard.description,
        "metric": leaderboard.metric,
        "mode": leaderboard.mode,
        "axes": list(leaderboard.axes),
        "verdict": list(leaderboard.verdict),
        "warnings": list(leaderboard.warnings),
        "cautions": list(leaderboard.warnings),
        **_decision(leaderboard),
        **_front(leaderboard),
        "optimism": _optimism(leaderboard),
        "trials": records if records is not None else to_records(leaderboard),
    }
    return json.dumps(content, indent=2, allow_nan=False)
