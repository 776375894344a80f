"""The command line: parse, call, print. Everything heavy is imported where it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from embft import __version__
from embft.errors import EmbftError

if TYPE_CHECKING:
    from embft.leaderboard.rows import Leaderboard
    from embft.plan import Plan

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130

_SPEC = click.argument("spec", type=click.Path(path_type=Path, dir_okay=False))
_RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder for what sweeps write.",
)
_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
)


class _Commands(click.Group):
    """Prints what the user can mend without a traceback, and lists commands as they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except EmbftError as error:
            click.echo(f"embft: {error}", err=True)
            sys.exit(EXIT_INPUT)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="embft")
def main() -> None:
    r"""Sweeps for fine-tuning embedding models: one YAML file in, a proved comparison out.

    \b
    embft sweep sweeps/quickstart.yaml     run every trial, write the report
    embft sweep sweeps/quickstart.yaml     again, to carry on after an interruption
    embft leaderboard results/quickstart   the ranked table
    """


@main.command()
@_SPEC
@_RESULTS
@click.option("--address", help="Run on the Ray cluster at this address instead of this machine.")
@click.option("--retry-failed", is_flag=True, help="Run trials again whose record says failed.")
def sweep(spec: Path, results: Path, address: str | None, retry_failed: bool) -> None:
    """Run the trials of SPEC that have no record yet, then write leaderboard and report.

    Interrupted at any moment, the same command carries on: a finished trial is never run twice.
    Exit status: 0 all trials completed, 1 some failed, 2 the input is at fault, 130 interrupted.
    """
    from rich.console import Console

    from embft.lock import sweep_lock

    console = Console(highlight=False)
    plan = _plan(spec, results)
    with sweep_lock(plan.folder):
        _print_plan(console, plan, retry_failed)
        interrupted = _run(console, plan, address, retry_failed)
    board = _write_outputs(plan.folder)
    _print_outcome(console, board)
    if interrupted:
        _end_interrupted(console, f"Interrupted. To carry on: embft sweep {spec}")
    if any(row.status != "completed" for row in board.rows):
        sys.exit(EXIT_FAILED)


def _run(console: Any, plan: Plan, address: str | None, retry_failed: bool) -> bool:
    """Run what is pending. Returns whether it was interrupted."""
    if not plan.pending(retry_failed=retry_failed):
        return False
    from embft import ray_settings
    from embft.plan import prepare

    ray_settings.configure(address)
    from embft.sweep import Interrupted, ray_cluster, run_trials
    from embft.view import SweepView

    resources = plan.spec.resources
    try:
        with ray_cluster(resources.concurrent_trials, address) as cluster:
            trials = prepare(plan, retry_failed=retry_failed, threads=cluster.cpus_per_trial)
            done = len(plan.trials) - len(trials)
            with SweepView(trials, done, console, lambda: _write_quietly(plan.folder)):
                lost = run_trials(trials, cluster, resources.concurrent_trials, resources.memory)
            for message in lost:
                click.echo(f"embft: a trial was lost and will run again: {message}", err=True)
    except Interrupted:
        return True
    return False


def _end_interrupted(console: Any, message: str) -> NoReturn:
    """End at once: Ray's threads would wait for processes that are gone."""
    console.print(message, style="yellow", soft_wrap=True)
    sys.stdout.flush()
    os._exit(EXIT_INTERRUPTED)


@main.command()
@_SPEC
@_RESULTS
@_FORMAT
def plan(spec: Path, results: Path, form: str) -> None:
    """Show the trials of SPEC, which are done and which are pending. Runs nothing."""
    made = _plan(spec, results)
    _print_records(form, _plan_records(made), title=f"{made.spec.name}: {len(made.trials)} trials")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--open", "open_", is_flag=True, help="Open the report in a browser.")
def report(folder: Path, open_: bool) -> None:
    """Write leaderboard and report of a sweep's FOLDER (results/NAME) again."""
    board = _write_outputs(folder)
    path = (board.folder / "report.html").resolve()
    click.echo(path)
    if open_:
        click.launch(path.as_uri())


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@_FORMAT
def leaderboard(folder: Path, form: str) -> None:
    """Print the leaderboard of a sweep's FOLDER (results/NAME)."""
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.export import to_csv, to_json, to_records

    board = build_leaderboard(folder)
    if form == "json":
        click.echo(to_json(board))
    elif form == "csv":
        click.echo(to_csv(to_records(board)), nl=False)
    else:
        from rich.console import Console

        _print_outcome(Console(highlight=False), board)


@main.group()
def data() -> None:
    """Make and inspect data."""


