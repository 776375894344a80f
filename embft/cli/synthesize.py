"""`embft data synthesize`: pairs of texts, or questions of documents, and what came of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embft.cli.console import new_console
from embft.system.text import printable

if TYPE_CHECKING:
    from embft.data.retrieval import TextSet
    from embft.synthesis.run import Progress

_BOUNDS = ("limit", "batch_size", "retries")
_OF_FILTER = ("max_similarity", "language")


def make_pairs(file: Path, out: Path, column: str, options: Mapping[str, Any]) -> None:
    """Each text of a file's column beside another way to say the same, as OUT."""
    from embft.data.unpaired import TextFile
    from embft.synthesis.filters import choose_filter
    from embft.synthesis.generators import Settings
    from embft.synthesis.run import synthesize

    texts = TextFile(file, column).texts()
    settings = Settings(**_without(options, *_BOUNDS, *_OF_FILTER))
    of_filter = (options[name] for name in _OF_FILTER)
    kept = choose_filter(texts, *of_filter, by_rule=settings.by_rule)
    bounds = {name: options[name] for name in _BOUNDS}
    with _bar() as show:
        counts = synthesize(texts, out, settings, kept, **bounds, progress=show)
    click.echo(printable(f"{out}: {counts['kept']:,} pairs of {counts['texts']:,} texts"))
    for reason, count in counts["dropped"].items():
        click.echo(f"  {count:,} texts dropped: {reason.replace('_', ' ')}")
    for attempt, count in list(counts["kept_at_attempt"].items())[1:]:
        click.echo(f"  {count:,} taken at attempt {attempt}")


def make_queries(file: Path, out: Path, column: str, options: Mapping[str, Any]) -> None:
    """Questions that the documents of a file or a BEIR folder answer, as the folder OUT."""
    from embft.models.resolve import find_base_model
    from embft.synthesis import queries
    from embft.synthesis.filters import choose_filter
    from embft.synthesis.generators import Settings

    corpus = _corpus(file, column)
    base = find_base_model(options["retriever"])
    dev, test = options["shares"]
    bounds = queries.RoundTrip(options["number"], options["top_k"], options["retries"], test, dev)
    vectors = out.with_name(f"{out.name}.vectors")
    own = (*_BOUNDS, *_OF_FILTER, "retriever", "top_k", "number", "shares")
    plan = queries.Plan(
        corpus,
        Settings(**_without(options, *own)),
        choose_filter(corpus.texts, *(options[name] for name in _OF_FILTER), by_rule=False),
        queries.round_trip(base, corpus, vectors, bounds.top_k),
        base,
        bounds,
        options["limit"],
    )
    with _bar() as show:
        counts = queries.make_queries(plan, out, batch_size=options["batch_size"], progress=show)
    shutil.rmtree(vectors, ignore_errors=True)
    found = ", ".join(f"{count:,} {split}" for split, count in counts["questions"].items())
    asked = f"{counts['documents_with_a_question']:,} of {counts['documents']:,} documents"
    click.echo(printable(f"{out}: {found} questions of {asked}"))
    for reason, count in counts["rejected_answers"].items():
        click.echo(f"  {count:,} answers rejected: {reason.replace('_', ' ')}")


def _corpus(file: Path, column: str) -> TextSet:
    """The documents: of a BEIR folder with their ids, of a file numbered."""
    from embft.data.judged_files import read_corpus
    from embft.data.retrieval import TextSet
    from embft.data.unpaired import TextFile

    if file.is_dir():
        return read_corpus(file)
    texts = TextFile(file, column).texts()
    return TextSet([f"d{number}" for number in range(1, len(texts) + 1)], texts)


def _without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar for each attempt."""
    from rich.progress import Progress as Bar

    with Bar(console=new_console(), transient=True) as bar:
        task = bar.add_task("")

        def show(attempt: int, done: int, total: int) -> None:
            bar.update(task, description=f"attempt {attempt + 1}", completed=done, total=total)

        yield show
