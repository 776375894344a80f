"""The commands that take a finished trial out of its sweep: export and merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from embft.cli.commands import quiet_libraries
from embft.cli.data import TRUST
from embft.cli.options import TRIALS_BELOW
from embft.cli.path_options import Given, Place
from embft.errors import EmbftError

if TYPE_CHECKING:
    from embft.leaderboard.rows import Leaderboard
    from embft.models.trained import Found
    from embft.results.folders import TrialDir
    from embft.shipping.export import Exported, Wanted
    from embft.shipping.formats import Format

_OUT = click.option(
    "--out",
    type=Place(folder=True),
    required=True,
    help="The folder to write; it must not exist.",
)


@click.command()
@click.argument("sweep", metavar="SWEEP|TRIAL", type=Given())
@click.argument("trial", required=False, type=Given())
@_OUT
@click.option("--adapter", is_flag=True, help="The adapter alone, not merged into its base.")
@click.option(
    "--base-name", help="With --adapter: the base model's name where the adapter will be loaded."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["onnx", "onnx-int8", "openvino", "openvino-int8"]),
    help="Add this format, compared with the model, scored and timed; may be repeated.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --format: how far embeddings of length 1 may lie apart. [default: 0.001; int8 0.25]",
)
@click.option("--push", metavar="REPO", help="Upload the folder to a model hub as OWNER/NAME.")
@click.option("--public", is_flag=True, help="With --push: a repository that everyone can see.")
@TRIALS_BELOW
@TRUST
def export(  # noqa: PLR0913, PLR0917 - a parameter for each option
    sweep: str,
    trial: str | None,
    out: Path,
    adapter: bool,
    base_name: str | None,
    formats: tuple[Format, ...],
    tolerance: float | None,
    push: str | None,
    public: bool,
    results: Path,
    trusted: bool,
) -> None:
    """Export a TRIAL's model: of a SWEEP's folder (results/NAME) the recommended one by default.

    A trial alone is named by its short name, its name or its folder, a trial after its sweep also
    by `baseline` or `recommended`.

    OUT is a folder that plain SentenceTransformer(OUT) loads on any machine, without a network and
    without embft: adapters are merged into their base. It is loaded in a fresh process and compared
    with the trial before the command succeeds. README.md in it is a model card.
    """
    if base_name and not adapter:
        raise EmbftError("--base-name is for --adapter: the whole model needs no base")
    if public and not push:
        raise EmbftError("--public is for --push: without it nothing is uploaded")
    if formats and adapter:
        raise EmbftError("--format needs the whole model: leave --adapter out")
    if tolerance and not formats:
        raise EmbftError("--tolerance is for --format: the exported model has a fixed one")
    if push:
        from embft.shipping.push import check_repository

        check_repository(push)
    leaderboard, folder = _chosen(sweep, trial, results)
    quiet_libraries()
    from embft.models.trained import find_trained
    from embft.shipping.export import Wanted
    from embft.shipping.formats import Trials
    from embft.shipping.served import tried_on

    found = find_trained(str(folder.path), trusted=trusted)
    trials = tried_on(found, folder, tolerance) if formats else Trials()
    _say(_export(found, out, leaderboard, folder, Wanted(adapter, base_name, formats, trials)))
    if push:
        from embft.shipping.push import push as upload

        click.echo(f"uploaded: {upload(out, push, private=not public)}")


def _chosen(sweep: str, trial: str | None, results: Path) -> tuple[Leaderboard, TrialDir]:
    """The trial that is meant, and its sweep's leaderboard. Raises EmbftError."""
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.lookup import RECOMMENDED, find_row, find_trial
    from embft.results.folders import SweepDir, TrialDir

    path = Path(sweep)
    if trial is None and not SweepDir(path).plan_file.is_file():
        is_folder = path.exists() and not TrialDir(path).input_file.is_file()
        folder = None if is_folder else find_trial(sweep, results)
        return build_leaderboard(folder.sweep.path if folder else path), folder or TrialDir(path)
    leaderboard = build_leaderboard(path)
    return leaderboard, find_row(leaderboard, trial or RECOMMENDED).folder


@click.command()
@click.argument("trial", type=Given())
@_OUT
@TRIALS_BELOW
@TRUST
def merge(trial: str, out: Path, results: Path, trusted: bool) -> None:
    """Merge a TRIAL's adapter into its base, and save the whole model to OUT.

    The short form of `embft export`. TRIAL is a trial's short name, its name, its folder, or the
    folder of an adapter that another tool has saved.
    """
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.lookup import looked_up

    folder = looked_up(trial, results)
    leaderboard = None
    if folder and folder.sweep.plan_file.exists():
        leaderboard = build_leaderboard(folder.sweep.path)
    quiet_libraries()
    from embft.models.trained import find_trained
    from embft.shipping.export import Wanted

    found = find_trained(str(folder.path) if folder else trial, trusted=trusted)
    if not found.is_adapter:
        raise EmbftError(
            f"{trial}: no adapter is here: give a trial that trained one; `embft export` also "
            "takes whole models"
        )
    _say(_export(found, out, leaderboard, folder, Wanted()))


def _export(
    found: Found,
    out: Path,
    leaderboard: Leaderboard | None,
    folder: TrialDir | None,
    wanted: Wanted,
) -> Exported:
    from embft.shipping.card import model_card
    from embft.shipping.export import export as run_export

    rows = leaderboard.rows if leaderboard else ()
    row = next((r for r in rows if folder and r.folder.key == folder.key), None)
    return run_export(found, out, lambda facts: model_card(facts, leaderboard, row), wanted)


def _say(done: Exported) -> None:
    from embft.system.text import printable

    click.echo(printable(f"{done.folder}: {done.facts.kind}, {done.facts.width} dimensions"))
    for sentence in done.checked.sentences():
        click.echo(f"verified: {sentence}")
    for sentence in done.facts.formats:
        click.echo(f"format: {sentence}")
    if done.facts.is_adapter and not done.facts.is_hub_name:
        click.echo(
            f"embft: the adapter names its base {done.facts.base!r}, which no hub knows: "
            "README.md says how to load it; --base-name gives it another name",
            err=True,
        )
