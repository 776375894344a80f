"""`embft init`: files of the user's -> a spec that runs, what was guessed being said."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embft.cli.path_options import Place
from embft.errors import DataError, EmbftError

if TYPE_CHECKING:
    from embft.data.recognise import Name, Recognised
    from embft.planning.design import Work
    from embft.planning.draft import Choices

_ENGLISH = "sentence-transformers/all-MiniLM-L6-v2"
_OTHERS = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
# Weights in the layers of the base where its own are not known: those of MiniLM, of 6 layers.
_USUAL_WEIGHTS = 10_600_000


@dataclass(frozen=True)
class Wanted:
    """What the options say. asks: whether somebody is there to answer."""

    columns: tuple[str, ...]
    label: str | None
    label_range: tuple[float, float] | None
    base: str | None
    minutes: float | None
    asks: bool


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=Place(folder=False), help="The spec to write. [default: NAME.yaml]")
@click.option("--name", help="The sweep's name. [default: that of the first file]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME",
    help="A column of texts; give the option for each, in their order.",
)
@click.option("--label", metavar="NAME", help="The column of labels.")
@click.option(
    "--label-range", type=(float, float), metavar="LOW HIGH", help="The ends of the labels' scale."
)
@click.option("--base", help="The base model: a hub name or a folder.")
@click.option(
    "--minutes",
    type=click.FloatRange(1),
    help="How long the sweep may take on this machine.  [default: 10]",
)
@click.option("--yes", is_flag=True, help="Ask nothing: take the guesses.")
@click.option("--force", is_flag=True, help="Replace the spec if it is there.")
def init(  # noqa: PLR0913, PLR0917 - a parameter for each option
    files: tuple[str, ...],
    out: Path | None,
    name: str | None,
    columns: tuple[str, ...],
    label: str | None,
    label_range: tuple[float, float] | None,
    base: str | None,
    minutes: float | None,
    yes: bool,
    force: bool,
) -> None:
    r"""Write a commented spec that runs on your FILEs: train, and if you have them dev and test.

    Recognises columns, labels and their scale, languages and lengths, and a folder in BEIR's
    format, and sizes the sweep to this machine. On a terminal it asks what it cannot know;
    elsewhere it guesses and says so.

    \b
    embft init pairs.csv                        asks, writes pairs.yaml
    embft init train.csv dev.csv --out my.yaml
    embft init pairs.csv --column question --column answer --label score
    """
    from embft.storage.files import write_atomic

    out = out or Path(f"{_name(name, files[0])}.yaml")
    if out.exists() and not force:
        raise EmbftError(f"{out} exists: give another --out, or --force to replace it")
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    wanted = Wanted(columns, label, label_range, base, minutes, asks)
    found = _recognised(files, wanted)
    chosen, work, said = _chosen(found, wanted, _name(name, out.name))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, _checked(found, work, chosen, out))
    for sentence in (*found.guesses, *said):
        _say(f"- {sentence}")
    _say(f"{out}: written. Look through it, then:")
    _say(f"  embft data audit {out}\n  embft sweep {out}")


def _recognised(files: tuple[str, ...], wanted: Wanted) -> Recognised:
    """What the files hold; on a terminal what is doubtful is asked."""
    from embft.data.recognise import is_judged, recognise, recognise_judged, split_names
    from embft.data.table import read_table

    if len(files) == 1 and is_judged(files[0]):
        return recognise_judged(files[0])
    known = [name for name in (*wanted.columns, wanted.label) if name is not None]
    tables = {split: read_table(path, known) for split, path in split_names(files).items()}
    names = [column.name for column in tables["train"].columns]
    texts = [_named(names, each) for each in wanted.columns]
    label = None if wanted.label is None else _named(names, wanted.label)
    found = recognise(tables, texts, label, wanted.label_range)
    if wanted.asks:
        found = _asked(found, wanted, label)
    if found.kind == "text":
        raise DataError(
            f"{found.train.path}: column {found.text_1} has texts, and nothing says which belong "
            "together: make pairs of them (`embft data synthesize`, docs/data.md), name other "
            "columns by --column and --label, or write a spec with `data.text` and labelled pairs "
            "as `dev`"
        )
    return found


def _named(names: list[Name], given: str) -> Name:
    """A column as it was given: a position, where the file has no header."""
    return int(given) if given.isdigit() and int(given) in names else given


def _asked(found: Recognised, wanted: Wanted, label: Name | None) -> Recognised:
    """The same with the answers to what it is in doubt about."""
    from embft.data.recognise import recognise

    files, names = found.files, [column.name for column in found.train.columns]
    texts = list(found.texts)
    if "texts" in found.doubts and not wanted.columns:
        _show_columns(found)
        given = click.prompt("Columns of texts", " ".join(map(str, texts)))
        texts = [_named(names, each) for each in given.split()]
        found = recognise(files, texts, label, wanted.label_range)
    if "label" in found.doubts and label is None:
        _show_columns(found)
        label = _named(names, click.prompt("Column of labels", str(found.label)))
        found = recognise(files, texts, label, wanted.label_range)
    if "label_range" in found.doubts and wanted.label_range is None and found.label_range:
        column = found.train[found.label] if found.label is not None else found.train.columns[0]
        _say(f"The labels in column {found.label} run from {column.low:g} to {column.high:g}.")
        low = click.prompt("Lowest label of the scale", found.label_range[0], type=float)
        high = click.prompt("Highest label of the scale", found.label_range[1], type=float)
        found = recognise(files, texts, label or found.label, (low, high))
    return found


def _show_columns(found: Recognised) -> None:
    _say(f"{found.train.path} has these columns:")
    for column in found.train.columns:
        first = " ".join(column.sample[0].split()) if column.sample else ""
        _say(f"  {column.name}: {first[:60]}")


def _chosen(found: Recognised, wanted: Wanted, name: str) -> tuple[Choices, Work, list[str]]:
    """Base model and search space, what every trial does, and what is to be said of them."""
    from embft.planning.design import fitting, machine_speed, sweep_seconds
    from embft.planning.draft import Choices, work_of
    from embft.planning.estimate import duration_text
    from embft.synthesis.filters import main_language

    language = main_language(found.sample())
    base, said = _base(wanted, language)
    weights, reads, said_of_base = _of_base(base)
    minutes = wanted.minutes
    if minutes is None:
        question = "How many minutes may the sweep take"
        minutes = click.prompt(question, 10.0, type=float) if wanted.asks else 10.0
    work, speed = work_of(found, weights, reads), machine_speed()
    design = fitting(work, speed, 60 * minutes)
    seconds = sweep_seconds(work, design, speed)
    chosen = Choices(name, base, design, seconds, language)
    said += [
        *said_of_base,
        f"texts have about {work.tokens / max(1, len(found.texts)):.0f} tokens in the mean",
        f"{design.count} trials and the base model, about {duration_text(seconds)} on this machine",
    ]
    return chosen, work, said


def _base(wanted: Wanted, language: str | None) -> tuple[str, list[str]]:
    """The base model, and what is to be said of it."""
    if wanted.base is not None:
        return wanted.base, []
    if language in {None, "en"}:
        return _ENGLISH, []
    said = f"most texts are in {language!r}"
    base = _OTHERS if _can_be_had(_OTHERS) else _ENGLISH
    if wanted.asks:
        _say(f"{said[0].upper()}{said[1:]}.")
        return click.prompt("Base model", base), []
    if base == _ENGLISH:
        said += f", which {_ENGLISH} knows little of: {_OTHERS} is not in reach; --base names one"
    return base, [said]


def _can_be_had(base: str) -> bool:
    """Whether a hub model is on this machine, or the hub answers."""
    from huggingface_hub import constants, try_to_load_from_cache

    from embft.cli.doctor_checks import hub_answers

    if isinstance(try_to_load_from_cache(base, "config.json"), str):
        return True
    return not constants.HF_HUB_OFFLINE and hub_answers()


def _of_base(base: str) -> tuple[int, int | None, list[str]]:
    """Weights that each token meets, the longest text in tokens, and what is to be said."""
    from embft.errors import ModelError
    from embft.models.resolve import find_base_model, max_tokens
    from embft.planning.weights import weight_shapes

    try:
        found = find_base_model(base)
    except ModelError as error:
        return _USUAL_WEIGHTS, None, [f"the base model is not here yet: {error}"]
    layers = {k: v for k, v in weight_shapes(found.folder).items() if "embedding" not in k}
    weights = sum(shape[0] * shape[1] for shape in layers.values() if len(shape) == 2)
    return weights or _USUAL_WEIGHTS, max_tokens(found), []


def _checked(found: Recognised, work: Work, chosen: Choices, out: Path) -> str:
    """The spec's text. Raises EmbftError where embft itself could not read what it names."""
    from embft.data.build import spec_data
    from embft.planning.draft import draft
    from embft.spec import parse_spec

    text = draft(found, work, chosen, out.parent)
    try:
        spec_data(parse_spec(text, str(out), out.parent))
    except DataError:
        if found.kind != "nli" or not chosen.negatives:
            raise
        # No premise has both an entailment and a contradiction.
        return _checked(found, work, replace(chosen, negatives=False), out)
    return text


def _name(given: str | None, file: str) -> str:
    """A sweep's name: what was given, else what is left of a file's."""
    if given is not None:
        return given
    stem = Path(file).name.partition(".")[0]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return plain[:100] or "sweep"


def _say(text: str) -> None:
    from embft.system.text import printable

    click.echo(printable(text))
