"""`embft prune`, `rm` and `cache`: what takes disk, and its removal after a preview."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.data import new_console
from embft.cli.options import SWEEPS_BELOW, TEXT_OR_JSON
from embft.cli.path_options import Given, Place
from embft.errors import EmbftError, RecordError

if TYPE_CHECKING:
    from embft.results.folders import SweepDir
    from embft.results.removal import Removal

_YES = click.option("--yes", is_flag=True, help="Remove what is listed without asking.")


@click.command()
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=Place(folder=True, reading=True))
@click.option(
    "--models",
    "keep",
    metavar="KEEP",
    help="Models of trials, but for KEEP: best, top:3 or none, by the objective on dev. The "
    "recommended trial's stays too, unless KEEP is none.",
)
@click.option("--dropped", is_flag=True, help="Trials that their sweep's spec has no more.")
@click.option("--failed", is_flag=True, help="Trials that have failed.")
@click.option(
    "--leftovers",
    is_flag=True,
    help="Checkpoints of finished trials, frozen data that no trial was scored on, torn writes.",
)
@_YES
@TEXT_OR_JSON
@SWEEPS_BELOW
def prune(  # noqa: PLR0913, PLR0917 - a parameter for each option
    folders: tuple[Path, ...],
    keep: str | None,
    dropped: bool,
    failed: bool,
    leftovers: bool,
    yes: bool,
    form: str,
    results: Path,
) -> None:
    """Remove by rule what sweeps have left: those below --results, or in FOLDERs (results/NAME).

    What a rule removes is listed with its bytes first; then it asks, and without a terminal it
    removes nothing but with --yes. Without a rule it lists what each one would free.
    """
    from embft.results.folders import SweepDir, sweeps_below

    sweeps = [SweepDir(folder) for folder in folders] or sweeps_below(results)
    if not (keep or dropped or failed or leftovers):
        _print_rules(sweeps, form)
        return
    chosen = {"dropped": dropped, "failed": failed, "leftovers": leftovers}
    rules = [_rules()[name] for name, wanted in chosen.items() if wanted]
    if keep is not None:
        rules.append(_models_rule(keep))
    found = [each for sweep in sweeps for rule in rules for each in rule(sweep)]
    _remove(list({each.path: each for each in found}.values()), sweeps, form, yes=yes)


Rule = Callable[["SweepDir"], Iterable["Removal"]]


def _rules() -> dict[str, Rule]:
    from embft.results import removal

    return {
        "dropped": removal.dropped,
        "failed": removal.failed,
        "leftovers": removal.leftovers,
    }


def _models_rule(keep: str) -> Rule:
    """The rule for models. Raises EmbftError for another word than `artifacts.keep` takes."""
    from pydantic import ValidationError

    from embft.results.removal import models
    from embft.spec.resources import Artifacts

    try:
        Artifacts(keep=keep)
    except ValidationError as error:
        reason = error.errors()[0]["ctx"]["error"]
        raise EmbftError(f"--models {reason}") from None
    return lambda sweep: models(sweep, keep, () if keep == "none" else _recommended(sweep))


def _recommended(sweep: SweepDir) -> set[str]:
    """The keys of the recommended configuration's trials."""
    from embft.leaderboard.build import build_leaderboard

    chosen = build_leaderboard(sweep.path).recommended
    return {row.folder.key for row in chosen.rows} if chosen else set()


def _print_rules(sweeps: Sequence[SweepDir], form: str) -> None:
    """What each rule would free."""
    from embft.cli.console import say

    rules = {"--models best": _models_rule("best")} | {f"--{k}": v for k, v in _rules().items()}
    found = {
        name: [each for sweep in sweeps for each in rule(sweep)] for name, rule in rules.items()
    }
    if form == "json":
        content = {name: [_content(each) for each in removals] for name, removals in found.items()}
        click.echo(json.dumps(content, indent=2))
        return
    console = new_console()
    for name, removals in found.items():
        say(console, f"{name:<16} {_total(removals)}", hang=17)
    say(console, "Give one of these, or several, to see what they remove; nothing was removed.")


def _total(found: Sequence[Removal]) -> str:
    from embft.report.format import size

    things = "thing" if len(found) == 1 else "things"
    return f"{len(found)} {things}, {size(sum(each.size for each in found))}"


def _content(each: Removal) -> dict[str, Any]:
    return {"path": str(each.path), "what": each.what, "bytes": each.size}


