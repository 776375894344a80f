"""`embft doctor`: what this machine has, whether a sweep can run here, and what to do where not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from embft.cli.data import new_console
from embft.cli.options import TABLE_OR_JSON
from embft.errors import EXIT_FAILED

if TYPE_CHECKING:
    from embft.cli.doctor_checks import Check

_MARKS = {"ok": ("ok", "green"), "warning": ("note", "yellow"), "problem": ("PROBLEM", "bold red")}


@click.command()
@TABLE_OR_JSON
@click.option("--offline", is_flag=True, help="Do not ask whether the model hub answers.")
def doctor(form: str, offline: bool) -> None:
    """Check this machine: versions, cores, memory, GPU, model hub, folders.

    Each finding says what to do. Exit status: 0 where a sweep on the CPU can run, 1 where not.
    """
    from embft.cli.doctor_checks import check_machine

    found = list(check_machine(ask_hub=not offline))
    broken = any(check.state == "problem" for check in found)
    if form == "json":
        click.echo(json.dumps([asdict(check) for check in found], indent=2))
    else:
        _print(found, broken=broken)
    if broken:
        sys.exit(EXIT_FAILED)


def _print(found: list[Check], *, broken: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for check in found:
        word, style = _MARKS[check.state]
        shown = Text(check.found)
        if check.advice:
            shown.append(f"\n{check.advice}", style="dim" if check.state == "ok" else "default")
        grid.add_row(Text(word, style=style), Text(check.name), shown)
    console = new_console()
    console.print(grid)
    if broken:
        console.print("No sweep can run here until each PROBLEM is solved.", style="bold red")
    else:
        console.print("A sweep can run here: embft examples, or embft init FILE on your own data.")
