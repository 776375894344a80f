"""Equal pairs and texts: duplicates, leaks between splits, shared texts, contradictory labels.

Equal means word for word, or equal after normalisation; similar pairs are in `near.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embft.data.audit.corpus import Corpus, first_rows, repeats
from embft.data.audit.findings import (
    EXAMPLES,
    Finding,
    Severity,
    example,
    examples,
    grade,
    shorten,
)
from embft.data.texts import IntArray

GRADED_TOLERANCE = 0.1
"""Graded labels of one pair that differ by this much or less are taken as the same opinion."""


def sources(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """The pairs of splits between which nothing may leak: (scored split, known split)."""
    names = list(corpus.splits)
    yield from ((split, source) for split in names[1:] for source in names[: names.index(split)])


def duplicates(corpus: Corpus) -> Iterator[Finding]:
    """Rows beyond the first of each word-for-word equal pair, in each split."""
    for split, pairs in corpus.splits.items():
        rows = repeats(corpus.exact_pairs(split))
        if not len(rows):
            continue
        scored = split != "train"
        yield Finding(
            f"duplicates_{split}",
            grade(len(rows), len(pairs), "warning"),
            len(rows),
            len(pairs),
            f"{len(rows)} of the {len(pairs)} {split} rows repeat an earlier row word for word.",
            "Repeated pairs count more than once, and intervals come out too narrow."
            if scored
            else "Training weighs repeated pairs more than the others.",
            "Keep each pair once, unless the repetition is meant as a weight.",
            examples(pairs, split, rows),
            {"normalised": len(repeats(corpus.normal_pairs(split)))},
        )


def leaked_rows(corpus: Corpus) -> dict[str, IntArray]:
    """Rows whose normalised pair stands in another split; see `Audit.leaked_rows`."""
    empty = np.empty(0, np.int64)
    rows = {"dev_from_train": empty, "test_from_train": empty, "test_from_dev": empty}
    for split, source in sources(corpus):
        held = np.isin(corpus.normal_pairs(split), corpus.normal_pairs(source))
        rows[f"{split}_from_{source}"] = np.flatnonzero(held)
    if "test" not in corpus.splits:
        rows["test_from_train"] = rows["dev_from_train"]
    scored = np.concatenate([corpus.normal_pairs(split) for split in list(corpus.splits)[1:]])
    rows["train"] = np.flatnonzero(np.isin(corpus.normal_pairs("train"), scored))
    return rows


def leaks(corpus: Corpus) -> Iterator[Finding]:
    """Scored pairs that stand in train, or in dev: word for word, and only after normalising."""
    for split, source in sources(corpus):
        exact = np.isin(corpus.exact_pairs(split), corpus.exact_pairs(source))
        normal = np.isin(corpus.normal_pairs(split), corpus.normal_pairs(source))
        how = "word for word"
        if exact.any():
            yield _leak(corpus, (split, source), np.flatnonzero(exact), "leak", how)
        how = "but for case, punctuation, spacing or the order of the two texts"
        if (normal & ~exact).any():
            rows = np.flatnonzero(normal & ~exact)
            yield _leak(corpus, (split, source), rows, "normalised_leak", how)


def _leak(corpus: Corpus, between: tuple[str, str], rows: IntArray, kind: str, how: str) -> Finding:
    split, source = between
    pairs, known = corpus.splits[split], corpus.splits[source]
    keys = corpus.normal_pairs(split)[rows]
    origin = first_rows(corpus.normal_pairs(source), keys[:EXAMPLES])
    advice = (
        "Remove these pairs from train (`data.on_leak: drop` does), so that scores stay comparable."
        if source == "train"
        else "Remove them from dev: what selects must not report."
    )
    return Finding(
        f"{kind}_{split}_from_{source}",
        grade(len(rows), len(pairs)),
        len(rows),
        len(pairs),
        f"{len(rows)} of the {len(pairs)} {split} pairs also stand in {source}, {how}.",
        f"Scores on {split} reward memory and come out too high.",
        advice,
        tuple(
            example(pairs, split, row, **{f"{source}_row": int(at) + 1, f"{source}_label": label})
            for row, at in zip(rows[:EXAMPLES], origin, strict=True)
            for label in [float(known.label[at])]
        ),
        {"distinct": len(np.unique(keys)), "split": split, "source": source},
    )


def shared_texts(corpus: Corpus) -> Iterator[Finding]:
    """Scored pairs of which one text, or both, stand somewhere in train (or in dev)."""
    for split, source in sources(corpus):
        known = corpus.exact_texts(source)
        first, second = (np.isin(side, known) for side in corpus.exact[split])
        both, either = first & second, first | second
        if not either.any():
            continue
        pairs, count = corpus.splits[split], int(either.sum())
        leaked = np.isin(corpus.exact_pairs(split), corpus.exact_pairs(source))
        yield Finding(
            f"shared_texts_{split}_with_{source}",
            _shared_grade(count, len(pairs), source),
            count,
            len(pairs),
            f"{count} of the {len(pairs)} {split} pairs have a text that stands in {source}, "
            f"{both.sum()} of them have both.",
            f"Scores on {split} say less about texts that the model has never seen.",
            "Split by text, not by pair: all pairs of one text on the same side.",
            examples(pairs, split, np.flatnonzero(both & ~leaked if both.any() else either)),
            {
                "both": int(both.sum()),
                "either": count,
                "both_but_new_pair": int((both & ~leaked).sum()),
            },
        )


def _shared_grade(count: int, total: int, source: str) -> Severity:
    return "warning" if source == "train" and count >= 0.1 * total else "info"


def contradictions(corpus: Corpus) -> Iterator[Finding]:
    """Equal normalised pairs with different labels, inside a split or between splits.

    Splits without labels of their own contradict nobody.
    """
    corpus = corpus.labelled()
    if not corpus.splits:
        return
    keys = np.concatenate([corpus.normal_pairs(split) for split in corpus.splits])
    labels = np.concatenate([pairs.label for pairs in corpus.splits.values()])
    distinct, unit = np.unique(keys, return_inverse=True)
    low, high = np.full(len(distinct), np.inf), np.full(len(distinct), -np.inf)
    np.minimum.at(low, unit, labels)
    np.maximum.at(high, unit, labels)
    binary = all(pairs.is_binary for pairs in corpus.splits.values())
    clash = high - low > (0.0 if binary else GRADED_TOLERANCE)
    rows = np.flatnonzero(clash[unit])
    if not len(rows):
        return
    units = list(dict.fromkeys(unit[rows].tolist()))
    yield Finding(
        "contradictory_labels",
        grade(len(rows), len(keys), "warning"),
        len(rows),
        len(keys),
        f"{len(units)} pairs have different labels in different rows, {len(rows)} rows of "
        f"{len(keys)} in all.",
        "No model can satisfy both labels: training gets noise, and scores a ceiling below 1.",
        "Decide on one label for each pair, or average the opinions into a graded label.",
        tuple(_clash(corpus, np.flatnonzero(unit == one)) for one in units[:EXAMPLES]),
        {"pairs": len(units), "rows": _by_split(corpus, rows)},
    )


def _clash(corpus: Corpus, rows: IntArray) -> dict[str, object]:
    """One contradictory pair, with the places and labels that it has."""
    places = [_locate(corpus, int(row)) for row in rows[:10]]
    split, first = places[0]
    pairs = corpus.splits[split]
    return {
        "text_1": shorten(pairs.text_1[first]),
        "text_2": shorten(pairs.text_2[first]),
        "rows": [
            {"split": name, "row": row + 1, "label": float(corpus.splits[name].label[row])}
            for name, row in places
        ],
    }


def _locate(corpus: Corpus, row: int) -> tuple[str, int]:
    """Split and position of a row of the concatenated splits."""
    for split, pairs in corpus.splits.items():
        if row < len(pairs):
            return split, row
        row -= len(pairs)
    raise IndexError(row)


def _by_split(corpus: Corpus, rows: IntArray) -> dict[str, int]:
    ends = np.cumsum([len(pairs) for pairs in corpus.splits.values()])
    counts = np.diff(np.searchsorted(rows, ends), prepend=0)
    return dict(zip(corpus.splits, counts.tolist(), strict=True))
