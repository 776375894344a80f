"""`embft show`: everything that is known of one trial."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.data import new_console
from embft.cli.options import TRIALS_BELOW
from embft.cli.path_options import Given
from embft.errors import RecordError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from embft.leaderboard.rows import Group, Leaderboard, Row
    from embft.results.folders import TrialDir

_NAME_WIDTH = 20
_LOG_LINES = 12


@click.command()
@click.argument("trial", type=Given())
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "spec"]),
    default="text",
    show_default=True,
    help="spec: a spec file that runs this one trial from the current folder.",
)
@TRIALS_BELOW
def show(trial: str, form: str, results: Path) -> None:
    """Show everything that is known of a TRIAL: scores, costs, verification, environment, spec.

    TRIAL is its short name or more of its key, its name, or its folder.
    """
    from embft.leaderboard.lookup import find_trial

    folder = find_trial(trial, results)
    leaderboard = _leaderboard(folder)
    row = _row(folder, leaderboard)
    if form == "spec":
        click.echo(row.spec_yaml_in(None), nl=False)
    elif form == "json":
        click.echo(json.dumps(_content(row, leaderboard), indent=2))
    else:
        _print(new_console(), row, leaderboard)


def _leaderboard(folder: TrialDir) -> Leaderboard | None:
    """The leaderboard of the trial's sweep; None where its folder is by itself."""
    from embft.leaderboard.build import build_leaderboard

    return build_leaderboard(folder.sweep.path) if folder.sweep.plan_file.is_file() else None


def _row(folder: TrialDir, leaderboard: Leaderboard | None) -> Row:
    """The trial in its leaderboard, or by itself where an edited spec has dropped it."""
    from embft.leaderboard.build import lone_row

    rows = leaderboard.rows if leaderboard else ()
    own = next((row for row in rows if row.folder.key == folder.key), None)
    try:
        return own or lone_row(folder)
    except FileNotFoundError:
        raise RecordError(
            f"{folder.path}: no trial's record is here (no {folder.input_file.name})"
        ) from None


def _group(row: Row, leaderboard: Leaderboard | None) -> Group | None:
    groups = (*leaderboard.groups, *leaderboard.bases) if leaderboard else ()
    return next((group for group in groups if row in group.rows), None)


def _content(row: Row, leaderboard: Leaderboard | None) -> dict[str, Any]:
    """The trial for scripts; `result` is its record."""
    group = _group(row, leaderboard)
    return {
        "trial": row.folder.name,
        "short": row.folder.short,
        "sweep": row.folder.sweep.path.name,
        "folder": str(row.folder.path),
        "status": row.status,
        "rank": group.rank if group and not row.is_baseline else None,
        "recommended": bool(group and group.recommended),
        "params": {**row.params, **row.values},
        "model_kept": row.folder.model_folder.is_dir(),
        "result": row.result.model_dump(mode="json") if row.result else None,
        "spec": row.spec_yaml,
    }


def _print(console: Console, row: Row, leaderboard: Leaderboard | None) -> None:
    from embft.cli.console import say
    from embft.leaderboard.table import row_label
    from embft.report.trials import trial_metrics

    label = row_label(leaderboard, row) if leaderboard else row.folder.name.rpartition("-")[0]
    say(console, f"{row.folder.short}  {label}", "bold", 10)
    for name, value in _facts(row, leaderboard):
        say(console, f"  {name:<{_NAME_WIDTH}} {value}", hang=_NAME_WIDTH + 3)
    if metrics := trial_metrics(row):
        console.print()
        console.print(_metrics_table(metrics))
    for line in _notes(row):
        say(console, line)


def _facts(row: Row, leaderboard: Leaderboard | None) -> Iterator[tuple[str, str]]:
    """Names and values, a line each."""
    from embft.report.trials import provenance_facts, trial_facts

    yield "Sweep", str(row.folder.sweep.path)
    yield "Status", _status(row, leaderboard)
    for name, value in trial_facts(row):
        if name != "Short name":
            yield name, value
    if row.result is not None:
        yield "Base model", f"{row.result.spec.model.base} ({row.result.model_digest[:12]})"
        yield "Data", f"content {row.result.data_digest[:12]}"
        if row.result.provenance:
            yield from provenance_facts(row.result.provenance).items()


def _status(row: Row, leaderboard: Leaderboard | None) -> str:
    """`completed, rank 2 of 8`, with where it is while it runs."""
    from embft.cli.status import where
    from embft.leaderboard.table import rank_text
    from embft.planning.progress import trial_progress

    parts = [str(row.status)]
    group = _group(row, leaderboard)
    if group and leaderboard and not row.is_baseline:
        parts.append(f"rank {rank_text(group)} of {len(leaderboard.groups)}")
    if group and group.recommended:
        parts.append("recommended")
    if leaderboard is None or all(row is not other for other in leaderboard.rows):
        parts.append("no longer in its sweep's spec")
    if running := trial_progress(row.folder):
        parts.append(where(running))
    return ", ".join(parts)


def _metrics_table(metrics: Any) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for heading in ("test", "95 % interval", "dev"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in metrics:
        table.add_row(line.label, line.test, line.test_interval, line.dev)
    return table


def _notes(row: Row) -> Iterator[str]:
    """What is undefined, how the model was verified, why it failed, and what can be done now."""
    from embft.report.trials import verification_words
    from embft.results.records import Failed, Pruned

    result, done = row.result, row.completed
    for name, reason in done.undefined.items() if done else ():
        yield f"{name} is undefined: {reason}"
    verified, detail = verification_words(done)
    if verified:
        yield f"{verified}. {detail}"
    if isinstance(result, Pruned):
        yield f"Pruned: {result.reason}"
    if isinstance(result, Failed):
        yield f"Failed: {result.reason}: {result.message}"
        tail = result.log_tail.splitlines()[-_LOG_LINES:]
        yield from (f"  log: {line}" for line in tail)
        yield "`embft sweep SPEC --retry-failed` runs it again."
    if done and row.folder.model_folder.is_dir():
        sweep = row.folder.sweep.path
        yield f"Use it: embft export {sweep} {row.folder.short} --out my-model"
