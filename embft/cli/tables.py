"""How tables of trials, leaderboards, scores and audits look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embft.cli.console import say
from embft.data.audit.findings import Audit
from embft.leaderboard.export import to_csv
from embft.leaderboard.labels import (
    axis_titles,
    metric_label,
    number,
    value_text,
)
from embft.leaderboard.rows import Group, Leaderboard
from embft.leaderboard.table import row_label
from embft.metrics.registry import METRICS
from embft.report.audit import audit_figures
from embft.results.folders import TrialDir
from embft.results.records import Status
from embft.spec.names import distinct_names, identity

if TYPE_CHECKING:
    from embft.execution.evaluate import Evaluation

_WIDE = 110  # columns from which on intervals fit beside the scores
_IN_WORDS = 40  # columns for a configuration in words
_STYLES = {"problem": "bold red", "warning": "yellow", "info": "dim"}


def metric_records() -> list[dict[str, Any]]:
    """A record for each metric of the registry; an end of its range is None where there is none."""
    words = {"max": "higher", "min": "lower"}
    return [
        {
            "metric": name,
            "label": metric.label,
            "better": words.get(str(metric.direction)),
            "lowest": metric.bounds[0],
            "highest": metric.bounds[1],
            "computed_by": metric.computed_by,
            "objective": "yes" if metric.objective else "no",
            "labels": "0 and 1" if metric.binary_only else None,
            "formula": metric.formula,
            "source": metric.source or None,
        }
        for name, metric in METRICS.items()
    ]


def metric_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of `metric_records` what a terminal has room for."""

    def end(value: float | None) -> str:
        return "any" if value is None else f"{value:g}"

    return [
        {
            **{name: record[name] for name in ("metric", "label", "better")},
            "range": f"{end(record['lowest'])} to {end(record['highest'])}",
            "objective": record["objective"],
        }
        for record in records
    ]


def print_records(
    console: Console, form: str, records: Sequence[Mapping[str, Any]], title: str
) -> None:
    """Records as JSON or CSV for scripts, or as a table for people."""
    if form == "json":
        console.out(json.dumps(records, indent=2), highlight=False)
    elif form == "csv":
        console.out(to_csv([dict(record) for record in records]), end="", highlight=False)
    else:
        console.print(_records_table(records, title, console.width))


def _records_table(records: Sequence[Mapping[str, Any]], title: str, width: int) -> Table:
    """Records as a table. Where its columns have no room in so many of a terminal's, a single one
    holds what varies between trials, in words.
    """
    cells = _cells(records)
    if _width(cells) > width and "trial" in cells:
        cells = _in_words(cells)
    table = _table(title)
    for name, wide in _fitted(cells, width).items():
        table.add_column(name, overflow="fold", width=wide)
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def _fitted(cells: Cells, width: int) -> dict[str, int]:
    """How wide each column is in so many columns of a terminal: those that can be broken between
    words give way, the one with most to give first; if all words do not fit, the longest.
    """
    columns = {name: [name, *column] for name, column in cells.items()}
    wide = {name: max(map(cell_len, column)) for name, column in columns.items()}
    least = {
        name: max((cell_len(word) for cell in column for word in cell.split()), default=1)
        for name, column in columns.items()
    }
    excess = sum(wide.values()) + _BESIDE_CELLS * len(wide) + 1 - width
    for _ in range(max(0, excess)):
        name = max(wide, key=lambda name: (wide[name] - least[name], wide[name]))
        wide[name] = max(1, wide[name] - 1)
    return wide


def _cells(records: Sequence[Mapping[str, Any]]) -> Cells:
    """What a table shows of records, by its headings: names in words, a baseline by its name."""
    found: Cells = {}
    records = [_worded(record) for record in records]
    for column in records[0] if records else ():
        names = distinct_names(column, (record[column] for record in records))
        found[column.rpartition(".")[2]] = [
            "" if value is None else names.get(identity(value), str(value))
            for value in (record[column] for record in records)
        ]
    if "trial" in found:
        varying = next((name for name in found if name not in _OF_TRIALS), None)
        for i, record in enumerate(records):
            found["trial"][i] = _short(str(record["trial"]))
            if varying and str(record["trial"]).startswith("baseline"):
                found[varying][i] = "base model"
    return found


