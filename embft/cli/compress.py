"""`embft compress`: what smaller embeddings of a trial cost in score, and save in bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embft.cli.data import TRUST, new_console
from embft.cli.options import TEXT_OR_JSON, TRIALS_BELOW
from embft.cli.path_options import Given

if TYPE_CHECKING:
    from rich.table import Table

    from embft.results.folders import TrialDir
    from embft.results.serving import Loss, Variant
    from embft.shipping.compress import Compressed


@click.command()
@click.argument("trial", type=Given())
@click.option(
    "--dimensions",
    multiple=True,
    type=click.IntRange(1),
    help="Also cut to so many dimensions; may be repeated. [default: 256, 128, 64]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    help="The most that a smaller index may lose. [default: the sweep's objective.tolerance]",
)
@TEXT_OR_JSON
@TRIALS_BELOW
@TRUST
def compress(  # noqa: PLR0913, PLR0917 - a parameter for each option
    trial: str,
    dimensions: tuple[int, ...],
    tolerance: float | None,
    form: str,
    results: Path,
    trusted: bool,
) -> None:
    """Say what smaller embeddings of a TRIAL cost: fewer dimensions, float32, int8 or bits.

    Each is scored on the trial's dev and test pairs, with paired intervals that hold for all at
    once. Dev chooses the smallest index that is not worse than the tolerance. How many texts a
    second the model embeds on this machine, and how long one text waits, stands beside it.
    """
    from embft.cli.commands import quiet_libraries
    from embft.leaderboard.lookup import find_trial
    from embft.spec.serving import DIMENSIONS

    quiet_libraries()
    from embft.models.trained import find_trained
    from embft.shipping.compress import compress as run

    folder = find_trial(trial, results)
    found = find_trained(str(folder.path), trusted=trusted)
    objective = folder.read_input().spec.objective.metric
    allowed = _tolerance(folder) if tolerance is None else tolerance
    compressed = run(found, folder, objective, allowed, dimensions or DIMENSIONS)
    if form == "json":
        click.echo(json.dumps({"trial": folder.name, **asdict(compressed)}, indent=2))
        return
    from embft.cli.console import say

    console = new_console()
    console.print(_table(folder, compressed))
    for line in _sentences(compressed):
        say(console, line)


def _tolerance(folder: TrialDir) -> float:
    """The sweep's own, or what it is by default."""
    from embft.results.plan_record import read_plan
    from embft.spec import Objective

    usual = Objective().tolerance
    if not folder.sweep.plan_file.is_file():
        return usual
    return read_plan(folder.sweep).get("tolerance", usual)


def _table(folder: TrialDir, found: Compressed) -> Table:
    from rich import box
    from rich.table import Table

    from embft.leaderboard.labels import metric_label

    title = f"{folder.short}: {metric_label(found.metric)} lost against the whole embeddings"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("stored as", no_wrap=True)
    for heading in ("test", "lost on dev", "lost on test"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found.variants:
        style = "bold" if each is found.chosen else ""
        table.add_row(*_cells(each, chosen=each is found.chosen), style=style)
    return table


def _cells(each: Variant, *, chosen: bool) -> tuple[str, ...]:
    from embft.report import format as fmt

    mark = " ★" if chosen else " ·" if each.on_front else ""
    stored = f"{each.dimensions} {each.kind}{mark}"
    losses = (_lost(each.dev), _lost(each.test))
    return (fmt.size(each.bytes), stored, fmt.score(each.test.score), *losses)


def _lost(found: Loss) -> str:
    from embft.leaderboard.labels import number
    from embft.report import format as fmt

    if found.interval is None:
        return "undefined"
    return f"{fmt.score(found.loss)} ≤ {number(found.interval[1])}"


def _sentences(found: Compressed) -> Iterator[str]:
    from embft.leaderboard.labels import metric_label, number
    from embft.report import format as fmt

    chosen, whole = found.chosen, found.variants[0]
    name = f"{chosen.dimensions} dimensions, {chosen.kind}"
    if chosen is whole:
        yield (
            f"No smaller index is shown to lose at most {found.tolerance:g}: keep all dimensions "
            "in float32, or allow more with --tolerance"
        )
    else:
        low, high = chosen.test.interval or (chosen.test.loss, chosen.test.loss)
        yield (
            f"★ The smallest index that is not worse than {found.tolerance:g}, chosen on "
            f"{found.pairs['dev']:,} dev pairs: {name}, {fmt.size(chosen.bytes)} for a million "
            f"texts instead of {fmt.size(whole.bytes)}. On {found.pairs['test']:,} test pairs it "
            f"loses {number(chosen.test.loss)} ({number(low)} to {number(high)}) in "
            f"{metric_label(found.metric)}."
        )
    yield (
        "· no index is as small and better on dev. ≤: the most that is lost, with 95 % confidence "
        "for all lines at once. size: of a million vectors. rescored: the text that is searched "
        "for stays in float32."
    )
    speed = found.speed
    yield (
        f"The model on this machine: {speed.texts:.0f} texts/s in batches; one text "
        f"{1000 * speed.p50:.1f} ms at p50, {1000 * speed.p95:.1f} ms at p95."
    )
