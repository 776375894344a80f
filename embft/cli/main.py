"""The command line: parse, call, print. Everything heavy is imported where it is used."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft import __version__
from embft.cli.commands import Commands
from embft.cli.data import (
    COLUMNS,
    LABEL_RANGE,
    TRUST,
    check_breakdown,
    data,
    given_spec,
    given_splits,
    new_console,
)
from embft.cli.options import TRIALS_BELOW
from embft.cli.path_options import Given, Place
from embft.cli.planned import measured, planned
from embft.errors import EmbftError

if TYPE_CHECKING:
    from embft.spec.sides import EncodingPrecision

_SPEC = click.argument("spec", type=click.Path(path_type=Path, dir_okay=False))
_SPECS = click.argument(
    "specs",
    metavar="SPEC...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
)
_RESULTS_OPTIONS: dict[str, Any] = {
    "default": Path("results"),
    "show_default": True,
    "help": "Folder for what sweeps write.",
}
_RESULTS = click.option("--results", type=Place(folder=True), **_RESULTS_OPTIONS)
_PLANNED = click.option("--results", type=Place(folder=True, reading=True), **_RESULTS_OPTIONS)
_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
)
_FOLDERS = click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
)
_MAPS = click.option(
    "--maps",
    is_flag=True,
    help="Map the test pairs (UMAP) of the models shown before and after, about 10 s each.",
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="embft")
def main() -> None:
    r"""Sweeps for fine-tuning embedding models: one YAML file in, a verified comparison out.

    \b
    embft sweep sweeps/quickstart.yaml   run every trial, write the report
    embft sweep sweeps/quickstart.yaml   again, to carry on after an interruption
    embft leaderboard results/quickstart  the ranked table
    """


main.add_later(
    "init",
    "Write a commented spec that runs on your FILEs: train, and if you have them dev and test.",
)


@main.command()
@_SPECS
@_RESULTS
@click.option("--address", help="Run on the Ray cluster at this address instead of this machine.")
@click.option("--retry-failed", is_flag=True, help="Run trials again whose record says failed.")
@click.option("--dry-run", is_flag=True, help="Plan every SPEC, and run nothing.")
@click.option(
    "--tracker",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Report to this tracker as trials go on: jsonl (events.jsonl in the sweep's folder), or "
    "module:Class of your own; may be repeated.",
)
@_MAPS
@TRUST
def sweep(specs: tuple[Path, ...], dry_run: bool, **options: Any) -> None:
    """Run the trials of each SPEC that have no record yet, then write leaderboard and report.

    Several run one after another, on one Ray; all are planned before the first begins. Interrupted
    at any moment, the same command carries on: a finished trial is never run twice. Exit status: 0
    all trials completed, 1 some failed, 2 the input is at fault, 130 interrupted.
    """
    from embft.execution.warming import warm_process
    from embft.planning.capacity import may_have_gpu

    here = not dry_run and options["address"] is None and not may_have_gpu("auto")
    with warm_process(wanted=here):  # which takes longer than all that comes before a trial
        from embft.cli.sweeps import Options, dry_run_of, run_queue

        given = Options(**options)
        if dry_run:
            dry_run_of(new_console(), specs, given)
        else:
            sys.exit(run_queue(new_console(), specs, given))


@main.command()
@_SPEC
@_PLANNED
@_FORMAT
@click.option(
    "--measure",
    "measuring",
    is_flag=True,
    help="Run a few steps of each kind of trial, and predict time, memory and disk of the sweep.",
)
@TRUST
def plan(spec: Path, results: Path, form: str, measuring: bool, trusted: bool) -> None:
    """Show the trials of SPEC, which are done and which are pending, and what they need."""
    from embft.cli.console import say
    from embft.cli.plan_text import (
        counted,
        plan_records,
        print_code,
        print_more_seeds,
        print_need,
        print_notes,
        print_retention,
        print_search,
        print_trainings,
    )
    from embft.cli.power import known_power
    from embft.cli.tables import print_records
    from embft.execution.measure import known_need
    from embft.planning.estimate import check_fits
    from embft.planning.prefixes import share_prefixes
    from embft.planning.take_over import finished_elsewhere
    from embft.results.retention import Retention

    made = planned(spec, results, trusted, reading=not measuring)
    seconds = measured(made) if measuring else {}
    elsewhere = finished_elsewhere(made)
    title = f"{made.spec.name}: {counted(made.trials)}"
    console = new_console()
    print_records(console, form, plan_records(made, seconds, elsewhere), title)
    left = [trial for trial in made.pending() if trial.key not in elsewhere]
    needed = (*share_prefixes(left), *made.expected)
    need = known_need(made, needed)
    if form == "table":
        print_code(console, made)
        print_notes(console, made)
        if elsewhere:
            say(console, f"Completed in other sweeps, and taken over: {len(elsewhere)}.")
        print_trainings(console, left)
        print_search(console, made)
        print_more_seeds(console, made)
        print_need(console, made, need, seconds)
        finished = [trial.folder for trial in made.trials if trial.finished is not None]
        beyond = Retention(made.spec.artifacts, made.spec.objective, finished).beyond
        print_retention(console, made, beyond, running=bool(made.pending()))
        for line in known_power(made):
            say(console, line, hang=2)
    if needed:
        check_fits(made, need)


@main.command()
@_FOLDERS
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Begin with these two trials side by side: names, keys, `baseline`, `recommended`.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md"]),
    default="html",
    show_default=True,
    help="A page, or Markdown for a pull request (printed unless --out names a file).",
)
@click.option(
    "--out",
    type=Place(folder=False),
    help="The file to write. [default: FOLDER/report.html; of several sweeps A+B.html beside them]",
)
@click.option(
    "--charts",
    type=Place(folder=True),
    help="Also write each chart as a file of its own into this folder.",
)
@click.option(
    "--charts-format", type=click.Choice(["svg", "png"]), default="svg", show_default=True
)
@_MAPS
@click.option("--open", "open_", is_flag=True, help="Open the report in a browser.")
def report(folders: tuple[Path, ...], maps: bool, open_: bool, **wanted: Any) -> None:
    """Write leaderboard and report of a sweep's FOLDER (results/NAME) again.

    Several folders make one report, where their trials were scored on the same pairs.
    """
    from embft.report.drawer import drawing_beside

    with drawing_beside() if wanted["form"] == "html" else nullcontext():
        from embft.cli.sweeps import write_lead_maps
        from embft.leaderboard.build import build_leaderboard
        from embft.report.output import Wanted, write_wanted
        from embft.system.text import printable

        leaderboard = build_leaderboard(*folders)
        if maps:
            write_lead_maps(leaderboard, wanted["compare"] or ())
        path, lines = write_wanted(leaderboard, folders, Wanted(**wanted))
    click.echo(printable("\n".join(lines)), nl=path is not None)
    if open_ and path:
        click.launch(path.as_uri())


@main.command()
@_FOLDERS
@_FORMAT
def leaderboard(folders: tuple[Path, ...], form: str) -> None:
    """Print the leaderboard of a sweep's FOLDER (results/NAME), or of several together."""
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.export import to_csv, to_json, to_records

    leaderboard = build_leaderboard(*folders)
    if form == "json":
        click.echo(to_json(leaderboard))
    elif form == "csv":
        click.echo(to_csv(to_records(leaderboard)), nl=False)
    else:
        from embft.cli.tables import print_leaderboard

        print_leaderboard(new_console(), leaderboard)


