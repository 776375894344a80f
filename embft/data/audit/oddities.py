"""Texts unlike the others of their column: line breaks, ten times the usual length, no text at all.

Where a quote is missing in a file, rows run together into one text. That is one of these, and so
each is named with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import numpy as np

from embft.data.audit.corpus import Bools, Corpus
from embft.data.audit.findings import EXAMPLES, Finding, example

TIMES = 10
"""From so many times the usual length on a text is named; the usual one is the column's median."""
USUAL = 0.05
"""From this share of the rows on such texts are how the data is, and no slip of a file."""


def oddities(corpus: Corpus) -> Iterator[Finding]:
    """Findings of texts that a slip in a file may have made."""
    yield from _finding(
        corpus,
        "line_breaks",
        _of_identifier(corpus, corpus.broken),
        "have a text with a line break",
        "If a quote is missing in the file, rows have run together and are not read as rows.",
        "Look at these lines in the file. If the texts are meant so, nothing needs to be done.",
    )
    yield from _finding(
        corpus,
        "long_texts",
        _long(corpus),
        f"have a text of {TIMES} times the usual length or more",
        "Rows that have run together look so; and the model may not see the end of a long text.",
        "Look at these lines in the file. If the texts are meant so, nothing needs to be done.",
    )
    yield from _finding(
        corpus,
        "missing_texts",
        _of_identifier(corpus, corpus.unsaid),
        "have a text that is a word for a missing one, such as nan or NULL",
        "Such pairs are trained and scored as if somebody had written that word.",
        "Remove these lines, or write the texts that are missing.",
    )


def _of_identifier(corpus: Corpus, flags: Bools) -> dict[str, Bools]:
    """For each split the rows of which a text is flagged."""
    return {
        split: np.logical_or.reduce([flags[ids] for ids in corpus.sides(split).values()])
        for split in corpus.splits
    }


def _long(corpus: Corpus) -> dict[str, Bools]:
    """For each split the rows with a text of `TIMES` times its column's median length or more."""
    found = {}
    for split in corpus.splits:
        lengths = [corpus.lengths[ids] for ids in corpus.sides(split).values()]
        found[split] = np.logical_or.reduce(
            [length >= TIMES * np.median(length) for length in lengths]
        )
    return found


def _finding(  # noqa: PLR0913, PLR0917 - the parts of a finding
    corpus: Corpus, name: str, flags: dict[str, Bools], what: str, effect: str, advice: str
) -> Iterator[Finding]:
    rows = {split: np.flatnonzero(flag) for split, flag in flags.items()}
    count, total = sum(map(len, rows.values())), sum(map(len, flags.values()))
    if not count:
        return
    shown = [
        example(corpus.splits[split], split, row)
        for split, found in rows.items()
        for row in found[:EXAMPLES].tolist()
    ][:EXAMPLES]
    where = ", ".join(dict.fromkeys(PurePath(e["at"]).name for e in shown if "at" in e))
    lines = f" ({where}{' and others' if count > len(shown) else ''})" if where else ""
    yield Finding(
        name,
        "warning" if name == "missing_texts" or count < USUAL * total else "info",
        count,
        total,
        f"{count} of {total} pairs {what}{lines}.",
        effect,
        advice,
        tuple(shown),
        {"rows": {split: len(found) for split, found in rows.items()}},
    )
