"""`embft compare`: two trials side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.data import new_console
from embft.cli.options import TEXT_OR_JSON, TRIALS_BELOW
from embft.cli.path_options import Given
from embft.errors import EmbftError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from embft.leaderboard.compare import Difference
    from embft.leaderboard.rows import Row
    from embft.leaderboard.two_trials import TwoTrials

_WITHIN = ("baseline", "recommended")


@click.command()
@click.argument("first", metavar="A", type=Given())
@click.argument("second", metavar="B", type=Given())
@click.option(
    "--pairs",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="Show so many test pairs on which the two disagree most.",
)
@TEXT_OR_JSON
@TRIALS_BELOW
def compare(first: str, second: str, pairs: int, form: str, results: Path) -> None:
    """Compare the trials A and B: settings, scores with paired intervals, costs, environment.

    Each is named by its short name, its name or its folder, in one sweep or in two that were scored
    on the same test pairs; `baseline` and `recommended` are those of the other's sweep.
    """
    from embft.leaderboard.two_trials import compare_trials

    found = compare_trials(*_rows(first, second, results), most_apart=pairs)
    if form == "json":
        click.echo(json.dumps(_content(found), indent=2))
    else:
        _print(new_console(), found)


def _rows(first: str, second: str, results: Path) -> tuple[Row, Row]:
    """The two trials as rows of their leaderboards. Raises EmbftError."""
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.lookup import find_row, find_trial

    if first in _WITHIN and second in _WITHIN:
        raise EmbftError(
            f"{first} and {second} of which sweep? Give one as RESULTS/SWEEP/{first}, such as "
            f"results/mine/{first}"
        )
    folders = [None if n in _WITHIN else find_trial(n, results) for n in (first, second)]
    known = next(folder for folder in folders if folder is not None)
    rows = []
    for name, folder in zip((first, second), folders, strict=True):
        leaderboard = build_leaderboard((folder or known).sweep.path)
        key = folder.key if folder else find_row(leaderboard, name).folder.key
        rows.append(next((row for row in leaderboard.rows if row.folder.key == key), None))
    one, two = (row or _dropped(f) for row, f in zip(rows, folders, strict=True))
    return one, two


def _dropped(folder: Any) -> Row:
    """A trial that its sweep's spec has no more."""
    from embft.leaderboard.build import lone_row

    return lone_row(folder)


def _print(console: Console, found: TwoTrials) -> None:
    from embft.cli.console import say

    for letter, row in zip("AB", (found.first, found.second), strict=True):
        name = row.folder.name.rpartition("-")[0]
        say(console, f"{letter}  {row.folder.short} {name} of {row.folder.sweep.path}", "bold", 3)
    for name, (one, two) in found.settings.items():
        say(console, f"   {name}: {_value(one)} → {_value(two)}", hang=5)
    if found.test:
        console.print(_table(f"Test, {found.pairs:,} pairs", found.test))
    if found.evaluators:
        console.print(_table("Test, evaluators", found.evaluators))
    if chosen := _objective(found):
        console.print(_table("Dev, the objective", chosen))
    for line in _sentences(found):
        say(console, line, hang=2)


def _objective(found: TwoTrials) -> list[Difference]:
    """The difference on dev by which A was to be chosen."""
    result = found.first.result
    return [each for each in found.dev if result and each.name == result.spec.objective.metric]


def _value(value: Any) -> str:
    from embft.spec.names import value_name

    return value_name(value)


def _table(title: str, found: Iterable[Difference]) -> Table:
    from rich import box
    from rich.table import Table

    from embft.leaderboard.labels import metric_label
    from embft.report import format as fmt

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE)
    table.add_column("metric", overflow="fold")
    for heading in ("A", "B", "A − B", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("better")
    for each in found:
        scores = (fmt.score(each.first), fmt.score(each.second), fmt.signed(each.difference))
        better = {1: "A", -1: "B", 0: "neither"}[each.better]
        interval = fmt.interval((each.low, each.high))
        table.add_row(metric_label(each.name), *scores, interval, better)
    return table


def _sentences(found: TwoTrials) -> Iterator[str]:
    """How to read the tables, costs, the environment, and the pairs that are apart."""
    from embft.leaderboard.labels import metric_label, number
    from embft.report import format as fmt

    yield (
        "better: the interval leaves out 0; neither: no significant difference. The intervals of "
        "one table's pair metrics hold together."
    )
    if found.plain:
        words = "; ".join(
            f"{metric_label(p.name)} {fmt.metric(p.name, p.first)} and "
            f"{fmt.metric(p.name, p.second)}"
            for p in found.plain
        )
        yield f"Without an interval: {words}"
    yield from _costs(found)
    for name, (one, two) in found.environment.items():
        yield f"Environment: {name}: A {one}, B {two}"
    if found.apart:
        yield "The test pairs on which the two disagree most:"
    for pair in found.apart:
        yield f"label {pair.label:g}, cosine A {number(pair.first)}, B {number(pair.second)}"
        yield f"  {pair.text_1}"
        yield f"  {pair.text_2}"


def _costs(found: TwoTrials) -> Iterator[str]:
    from embft.report import format as fmt

    one, two = found.first.completed, found.second.completed
    if one is None or two is None:
        return
    yield (
        f"Training: A {fmt.duration(one.timings.train)}, B {fmt.duration(two.timings.train)}; "
        f"trained weights: A {one.trainable_parameters:,}, B {two.trainable_parameters:,}; "
        f"saved: A {fmt.size(one.artifact_bytes)}, B {fmt.size(two.artifact_bytes)}"
    )


def _content(found: TwoTrials) -> dict[str, Any]:
    """The comparison for scripts; differences are A less B in the metric's own direction."""

    def trial(row: Row) -> dict[str, Any]:
        done = row.completed
        return {
            "trial": row.folder.name,
            "short": row.folder.short,
            "sweep": row.folder.sweep.path.name,
            "train_seconds": done.timings.train if done else None,
            "trainable_parameters": done.trainable_parameters if done else None,
            "artifact_bytes": done.artifact_bytes if done else None,
        }

    return {
        "a": trial(found.first),
        "b": trial(found.second),
        "settings": found.settings,
        "environment": found.environment,
        "pairs": found.pairs,
        "test": [asdict(each) for each in (*found.test, *found.evaluators)],
        "dev": [asdict(each) for each in found.dev],
        "without_interval": [asdict(each) for each in found.plain],
        "apart": [asdict(each) for each in found.apart],
    }