main.add_later(
    "status",
    "Say how far every sweep below --results has come, or those in FOLDERs (results/NAME).",
)
main.add_later(
    "watch",
    "Watch a running sweep, FOLDER (results/NAME) or the only one below --results, until it ends.",
    module="status",
)
main.add_later(
    "show",
    "Show everything that is known of a TRIAL: scores, costs, verification, environment, spec.",
)
main.add_later(
    "compare",
    "Compare the trials A and B: settings, scores with paired intervals, costs, environment.",
)
main.add_later(
    "diff",
    "Say what an edited SPEC keeps, adds and drops of its sweep, and which field is the reason.",
)
main.add_later(
    "power",
    "Say what difference the dev and test of SPEC can show, and what a smaller one would need.",
)
main.add_command(data)


@main.command()
@click.argument("model", type=Given())
@click.option(
    "--data",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A spec; or the file to score; or DEV, which sets the threshold, and TEST, each with this "
    "option.",
)
@click.option(
    "--evaluator",
    "evaluators",
    multiple=True,
    help="As in a spec: clusters, collapse, probe, retrieval, module:function, or for instance "
    "'{clustering: {data: FILE, text: COLUMN, label: COLUMN}}'; may be repeated. A spec's own "
    "evaluators are run too.",
)
@COLUMNS
@LABEL_RANGE
@click.option("--by", multiple=True, help="Break test down by this column; may be repeated.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Number format of products while texts are encoded. With bf16 float32's scores stand "
    "beside, with the interval of the difference.",
)
@_FORMAT
@TRIALS_BELOW
@TRUST
def evaluate(  # noqa: PLR0913, PLR0917 - a parameter for each option
    model: str,
    sources: tuple[Path, ...],
    evaluators: tuple[str, ...],
    columns: tuple[str, str, str],
    label_range: tuple[float, float] | None,
    by: tuple[str, ...],
    precision: EncodingPrecision,
    form: str,
    results: Path,
    trusted: bool,
) -> None:
    """Score MODEL (a folder, a hub name, or a trial) without training it.

    A trial is named by its short name, its name or its folder.
    """
    if not sources and not evaluators:
        raise EmbftError("nothing to score on: give --data, --evaluator, or both")
    from embft.execution.lighter_imports import import_sentence_transformers

    import_sentence_transformers()  # before what imports it as it comes
    from embft.cli.progress import encoding_shown
    from embft.cli.tables import print_evaluation
    from embft.encoding.precision import encoding_in
    from embft.execution.evaluate import evaluate_model, read_evaluator
    from embft.execution.precision_effect import beside
    from embft.leaderboard.lookup import looked_up

    spec = given_spec(sources)
    entries = [*(spec.evaluators if spec else ()), *map(read_evaluator, evaluators)]
    splits = given_splits(sources, label_range, columns, by, scoring=True) if sources else None
    check_breakdown(splits, by)
    trial = looked_up(model, results)
    model = str(trial.path) if trial else model
    entries = list(dict.fromkeys(entries))
    with encoding_shown() as progress, encoding_in(precision):
        found = evaluate_model(model, splits, entries, trusted=trusted, progress=progress)
    if precision != "fp32":
        with encoding_shown() as progress, encoding_in("fp32"):
            plain = evaluate_model(model, splits, entries, trusted=trusted, progress=progress)
        found = beside(found, plain, splits)
    if splits is not None and splits.test_is_dev and spec is None:
        found = found.of_test_alone()
    print_evaluation(new_console(), form, found, by)


