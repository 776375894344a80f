"""The commands below `embft data`: make and inspect data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.commands import Group
from embft.cli.path_options import Place
from embft.errors import DataError, EmbftError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from embft.data.pairs import Splits
    from embft.spec import DataSpec, SweepSpec

_COLUMNS = ("text_1", "text_2", "label")
COLUMNS = click.option(
    "--columns",
    type=(str, str, str),
    metavar="TEXT_1 TEXT_2 LABEL",
    default=_COLUMNS,
    show_default=True,
    help="Columns of the two texts and the label; numbers are positions in files without a header.",
)
LABEL_RANGE = click.option(
    "--label-range",
    type=(float, float),
    metavar="LOW HIGH",
    help="Lowest and highest score, if graded.",
)
METHODS = ("queries", "rewrite", "back-translate", "noise", "deletion", "swap")
_SHARE = click.FloatRange(0, 1, min_open=True)
_POSITIVE = click.FloatRange(0, min_open=True)


TRUST = click.option(
    "--trust-remote-code",
    "trusted",
    is_flag=True,
    help="Agree to run code that a base model brings, where the spec trusts it too.",
)


def new_console() -> Console:
    """The console of standard output, as wide as the terminal."""
    from embft.cli.console import new_console

    return new_console()


@click.group(cls=Group)
def data() -> None:
    """Make and inspect data."""


@data.command()
@click.argument("name", type=click.Choice(["dating", "handbook"]))
@click.option("--out", type=Place(folder=True), required=True)
def generate(name: str, out: Path) -> None:
    """Write a built-in dataset as OUT/train.jsonl, dev.jsonl and test.jsonl; `handbook` as BEIR's
    folder.
    """
    from embft.data.dating import generate as generate_dating
    from embft.data.pairs import SPLITS, write_jsonl
    from embft.system.text import printable

    if name == "handbook":
        from embft.data.handbook import generate as generate_handbook

        found = generate_handbook()
        found.write(out)
        counts = f"{len(found.pages):,} pages, {len(found.questions):,} judged questions"
        click.echo(printable(f"{out}: {counts} of {name}"))
        return
    splits = generate_dating()
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        path = out / f"{split}.jsonl"
        write_jsonl(splits[split], path)
        click.echo(printable(f"{path}: {len(splits[split]):,} pairs of {name}"))


@data.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@COLUMNS
@LABEL_RANGE
@click.option("--model", help="Find texts that are too long for this base model too.")
@click.option("--all", "everything", is_flag=True, help="Show findings for information too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def audit(  # noqa: PLR0913, PLR0917 - a parameter for each option
    sources: tuple[Path, ...],
    columns: tuple[str, str, str],
    label_range: tuple[float, float] | None,
    model: str | None,
    everything: bool,
    form: str,
) -> None:
    """Look for leaks, duplicates and shortcuts in a spec's data, or in TRAIN [DEV [TEST]] files."""
    import json

    from embft.cli.tables import print_audit
    from embft.data.build import fraction_rows
    from embft.planning.audit import audit_with
    from embft.spec import ModelSpec

    spec = given_spec(sources)
    named = ModelSpec(base=model) if model else spec.points[0].model if spec else None
    found = audit_with(given_splits(sources, label_range, columns), named)
    fractions = fraction_rows(spec) if spec else {}
    if form == "json":
        shares = {"fractions": {f"{k:g}": v for k, v in fractions.items()}} if fractions else {}
        click.echo(json.dumps({**found.to_json(), **shares}, indent=2))
    else:
        print_audit(new_console(), found, fractions, everything=everything)


@data.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--method", type=click.Choice(METHODS), required=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the model; for back-translate given twice, there and back.",
)
@click.option("--column", default="text", show_default=True, help="The texts' column.")
@click.option("--seed", default=42, show_default=True)
@click.option("--retries", default=5, show_default=True, type=click.IntRange(0, 100))
@click.option("--temperature", default=0.6, show_default=True, type=_POSITIVE)
@click.option("--top-p", default=0.9, show_default=True, type=_SHARE)
@click.option("--max-new-tokens", default=100, show_default=True, type=click.IntRange(1))
@click.option(
    "--max-similarity",
    type=_SHARE,
    help="Take no answer this similar to its text or more; 0.7 unless the method is a rule.",
)
@click.option(
    "--language",
    help="Code of the answers' language, such as en, or any; that of most texts by default.",
)
@click.option(
    "--retriever",
    default="sentence-transformers/all-MiniLM-L6-v2",
    show_default=True,
    help="For queries: the embedding model by which a question must find its document.",
)
@click.option("--top-k", default=3, show_default=True, type=click.IntRange(1), help="For queries.")
@click.option(
    "--questions",
    "number",
    default=1,
    show_default=True,
    type=click.IntRange(1, 20),
    help="For queries: of each document, at most.",
)
@click.option(
    "--shares",
    type=(_SHARE, _SHARE),
    metavar="DEV TEST",
    default=(0.1, 0.2),
    show_default=True,
    help="For queries: the documents of dev and of test.",
)
@click.option("--limit", type=click.IntRange(1), help="The first so many different texts alone.")
@click.option("--batch-size", default=16, show_default=True, type=click.IntRange(1))
def synthesize(file: Path, out: Path, column: str, **options: Any) -> None:
    """Make positive pairs of the texts of FILE: each beside another way to say the same.

    queries: questions that its documents answer, by a local instruct model, as a folder in BEIR's
    format for `data.beir`; FILE may be such a folder too, of which the corpus is read. rewrite: by
    a local instruct model. back-translate: by two local translation models. noise, deletion, swap:
    by rules. Interrupted at any moment, the same command goes on. Beside OUT stands
    what was dropped and why. To train on it: `train: OUT`, `columns: {label: null}`.
    """
    from embft.cli.synthesize import make_pairs, make_queries

    queries = options["method"] == "queries"
    option = next(p for p in click.get_current_context().command.params if p.name == "out")
    out = Place(folder=queries).convert(out, option, None)
    of_queries = {name: options.pop(name) for name in ("retriever", "top_k", "number", "shares")}
    if queries:
        make_queries(file, out, column, {**options, **of_queries})
    else:
        make_pairs(file, out, column, options)