@data.command()
@click.argument("name", type=click.Choice(["dating"]))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def generate(name: str, out: Path) -> None:
    """Write a built-in dataset as OUT/train.jsonl, dev.jsonl and test.jsonl."""
    from embft.data.dating import generate as generate_dating
    from embft.data.pairs import SPLITS, write_jsonl

    splits = generate_dating()
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        path = out / f"{split}.jsonl"
        write_jsonl(splits[split], path)
        click.echo(f"{path}: {len(splits[split]):,} pairs of {name}")


def _plan(spec: Path, results: Path) -> Plan:
    from embft.plan import make_plan
    from embft.spec import load_spec

    return make_plan(load_spec(spec), results)


def _plan_records(made: Plan) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for trial in made.trials for name in trial.params))
    return [
        {
            "trial": trial.folder.name,
            "status": trial.finished.status if trial.finished else "pending",
            "seed": trial.spec.seed,
            **{name: trial.params.get(name) for name in names},
        }
        for trial in made.trials
    ]


def _print_plan(console: Any, made: Plan, retry_failed: bool) -> None:
    pending = made.pending(retry_failed=retry_failed)
    done = len(made.trials) - len(pending)
    failed = sum(t.finished is not None and t.finished.status == "failed" for t in made.trials)
    console.print(
        f"[bold]{made.spec.name}[/bold]: {len(made.trials)} trials with the baseline,", end=" "
    )
    console.print(f"{done} done, {len(pending)} to run, in {made.folder}")
    if failed and not retry_failed:
        console.print(f"{failed} of those done have failed: --retry-failed runs them again")


def _print_outcome(console: Any, board: Leaderboard) -> None:
    from embft.leaderboard.verdict import shown

    table = _table(f"{board.name}: by dev {board.metric}", [])
    for heading in ("rank", "trial", "status", *(a.rpartition(".")[2] for a in board.axes)):
        table.add_column(heading, overflow="fold")
    for heading in (f"dev {board.metric}", f"test {board.metric}", "train s", "trainable"):
        table.add_column(heading, justify="right", no_wrap=True)
    ranks = {row.trial: group for group in board.groups for row in group.rows}
    for row in board.rows:
        group = ranks.get(row.trial)
        table.add_row(*_outcome_cells(board, row, group, shown))
    console.print(table)
    for sentence in board.verdict:
        console.print(sentence, markup=False, soft_wrap=True)
    for sentence in board.cautions:
        console.print(f"Beware: {sentence}", markup=False, style="yellow", soft_wrap=True)
    if (board.folder / "report.html").exists():
        console.print(f"Report: {board.folder / 'report.html'}", markup=False, soft_wrap=True)


def _outcome_cells(
    board: Leaderboard, row: Any, group: Any, shown: Callable[[Any], str]
) -> list[str]:
    rank = ""
    if group:
        same = group.rank_low == group.rank_high
        rank = str(group.rank) if same else f"{group.rank_low}–{group.rank_high}"
        rank += " ★" if group.recommended else ""
    result = row.completed
    return [
        rank,
        row.trial.rpartition("-")[2],
        row.status,
        *("" if row.params.get(axis) is None else shown(row.params[axis]) for axis in board.axes),
        _number(row.dev.get(board.metric)),
        _number(row.test.get(board.metric), row.test_intervals.get(board.metric)),
        f"{result.timings.train:.0f}" if result else "",
        f"{result.trainable_parameters:,}" if result else "",
    ]


def _number(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" + (f" ({interval[0]:.3f}–{interval[1]:.3f})" if interval else "")


def _print_records(form: str, records: list[dict[str, Any]], title: str) -> None:
    import json

    from embft.leaderboard.export import to_csv
    from embft.leaderboard.verdict import shown

    if form == "json":
        click.echo(json.dumps(records, indent=2))
    elif form == "csv":
        click.echo(to_csv(records), nl=False)
    else:
        from rich.console import Console

        headings = [name.rpartition(".")[2] for name in records[0]] if records else []
        table = _table(title, headings)
        for record in records:
            short = {**record, "trial": record["trial"].rpartition("-")[2]}
            table.add_row(*("" if value is None else shown(value) for value in short.values()))
        Console(highlight=False).print(table)


def _table(title: str, headings: list[str]) -> Any:
    from rich import box
    from rich.table import Table

    return Table(*headings, title=title, box=box.SIMPLE, title_justify="left", title_style="bold")


def _write_outputs(folder: Path) -> Leaderboard:
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.export import write_tables
    from embft.report import write_report

    board = build_leaderboard(folder)
    write_tables(board)
    write_report(board, board.folder / "report.html")
    return board


def _write_quietly(folder: Path) -> None:
    """Between trials a report that cannot be written must not end the sweep; at its end it may."""
    import logging

    try:
        _write_outputs(folder)
    except Exception:
        logging.getLogger("embft").warning("the report could not be written yet", exc_info=True)
