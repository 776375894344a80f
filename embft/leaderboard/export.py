"""The leaderboard as CSV and JSON, the form that scripts rely on."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

from embft.leaderboard.rows import Interval, Leaderboard, Row
from embft.leaderboard.stability import purity_change
from embft.results.records import Failed, Pruned
from embft.spec.names import value_name
from embft.storage.files import write_atomic
from embft.system.text import printable

# A cell that begins so runs as a formula when a spreadsheet opens the file.
_FORMULA = re.compile(r"^\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


def write_tables(board: Leaderboard) -> None:
    """Write `leaderboard.csv` and `leaderboard.json` into the sweep's folder."""
    records = to_records(board)
    write_atomic(board.folder.leaderboard_csv, to_csv(records))
    write_atomic(board.folder.leaderboard_json, to_json(board, records))


def to_records(board: Leaderboard) -> list[dict[str, Any]]:
    """A flat record for each trial, with the same columns in each; None where there is no value."""
    groups = {row.trial: group for group in board.groups for row in group.rows}
    records = []
    for row in board.rows:
        group = groups.get(row.trial)
        records.append(
            {
                "trial": row.trial,
                "status": row.status,
                "rank": group.rank if group else None,
                "rank_low": group.rank_low if group else None,
                "rank_high": group.rank_high if group else None,
                "tied_with_leader": group.tied if group else None,
                "recommended": group.recommended if group else None,
                "seed": row.seed,
                **row.params,
                **row.values,
                **_scores("dev", row.dev, row.dev_intervals),
                **_scores("test", row.test, row.test_intervals),
                **_without_leaks(row),
                **_purity(board, row),
                **_costs(row),
                "reason": row.result.reason if isinstance(row.result, Failed | Pruned) else None,
            }
        )
    columns = list(dict.fromkeys(name for record in records for name in record))
    return [{name: record.get(name) for name in columns} for record in records]


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


def _purity(board: Leaderboard, row: Row) -> dict[str, float | str]:
    """What became of cluster purity since the baseline; `none` within its spread."""
    if board.baseline is None or row.is_baseline:
        return {}
    change = purity_change(board.baseline, row)
    return {} if change is None else {"test_cluster_purity_change": change}


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


def _optimism(board: Leaderboard) -> dict[str, Any] | None:
    """How much of the leader's score is luck; None where there is a test split."""
    found = board.optimism
    if found is None:
        return None
    return {
        "metric": board.metric,
        "estimate": found.optimism,
        "naive": found.naive,
        "corrected": found.corrected,
        "configurations": len(board.groups),
    }


def to_json(board: Leaderboard, records: list[dict[str, Any]] | None = None) -> str:
    """The same records as JSON, with the answer and the cautions beside them."""
    content = {
        "schema_version": 1,
        "name": board.name,
        "description": board.description,
        "metric": board.metric,
        "mode": board.mode,
        "axes": list(board.axes),
        "verdict": list(board.verdict),
        "cautions": list(board.cautions),
        "optimism": _optimism(board),
        "trials": records if records is not None else to_records(board),
    }
    return json.dumps(content, indent=2, allow_nan=False)