def given_spec(sources: tuple[Path, ...]) -> SweepSpec | None:
    """The spec, where the data is a spec's."""
    from embft.spec import load_spec

    return load_spec(sources[0]) if sources and sources[0].suffix in {".yaml", ".yml"} else None


def given_splits(
    sources: tuple[Path, ...],
    label_range: tuple[float, float] | None,
    columns: tuple[str, str, str],
    groups: tuple[str, ...] = (),
    *,
    scoring: bool = False,
) -> Splits:
    """The data of one spec, or of TRAIN [DEV [TEST]] files.

    scoring: nothing is trained, so that one file is what is scored, and of two the first is dev.
    Raises EmbftError.
    """
    from embft.data.build import load_data, spec_data
    from embft.spec import ColumnsSpec, DataSpec

    if spec := given_spec(sources):
        if label_range is not None or columns != _COLUMNS:
            raise EmbftError(
                f"{spec.name}: the spec says itself how its files are read: leave --columns and "
                "--label-range out"
            )
        return spec_data(spec)
    if len(sources) > 3:
        raise EmbftError(f"{len(sources)} files were given: TRAIN, DEV and TEST are three")
    one, two, label = (int(name) if name.isdigit() else name for name in columns)
    named = ColumnsSpec(text_1=one, text_2=two, label=label)
    files = list(map(str, sources))
    if scoring and len(files) < 3:
        # Nothing is trained: a single file is scored as a whole, by a threshold of its own.
        files = [files[-1], files[0], files[-1]]
    train, dev, test = [*files, None, None][:3]
    given = DataSpec(train=train, columns=named, label_range=label_range, groups=groups)
    try:
        if scoring:
            return _scored(given, str(dev), str(test))
        return load_data(given.model_copy(update={"dev": dev, "test": test}))
    except DataError as error:
        raise DataError(_as_options(str(error))) from None


def _scored(spec: DataSpec, dev: str, test: str) -> Splits:
    """Dev and test of these files, each as it is, also where both are one."""
    from embft.data.build import columns_of
    from embft.data.load import load_pairs
    from embft.data.pairs import Splits
    from embft.data.shapes import as_labelled

    columns = columns_of(spec.columns)
    read = {
        path: as_labelled(load_pairs(path, columns, spec.groups, spec.label_range), "test")
        for path in dict.fromkeys((dev, test))
    }
    return Splits(read[test], read[dev], read[test], test_is_dev=dev == test)


# What a message calls by its field of a spec -> by its option.
_OPTIONS = {
    "`data.label_range: [low, high]`": "`--label-range LOW HIGH`",
    "`data.label_range`": "`--label-range`",
    "`data.columns` (or `data.groups`)": "`--columns` (or `--by`)",
    "`data.columns: {label: null}`": "`data.columns: {label: null}` in a spec",
    "`data.columns`": "`--columns TEXT_1 TEXT_2 LABEL`",
}


def _as_options(message: str) -> str:
    """A message in the words of the command line, where no spec is."""
    for field, option in _OPTIONS.items():
        message = message.replace(field, option)
    return message


def check_breakdown(splits: Splits | None, by: Sequence[str]) -> None:
    """Raise EmbftError for a column that test's scores cannot be broken down by."""
    if not by:
        return
    if splits is None:
        raise EmbftError("--by breaks down the scores of pairs: give them with --data")
    for column in by:
        if column not in splits.test.groups:
            raise EmbftError(
                f"--by: no group column {column!r}; {nearest(column, splits.test.groups)}. The "
                "columns of a spec's data are those of its `data.groups`"
            )
    if not splits.test.is_binary:
        raise EmbftError("--by counts errors, which graded labels do not have: leave it out")
