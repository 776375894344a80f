"""`embft diff`: what an edited spec changes of its sweep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.data import TRUST, new_console
from embft.cli.options import TEXT_OR_JSON
from embft.cli.path_options import Place
from embft.cli.planned import planned

if TYPE_CHECKING:
    from embft.planning.changes import Added, Changes
    from embft.planning.plan import Plan


@click.command()
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--results",
    type=Place(folder=True, reading=True),
    default=Path("results"),
    show_default=True,
    help="Folder for what sweeps write.",
)
@TEXT_OR_JSON
@TRUST
def diff(spec: Path, results: Path, form: str, trusted: bool) -> None:
    """Say what an edited SPEC keeps, adds and drops of its sweep, and which field is the reason.

    Compares with the sweep as it last ran, results/NAME. Runs and removes nothing.
    """
    from embft.planning.changes import changes

    plan = planned(spec, results, trusted)
    found = changes(plan)
    if form == "json":
        click.echo(json.dumps(_content(found), indent=2))
        return
    from embft.cli.console import say

    console = new_console()
    for line in _lines(plan, found):
        say(console, line, hang=11)


def _lines(plan: Plan, found: Changes) -> Iterator[str]:
    if not plan.folder.plan_file.exists():
        yield f"{plan.spec.name}: not run yet in {plan.folder.path.parent}: all is new"
    yield (
        f"{plan.spec.name}: {len(found.kept)} trials kept, {len(found.added)} added, "
        f"{len(found.dropped)} dropped"
    )
    yield from _reasons(found)
    yield from map(_added_line, found.added)
    for old in found.dropped:
        yield f"- {old.folder.short} {_readable(old.folder.name)}: {old.status or 'pending'}"
    for trial in found.kept:
        status = trial.finished or "pending"
        yield f"  {trial.folder.short} {_readable(trial.folder.name)}: {status}"
    if any(old.status for old in found.dropped):
        yield "What is dropped stays on disk until `embft prune --dropped` removes it."
    for each in found.without_effect:
        yield f"Makes no other trial: {each}"


def _readable(name: str) -> str:
    return name.rpartition("-")[0]


def _reasons(found: Changes) -> Iterator[str]:
    """Each reason once, with how many trials it concerns."""
    for reason, count in Counter(why for each in found.added for why in each.why).items():
        yield f"Because of {reason} ({count} {'trial' if count == 1 else 'trials'})"


def _added_line(added: Added) -> str:
    trial = added.trial
    line = f"+ {trial.folder.short} {_readable(trial.folder.name)}"
    if added.elsewhere:
        return f"{line}: taken over from {added.elsewhere}, which has finished it"
    if trial.trained and not trial.finished:
        return f"{line}: scored again, not trained (the training of {trial.trained.folder.short})"
    if trial.before and not trial.finished:
        return f"{line}: trained again, the model of {trial.before.folder.short} was not kept"
    if trial.finished:
        return f"{line}: {trial.finished} before, its record is still here"
    return line if added.old is None else f"{line}: was {added.old.folder.short}"


def _content(found: Changes) -> dict[str, Any]:
    return {
        "kept": [
            {"trial": t.folder.name, "short": t.folder.short, "status": t.finished or "pending"}
            for t in found.kept
        ],
        "added": [
            {
                "trial": each.trial.folder.name,
                "short": each.trial.folder.short,
                "instead_of": each.old.folder.name if each.old else None,
                "why": list(each.why),
                "status": each.trial.finished or ("completed" if each.elsewhere else "pending"),
                "taken_over_from": each.elsewhere,
                "scored_again": each.trial.trained is not None and not each.elsewhere,
            }
            for each in found.added
        ],
        "dropped": [
            {
                "trial": old.folder.name,
                "short": old.folder.short,
                "status": old.status or "pending",
            }
            for old in found.dropped
        ],
        "without_effect": list(found.without_effect),
    }