@main.command()
@_FORMAT
def metrics(form: str) -> None:
    """List every metric: its direction and range, and who computes it.

    Where objective is yes, `objective.metric` may name it; an evaluator's metrics need its entry
    in `evaluators`. Retrieval has its metrics with any cut-off, such as `ndcg_at_100`. JSON and CSV
    have each metric's formula and source too, who computes it, and which labels it needs.
    """
    from embft.cli.tables import metric_records, metric_rows, print_records

    records = metric_records()
    if form == "table":
        records = metric_rows(records)
    print_records(new_console(), form, records, "Metrics")


main.add_later(
    "export",
    "Export a TRIAL's model: of a SWEEP's folder (results/NAME) the recommended one by default.",
    module="ship",
)
main.add_later(
    "merge",
    "Merge a TRIAL's adapter into its base, and save the whole model to OUT.",
    module="ship",
)
main.add_later(
    "verify",
    "Verify MODEL: run a trial again, check an exported folder, or compare what is served.",
)
main.add_later(
    "compress",
    "Say what smaller embeddings of a TRIAL cost: fewer dimensions, float32, int8 or bits.",
)
main.add_later(
    "prune",
    "Remove by rule what sweeps have left: those below --results, or in FOLDERs (results/NAME).",
)
main.add_later(
    "rm",
    "Remove trials (by short name, name or folder) or whole sweeps (by folder, results/NAME).",
    module="prune",
)
main.add_later(
    "cache",
    "List what embft keeps to save time: where, how large, and what clearing it costs.",
    module="prune",
)
main.add_later("schema", "Print the JSON Schema of a spec, by which editors complete and check.")
main.add_later("doctor", "Check this machine: versions, cores, memory, GPU, model hub, folders.")
main.add_later("examples", "Write the example specs, and the schema by which editors check them.")
