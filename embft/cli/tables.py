"""How plans, leaderboards and audits look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embft.data.audit.findings import Audit
from embft.leaderboard.export import to_csv
from embft.leaderboard.labels import axis_title, metric_label, number, value_text
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.planning.estimate import SWEEP_SECONDS, Need, duration_text, free_disk, size_text
from embft.planning.plan import Plan, PlannedTrial
from embft.results.records import Status

if TYPE_CHECKING:
    from embft.execution.evaluate import Evaluation

_WIDE = 110  # columns from which on intervals fit beside the scores
_STYLES = {"problem": "bold red", "warning": "yellow", "info": "dim"}


def print_plan_line(console: Console, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
    """One line before a sweep: how much is done and what will run."""
    done = len(plan.trials) - len(pending)
    failed = sum(t.finished == Status.FAILED for t in plan.trials)
    failed -= sum(t.finished is not None for t in pending)  # to run again, as was asked
    line = Text(plan.spec.name, style="bold")
    line.append(f": {len(plan.trials)} trials with the baseline, ", style="not bold")
    line.append(f"{done} done, {len(pending)} to run, in {plan.folder.path}", style="not bold")
    console.print(line, soft_wrap=True)
    if failed:
        console.print(f"{failed} of those done have failed: --retry-failed runs them again")


def print_code(console: Console, plan: Plan) -> None:
    """Which code of the user's a sweep runs: a spec may come from somebody else."""
    for entry, files in plan.evaluators.items():
        if entry.is_users:
            found = (str(Path(entry.folder or ".", name)) for name in files.sources)
            text = f"Runs code: {', '.join(found) or 'installed'} (evaluator {entry.function})"
            console.print(Text(text), soft_wrap=True)


def print_need(console: Console, plan: Plan, need: Need, seconds: Mapping[str, float]) -> None:
    """What a plan's pending trials need. seconds: each one's, where measured."""
    free = size_text(free_disk(plan.folder.path))
    text = f"Disk: about {size_text(need.disk)}, {size_text(need.kept)} of it in the end"
    text += f" (artifacts.keep: {plan.spec.artifacts.keep}); {free} are free."
    if need.measured:
        text += f" Memory: about {size_text(need.memory)}."
    if seconds:
        wall = SWEEP_SECONDS + sum(seconds.values()) / need.at_once
        text += f" Time: about {duration_text(wall)}."
    console.print(Text(text), soft_wrap=True)


def plan_records(plan: Plan, seconds: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """A flat record for each trial of a plan. seconds: predicted, by key."""
    names = list(dict.fromkeys(name for trial in plan.trials for name in trial.params))
    return [
        {
            "trial": trial.folder.name,
            "status": trial.finished or Status.PENDING,
            "seed": trial.spec.seed,
            **{name: trial.params.get(name) for name in names},
            **({"seconds": _rounded(seconds.get(trial.key))} if seconds else {}),
        }
        for trial in plan.trials
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
        table = _table(title)
        for name in records[0] if records else ():
            table.add_column(name.rpartition(".")[2], overflow="fold")
        for record in records:
            cells = [_key(str(v)) if name == "trial" else v for name, v in record.items()]
            table.add_row(*("" if value is None else value_text(value) for value in cells))
        console.print(table)


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
    print_records(console, form, found.rows, title)
    if groups and form == "table":
        print_records(console, form, groups, "Test broken down")
    for name, reason in found.undefined.items():
        Console(stderr=True, highlight=False).print(Text(f"{name}: {reason}"), soft_wrap=True)


def print_leaderboard(console: Console, board: Leaderboard) -> None:
    """The ranked table, the answer, and what to beware of."""
    wide = console.width >= _WIDE
    table = _table(f"{board.name}: {metric_label(board.metric)}, ranked on dev")
    for heading in ("rank", "trial", "status", *(axis_title(axis) for axis in board.axes)):
        table.add_column(heading, no_wrap=heading in {"rank", "trial", "status"}, min_width=4)
    leaks = any(row.completed and row.completed.test_without_leaks for row in board.rows)
    more = (["no leaks"] if leaks else [], ["trainable"] if wide else [])
    for heading in ("dev", "test", *more[0], "train s", *more[1]):
        table.add_column(heading, justify="right", no_wrap=True)
    groups = {row.trial: group for group in board.groups for row in group.rows}
    for row in board.rows:
        table.add_row(*_cells(board, row, groups.get(row.trial), wide=wide, leaks=leaks))
    console.print(table)
    for sentence in board.verdict:
        console.print(Text(sentence), soft_wrap=True)
    for sentence in board.cautions:
        console.print(Text(f"Beware: {sentence}", style="yellow"), soft_wrap=True)
    for row in board.rows:
        if row.status == Status.FAILED and row.result is not None:
            failure = getattr(row.result, "message", "")
            console.print(Text(f"Failed: {row.trial}: {failure}", style="red"), soft_wrap=True)
    if (report := board.folder.report_file()).exists():
        console.print(Text(f"Report: {report}"), soft_wrap=True)


def print_audit(console: Console, audit: Audit, *, everything: bool = False) -> None:
    """The findings, gravest first, with what each does and what to do; infos only on demand."""
    sizes = ", ".join(f"{count:,} {name}" for name, count in audit.sizes.items())
    console.print(Text(f"Data audit of {sizes} pairs", style="bold"))
    shown_findings = [f for f in audit.findings if everything or f.severity != "info"]
    for finding in shown_findings:
        console.print()
        mark = Text(f"{finding.severity}: ", style=_STYLES[finding.severity])
        console.print(mark.append(finding.message, style="not bold not dim"), soft_wrap=True)
        console.print(Text(f"  effect: {finding.effect}"), soft_wrap=True)
        console.print(Text(f"  advice: {finding.advice}"), soft_wrap=True)
        for example in finding.examples[:2]:
            console.print(Text(f"  e.g. {json.dumps(example, ensure_ascii=False)}", style="dim"))
    if not shown_findings:
        console.print("Nothing to beware of was found.")
    hidden = len(audit.findings) - len(shown_findings)
    if hidden:
        console.print(Text(f"\n{hidden} more for information: --all shows them", style="dim"))


def _cells(
    board: Leaderboard, row: Row, group: Group | None, *, wide: bool, leaks: bool
) -> list[str]:
    rank = ""
    if group:
        same = group.rank_low == group.rank_high
        rank = str(group.rank) if same else f"{group.rank_low}–{group.rank_high}"
        rank += " ★" if group.recommended else ""
    result = row.completed
    return [
        rank,
        _key(row.trial) if wide else _key(row.trial)[:8],
        row.status,
        *(
            value_text(row.params.get(axis)) if row.params.get(axis) is not None else ""
            for axis in board.axes
        ),
        _number(row.dev.get(board.metric)),
        _number(
            row.test.get(board.metric),
            row.test_intervals.get(board.metric) if wide else None,
        ),
        *(
            [_number(result.test_without_leaks.get(board.metric)) if result else ""]
            if leaks
            else []
        ),
        f"{result.timings.train:.0f}" if result else "",
        *([f"{result.trainable_parameters:,}" if result else ""] if wide else []),
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _key(trial: str) -> str:
    return trial.rpartition("-")[2]


def _number(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return ""
    between = f" ({number(interval[0])} to {number(interval[1])})" if interval else ""
    return number(value) + between


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
