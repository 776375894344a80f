"""Labels and lengths: balance, texts without words or beyond the model's limit, false negatives.

Shortcuts from text to label are in `shortcuts.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from embft.data.audit.corpus import Corpus
from embft.data.audit.findings import EXAMPLES, Finding, example, examples
from embft.data.column import take
from embft.data.texts import IntArray

RARE = 0.1
LONGEST = 50_000
"""Distinct texts whose tokens are counted, the longest first."""
BATCHES = (16, 64, 256)

TokenLengths = Callable[[Sequence[str]], Sequence[int]]


def balance(corpus: Corpus) -> Iterator[Finding]:
    """Splits with one label only, with a rare one, or with another share than train."""
    corpus = corpus.labelled()
    for split, pairs in corpus.splits.items():
        if pairs.label.min() == pairs.label.max():
            yield _one_label(split, len(pairs), pairs.given_label(0))
        elif pairs.is_binary and min(pairs.label.mean(), 1 - pairs.label.mean()) < RARE:
            yield _rare_label(split, pairs.label)
    if "train" in corpus.splits:
        yield from _shift(corpus)


def _one_label(split: str, total: int, label: float) -> Finding:
    return Finding(
        f"single_label_{split}",
        "problem",
        total,
        total,
        f"All {total} {split} pairs have the label {label:g}.",
        "There is nothing to learn." if split == "train" else "No metric is defined.",
        "Add pairs with other labels.",
    )


def _rare_label(split: str, label: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Finding:
    positives = int(label.sum())
    rare = min(positives, len(label) - positives)
    return Finding(
        f"rare_label_{split}",
        "warning",
        rare,
        len(label),
        f"Only {rare} of the {len(label)} {split} pairs have the label "
        f"{int(positives * 2 < len(label))}.",
        "Metrics rest on few pairs of that label, intervals are wide, and accuracy misleads."
        if split != "train"
        else "Training sees few pairs of that label.",
        "Add pairs of that label, and prefer AUC or average precision to accuracy.",
        details={"positives": positives},
    )


def _shift(corpus: Corpus) -> Iterator[Finding]:
    train = corpus.splits["train"].label
    for split in list(corpus.splits)[1:]:
        label = corpus.splits[split].label
        error = np.sqrt(train.var() / len(train) + label.var() / len(label))
        gap = float(label.mean() - train.mean())
        if abs(gap) > max(0.1, 1.96 * float(error)):
            yield Finding(
                f"label_shift_{split}",
                "warning",
                len(label),
                len(label),
                f"The mean label is {_mean(corpus, split)} in {split} and "
                f"{_mean(corpus, 'train')} in train.",
                "Thresholds and calibration that fit one do not fit the other.",
                "Draw all splits from the same source, unless the shift is meant.",
                details={"difference": gap},
            )


def _mean(corpus: Corpus, split: str) -> str:
    pairs = corpus.splits[split]
    return f"{pairs.as_given(float(pairs.label.mean())):.2f}"


def wordless(corpus: Corpus) -> Iterator[Finding]:
    """Texts without a letter or digit, the empty ones among them."""
    bare = corpus.wordless
    rows = {split: np.flatnonzero(bare[a] | bare[b]) for split, (a, b) in corpus.exact.items()}
    count = sum(map(len, rows.values()))
    if not count:
        return
    total = sum(map(len, corpus.splits.values()))
    shown = [item for name in rows for item in examples(corpus.splits[name], name, rows[name])]
    yield Finding(
        "empty_texts",
        "warning",
        count,
        total,
        f"{count} of {total} pairs have a text without a single letter or digit.",
        "The embedding of such a text means nothing; its pairs add noise.",
        "Remove these pairs, or fill in the missing text.",
        tuple(shown[:5]),
        {"rows": {split: len(found) for split, found in rows.items()}},
    )


def overlong(
    corpus: Corpus, token_lengths: TokenLengths | None, max_tokens: int | None
) -> Iterator[Finding]:
    """Texts that the model cuts off, if its tokeniser and limit are given."""
    if token_lengths is None or max_tokens is None:
        return
    # Identifiers count up in order of appearance, negatives last.
    count = 1 + max(int(side.max()) for sides in corpus.exact.values() for side in sides)
    longest = np.argsort(-corpus.lengths[:count], kind="stable")[:LONGEST]
    tokens = _tokens(corpus, token_lengths, longest)
    longer = {
        split: np.maximum(tokens[one], tokens[two]) for split, (one, two) in corpus.exact.items()
    }
    hits = {split: np.flatnonzero(most > max_tokens) for split, most in longer.items()}
    hit = sum(map(len, hits.values()))
    if not hit:
        return
    total = sum(map(len, corpus.splits.values()))
    yield Finding(
        "overlong_texts",
        "warning" if hit >= 0.01 * total else "info",
        hit,
        total,
        f"{hit} of {total} pairs have a text of more than {max_tokens} tokens.",
        "The model does not see what stands beyond its limit.",
        "Raise `model.max_tokens` if the model allows it, or shorten the texts.",
        tuple(
            example(corpus.splits[split], split, row, tokens=int(longer[split][row]))
            for split, rows in hits.items()
            for row in rows[:EXAMPLES].tolist()
        )[:EXAMPLES],
        {
            "max_tokens": max_tokens,
            "longest": int(tokens.max()),
            "texts_counted": len(longest),
            "texts": count,
        },
    )


def _tokens(corpus: Corpus, token_lengths: TokenLengths, counted: IntArray) -> IntArray:
    """Of each text's identifier the number of tokens, if it is among those counted, else 0."""
    tokens = np.zeros(len(corpus.lengths), np.int64)
    wanted = np.zeros(len(corpus.lengths), bool)
    wanted[counted] = True
    for split, pairs in corpus.splits.items():
        for column, ids in zip((pairs.text_1, pairs.text_2), corpus.exact[split], strict=True):
            rows = np.flatnonzero(wanted[ids])
            found, first = np.unique(ids[rows], return_index=True)
            tokens[found] = token_lengths(take(column, rows[first]))
            wanted[found] = False
    return tokens