def _remove(found: Sequence[Removal], sweeps: Iterable[SweepDir], form: str, *, yes: bool) -> None:
    """Show the list, ask, and remove. Raises EmbftError where a sweep runs."""
    from embft.cli.console import say
    from embft.report.format import size

    if form == "json":
        if yes:
            _remove_all(found, sweeps)
        click.echo(json.dumps({"removed": yes, "list": list(map(_content, found))}, indent=2))
        return
    console = new_console()
    for each in found:
        say(console, f"{size(each.size):>8}  {each.what}", hang=10)
    say(console, f"{_total(found)} to remove")
    if found and (yes or _agreed()):
        _remove_all(found, sweeps)
        say(console, f"Removed: {_total(found)}")
    elif found:
        say(console, "Nothing was removed: --yes removes what is listed.")


def _remove_all(found: Iterable[Removal], sweeps: Iterable[SweepDir]) -> None:
    with ExitStack() as held:
        for sweep in sweeps:
            if sweep.plan_file.is_file():
                held.enter_context(sweep.lock())
        for each in found:
            each.remove()


def _agreed() -> bool:
    """Whether a person at a terminal says so."""
    return sys.stdin.isatty() and click.confirm("Remove them?")


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Given())
@_YES
@TEXT_OR_JSON
@SWEEPS_BELOW
def rm(names: tuple[str, ...], yes: bool, form: str, results: Path) -> None:
    """Remove trials (by short name, name or folder) or whole sweeps (by folder, results/NAME).

    What goes is listed with its bytes first; then it asks, and without a terminal it removes
    nothing but with --yes. A trial that the spec still has is trained again by the next sweep.
    """
    found = [_named(name, results) for name in names]
    removals = list({each.path: each for each, _ in found}.values())
    sweeps = list({sweep.path: sweep for _, sweep in found}.values())
    _remove(removals, sweeps, form, yes=yes)


def _named(name: str, results: Path) -> tuple[Removal, SweepDir]:
    """What a name leads to, and the sweep that must not run at the same time."""
    from embft.leaderboard.lookup import find_trial
    from embft.results.folders import SweepDir
    from embft.results.removal import trial, whole

    sweep = SweepDir(Path(name))
    if sweep.plan_file.is_file() or sweep.trials_folder.is_dir():
        return whole(sweep), sweep
    folder = find_trial(name, results)
    return trial(folder, _standing(folder)), folder.sweep


def _standing(folder: Any) -> str:
    """What is lost with a trial."""
    from embft.results.plan_record import read_plan

    try:
        result = folder.result()
        planned = folder.name in {entry["folder"] for entry in read_plan(folder.sweep)["trials"]}
    except RecordError:
        return "whose records are damaged"
    status = result.status if result else "unfinished"
    return f"{status}; the next sweep runs it again" if planned else f"{status}, not in the spec"


@click.command()
@click.option(
    "--clear", "names", multiple=True, metavar="NAME", help="Remove this one; repeatable."
)
@_YES
@TEXT_OR_JSON
@SWEEPS_BELOW
def cache(names: tuple[str, ...], yes: bool, form: str, results: Path) -> None:
    """List what embft keeps to save time: where, how large, and what clearing it costs.

    What is cleared is made again when it is needed; no result changes.
    """
    from embft.cli.console import say
    from embft.errors import nearest
    from embft.results.folders import sweeps_below

    sweeps = sweeps_below(results)
    found = _caches(sweeps)
    for name in names:
        if name not in found:
            raise EmbftError(f"--clear {name}: {nearest(name, found)}")
    if names:
        chosen = [each for name in names for each in found[name][1]]
        _remove(chosen, sweeps if "sweeps" in names else (), form, yes=yes)
    elif form == "json":
        content = {name: [_content(each) for each in parts] for name, (_, parts) in found.items()}
        click.echo(json.dumps(content, indent=2))
    else:
        for name, (what, parts) in found.items():
            say(new_console(), f"{name:<8} {_total(parts)}: {what}", hang=9)


def _caches(sweeps: Sequence[SweepDir]) -> dict[str, tuple[str, list[Removal]]]:
    """Name -> what it is for, and its parts."""
    from embft.results.removal import shared

    return {
        "loops": (
            "compiled loops, beside the package; a minute at the next training",
            list(_compiled()),
        ),
        "models": (
            "built-in tiny base models; seconds at the next use",
            list(_tiny_models()),
        ),
        "sweeps": (
            "tokens and checkpoints that trials of an unfinished sweep share",
            [each for sweep in sweeps for each in shared(sweep)],
        ),
    }


def _compiled() -> Iterator[Removal]:
    import embft
    from embft.results.removal import Removal, size_of

    package = Path(embft.__file__).parent
    for path in sorted((*package.rglob("*.nbi"), *package.rglob("*.nbc"))):
        yield Removal(path, f"compiled: {path.name.partition('-')[0]}", size_of(path))


def _tiny_models() -> Iterator[Removal]:
    from embft.models.tiny_decoder import cache_folder
    from embft.results.removal import Removal, size_of

    folder = cache_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield Removal(path, f"built-in model {path.name}", size_of(path))