def _worded(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record with its status in the words of a plan."""
    if SCORED_AGAIN not in record:
        return record
    shown = {name: value for name, value in record.items() if name != SCORED_AGAIN}
    return {**shown, "status": "scored again"} if record[SCORED_AGAIN] else shown


SCORED_AGAIN = "scored_again"
_LEAST_ROOM = 16  # columns of a terminal for a configuration, however narrow it is
_BESIDE_CELLS = 3  # columns of a terminal for the space around a cell, and for the line between

# Columns of a table of trials that hold no parameter.
_OF_TRIALS = ("trial", "status", "seed", "train_rows", "seconds")


def _in_words(cells: Cells) -> Cells:
    """The same with one column for all that varies."""
    axes = {name: column for name, column in cells.items() if name not in _OF_TRIALS}
    words = [
        ", ".join(
            value if value == "base model" else f"{name.replace('_', ' ')} {value}"
            for name, value in zip(axes, row, strict=True)
            if value
        )
        for row in zip(*axes.values(), strict=True)
    ]
    left = {name: cells[name] for name in ("trial", "status", "seed")}
    right = {name: cells[name] for name in _OF_TRIALS[3:] if name in cells}
    return {**left, "configuration": words, **right}


def print_evaluation(
    console: Console, form: str, found: Evaluation, by: Sequence[str] = ()
) -> None:
    """The metrics of one model, what is undefined and why, and the breakdown by these columns."""
    title = f"{found.model}: intervals by resampling {found.scheme}"
    groups = [
        {"column": column, **asdict(row)} for column in by for row in found.groups.get(column, ())
    ]
    if form == "json" and by:
        content = {"metrics": found.rows, "undefined": found.undefined, "groups": groups}
        console.out(json.dumps(content, indent=2), highlight=False)
        return
    rows = found.rows
    if form == "table":
        rows = [{k: v for k, v in row.items() if k != "note"} for row in rows]
    print_records(console, form, rows, title)
    if form == "table":
        for note, metrics in _notes(found.rows).items():
            say(console, f"{', '.join(metrics)}: {note}")
    if groups and form == "table":
        print_records(console, form, groups, "Test broken down")
    for name, reason in found.undefined.items():
        say(Console(stderr=True, highlight=False), f"{name}: {reason}")


def _notes(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What is to be said of intervals, each with the metrics and splits that it is said of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("note"):
            found.setdefault(row["note"], []).append(f"{row['metric']} on {row['split']}")
    return found


def print_leaderboard(console: Console, leaderboard: Leaderboard) -> None:
    """The ranked table, the answer, and its warnings."""
    console.print(leaderboard_table(leaderboard, console.width))
    for sentence in leaderboard.verdict:
        say(console, sentence)
    for sentence in leaderboard.warnings:
        say(console, f"Warning: {sentence}", "yellow")
    for row in leaderboard.rows:
        if row.status == Status.FAILED and row.result is not None:
            failure = getattr(row.result, "message", "")
            named = f"{row.folder.short} {row.trial.rpartition('-')[0]}"
            say(console, f"Failed: {named}: {failure}", "red")
    if (report := leaderboard.folder.report_file()).exists():
        say(console, f"Report: {report}")


def print_audit(
    console: Console,
    audit: Audit,
    fractions: Mapping[float, int] | None = None,
    *,
    everything: bool = False,
) -> None:
    """The findings, gravest first, with what each does and what to do; infos only on demand.

    fractions: how many rows of train each `data.fraction` has, where there are several.
    """
    sizes = ", ".join(f"{count:,} {name}" for name, count in audit.sizes.items())
    console.print(Text(f"Data audit of {sizes} pairs", style="bold"))
    if fractions:
        parts = ", ".join(f"{share:g} has {count:,}" for share, count in sorted(fractions.items()))
        say(console, f"Rows of train by data.fraction: {parts}")
    shown_findings = [f for f in audit.findings if everything or f.severity != "info"]
    for finding in shown_findings:
        console.print()
        mark = Text(f"{finding.severity}: ", style=_STYLES[finding.severity])
        console.print(
            mark.append(finding.message, style="not bold not dim"),
            soft_wrap=not console.is_terminal,
        )
        figures = "; ".join(f"{name} {value}" for name, value in audit_figures(asdict(finding)))
        say(console, f"  figures: {figures}", hang=4)
        say(console, f"  effect: {finding.effect}", hang=4)
        say(console, f"  advice: {finding.advice}", hang=4)
        for example in finding.examples[:2]:
            say(console, f"  e.g. {json.dumps(example, ensure_ascii=False)}", "dim", hang=4)
    if not shown_findings:
        console.print("No warning and no problem was found.")
    hidden = len(audit.findings) - len(shown_findings)
    if hidden:
        console.print(Text(f"\n{hidden} more for information: --all shows them", style="dim"))


def leaderboard_table(leaderboard: Leaderboard, width: int) -> Table:
    """The ranked table in so many columns of a terminal.

    Where the axes have no room side by side, one column holds them in words; a wide terminal shows
    intervals and the number of trained weights too.
    """
    titles = axis_titles(leaderboard.axes)
    axes = {titles[axis]: _axis_cells(leaderboard, axis) for axis in leaderboard.axes}
    left, right = _fixed_columns(leaderboard, wide=width >= _WIDE)
    if _width({**left, **axes, **right}) > width:
        axes = {"configuration": [row_label(leaderboard, row) for row in leaderboard.rows]}
        if _width({**left, **right}) + _IN_WORDS > width:
            left, right = _fixed_columns(leaderboard, wide=False)
        if all(row.status == Status.COMPLETED for row in leaderboard.rows):
            del left["status"]
    table = _table(f"{leaderboard.name}: {metric_label(leaderboard.metric)}, ranked on dev")
    for heading in left:
        table.add_column(heading, no_wrap=True)
    room = max(_LEAST_ROOM, width - _width({**left, **right}) + 1)
    for heading, wide in _fitted(axes, room).items():
        table.add_column(heading, overflow="fold", width=wide)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    for cells in zip(*left.values(), *axes.values(), *right.values(), strict=True):
        table.add_row(*cells)
    return table


Cells = dict[str, list[str]]


def _fixed_columns(leaderboard: Leaderboard, *, wide: bool) -> tuple[Cells, Cells]:
    """The columns before and after the axes, by their headings."""
    groups = {row.trial: group for group in leaderboard.groups for row in group.rows}
    metric, rows = leaderboard.metric, leaderboard.rows
    done = [row.completed for row in rows]
    left = {
        "rank": [_rank(groups.get(row.trial)) for row in rows],
        "trial": [row.folder.short for row in rows],
        "status": [str(row.status) for row in rows],
    }
    right = {
        "dev": [_number(row.dev.get(metric)) for row in rows],
        "test": [
            _number(row.test.get(metric), row.test_intervals.get(metric) if wide else None)
            for row in rows
        ],
    }
    if any(result and result.test_without_leaks for result in done):
        right["no leaks"] = [
            _number(result.test_without_leaks.get(metric)) if result else "" for result in done
        ]
    right["train s"] = [f"{result.timings.train:.0f}" if result else "" for result in done]
    if wide:
        right["trainable"] = [f"{r.trainable_parameters:,}" if r else "" for r in done]
    return left, right


def _axis_cells(leaderboard: Leaderboard, axis: str) -> list[str]:
    named = axis == next(iter(leaderboard.axes))  # the base model is named where axes begin
    values = [
        "base model" if row.is_baseline and named else row.params.get(axis)
        for row in leaderboard.rows
    ]
    return ["" if value is None else value_text(value) for value in values]


def _width(columns: Cells) -> int:
    """The columns of a terminal that a table takes, the space between its columns included."""
    widths = (max(map(cell_len, (title, *cells))) for title, cells in columns.items())
    return 1 + sum(_BESIDE_CELLS + width for width in widths)


def _rank(group: Group | None) -> str:
    if group is None:
        return ""
    same = group.rank_low == group.rank_high
    rank = str(group.rank) if same else f"{group.rank_low}–{group.rank_high}"
    return f"{rank} ★" if group.recommended else rank


def _short(trial: str) -> str:
    return TrialDir(Path(trial)).short


def _number(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return ""
    between = f" ({number(interval[0])} to {number(interval[1])})" if interval else ""
    return number(value) + between


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