def false_negatives(corpus: Corpus) -> Iterator[Finding]:
    """Positives that would be each other's negatives in a batch, though labelled positive.

    Matters to losses with in-batch negatives: for the anchor text_1 of a row, the text_2 of every
    other positive row in its batch counts as a negative.
    """
    train = corpus.splits["train"]
    high = train.label > (train.label.min() + train.label.max()) / 2
    positive = np.flatnonzero(high | (not train.labelled))
    if len(positive) < 2:
        return
    first, second = (side[positive] for side in corpus.normal["train"])
    clashes = _clashes(first, second)
    concerned = np.flatnonzero(clashes > 0)
    if not len(concerned):
        return
    chance = float(clashes.mean() / (len(positive) - 1))
    expected = {size: size * (size - 1) * chance for size in BATCHES if size <= len(positive)}
    size = 64 if 64 in expected else min(expected, default=2)
    per_batch = expected.get(size, size * (size - 1) * chance)
    yield Finding(
        "false_negatives",
        "warning" if per_batch >= 0.01 * size * size or per_batch >= 1 else "info",
        len(concerned),
        len(positive),
        f"{len(concerned)} of the {len(positive)} positive train pairs have a text that is also "
        f"positive elsewhere; a batch of {size} positives holds {per_batch:.2g} such false "
        f"negatives on average.",
        "Losses with in-batch negatives push these texts apart although they belong together; "
        "the cosine similarity loss is not concerned.",
        "With such a loss, use batches without repeated texts (the `no_duplicates` sampler).",
        examples(train, "train", positive[concerned]),
        {"expected_per_batch": {str(n): round(value, 4) for n, value in expected.items()}},
    )


def _clashes(first: IntArray, second: IntArray) -> IntArray:
    """For each positive row the other rows whose text_2 is also positive for its text_1."""
    frequency = np.bincount(second)
    edges = np.unique((first << np.int64(31)) | second)
    weights = frequency[edges & np.int64(2**31 - 1)]
    of_anchor = np.bincount(edges >> np.int64(31), weights=weights, minlength=first.max() + 1)
    return of_anchor[first].astype(np.int64) - 1
