"""General quality of the texts, in numbers: nothing here is right or wrong by itself.

Four findings: form, diversity, bias, language. Large splits are sampled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from embft.data.audit.corpus import Corpus, repeats
from embft.data.audit.findings import Finding, sample
from embft.data.audit.overlap import GRADED_TOLERANCE
from embft.data.pairs import Pairs

ROWS = 20_000
GROUPS_SHOWN = 20
_SENTENCE = re.compile(r"[.!?…。！？]+(?:\s|$)")
_VOWELS = re.compile(r"[aeiouy]+")
_ODD = {
    "control_characters": re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]"),
    "markup": re.compile(r"</?[a-zA-Z][^<>]*>|&[a-z]{2,8};"),
    "addresses": re.compile(r"https?://|www\.|\S@\S+\.\S"),
    "broken_encoding": re.compile("[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac"),
    "outer_spaces": re.compile(r"^\s|\s$"),
}


def quality(corpus: Corpus) -> Iterator[Finding]:
    """Form, diversity, bias and language of train, as compact details."""
    train = corpus.splits["train"]
    rows = sample(len(train), ROWS)
    drawn = train.take(rows)
    words = [[text.split() for text in side] for side in corpus.normalised("train", rows)]
    yield _info("quality_form", "form", _form(corpus, drawn), len(rows))
    yield _info("quality_diversity", "diversity", _diversity(train, words), len(rows))
    if train.labelled:
        yield _info("quality_bias", "bias", _bias(train, drawn, words), len(rows))
    yield _info("quality_language", "language", _language(drawn, words), len(rows))


_MEANING = {
    "form": "How complete, consistent and clean the train pairs are.",
    "diversity": "How many words and categories train has, and how evenly they are spread.",
    "bias": "How the mean label of train differs between groups, lengths and words.",
    "language": "How the train texts read, how much the two sides overlap, what repeats.",
}
_EFFECT = {
    "form": "Unclean texts add noise to training and scores.",
    "diversity": "A model learns little from narrow data, and scores on it promise little.",
    "bias": "What goes with the label can be learnt instead of the meaning.",
    "language": "Texts unlike those of the base model's training gain most from fine-tuning.",
}


def _info(name: str, topic: str, details: dict[str, Any], rows: int) -> Finding:
    return Finding(
        name,
        "info",
        rows,
        rows,
        _MEANING[topic],
        _EFFECT[topic],
        "Nothing needs to be done; read it beside the scores.",
        details={"rows_looked_at": rows, **details},
    )


def _form(corpus: Corpus, drawn: Pairs) -> dict[str, Any]:
    texts = [*drawn.text_1, *drawn.text_2]
    groups = [value for values in drawn.groups.values() for value in values]
    keys = corpus.normal_pairs("train")
    labels = corpus.splits["train"].label
    order = np.lexsort((labels, keys))
    same = keys[order][1:] == keys[order][:-1]
    tolerance = 0.0 if corpus.splits["train"].is_binary else GRADED_TOLERANCE
    clash = same & (np.diff(labels[order]) > tolerance)
    return {
        "completeness": _share(bool(value.strip()) for value in [*texts, *groups]),
        "consistency": float(1 - clash.sum() / max(same.sum(), 1)),
        "duplicates": len(repeats(keys)) / len(keys),
        "format": {name: _share(map(bool, map(odd.search, texts))) for name, odd in _ODD.items()},
    }


def _diversity(train: Pairs, words: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    counts = Counter(word for side in words for text in side for word in text)
    total = sum(counts.values())
    lengths = np.array([len(text) for side in words for text in side])
    histogram, edges = np.histogram(train.label, bins=2 if train.is_binary else 5, range=(0, 1))
    return {
        "vocabulary": len(counts),
        "words": total,
        "words_seen_once": _share(count == 1 for count in counts.values()),
        "words_per_text": {
            "mean": float(lengths.mean()),
            "p5_p50_p95": np.percentile(lengths, (5, 50, 95)).tolist(),
        },
        "letters_per_word": sum(len(word) * n for word, n in counts.items()) / max(total, 1),
        "labels": {
            f"{low:g} to {high:g}": count
            for low, high, count in zip(edges, edges[1:], histogram.tolist(), strict=False)
        },
        "categories": {name: _entropy(values) for name, values in train.groups.items()},
    }


def _entropy(values: Sequence[str]) -> dict[str, float]:
    """Number of categories, their entropy in bits (Shannon, 1948), and its share of the maximum."""
    counts = np.array(list(Counter(values).values()))
    shares = counts / counts.sum()
    bits = float(-(shares * np.log2(shares)).sum())
    even = bits / float(np.log2(len(counts))) if len(counts) > 1 else 1.0
    return {"categories": len(counts), "bits": bits + 0.0, "evenness": even}


def _bias(train: Pairs, drawn: Pairs, words: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    length = np.array([len(a) + len(b) for a, b in zip(*words, strict=True)])
    third = np.searchsorted(np.quantile(length, [1 / 3, 2 / 3]), length)
    names = np.array(["short", "middle", "long"])[third]
    return {
        "mean_label": float(train.label.mean()),
        "by_group": {name: _rates(values, train.label) for name, values in train.groups.items()},
        "by_length": _rates(names.tolist(), drawn.label),
        "by_word": _word_rates(drawn, words),
    }


def _rates(
    values: Sequence[str], label: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> dict[str, Any]:
    """For the most frequent values their number of rows and mean label."""
    number: dict[str, int] = {}
    numbers = (number.setdefault(value, len(number)) for value in values)
    place = np.fromiter(numbers, np.int64, len(values))
    counts = np.bincount(place)
    means = np.bincount(place, weights=label) / counts
    common = sorted(number, key=lambda name: (-counts[number[name]], name))[:GROUPS_SHOWN]
    return {
        name: {"rows": int(counts[number[name]]), "mean_label": float(means[number[name]])}
        for name in common
    }


def _word_rates(drawn: Pairs, words: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    """The words whose pairs' mean label is furthest, in standard errors, from the overall mean."""
    count: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for label, first, second in zip(drawn.label.tolist(), *words, strict=True):
        for word in {*first, *second}:
            count[word] += 1
            total[word] += label
    mean, spread = float(drawn.label.mean()), float(drawn.label.std()) or 1.0
    frequent = [word for word, rows in count.items() if rows >= 10]
    frequent.sort(
        key=lambda word: (-abs(total[word] - mean * count[word]) / count[word] ** 0.5, word)
    )
    return {
        word: {
            "rows": count[word],
            "mean_label": total[word] / count[word],
            "standard_errors": (total[word] / count[word] - mean) / spread * count[word] ** 0.5,
        }
        for word in frequent[:10]
    }


def _language(drawn: Pairs, words: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    overlap = np.array([_overlap(a, b) for a, b in zip(*words, strict=True)])
    high = drawn.label > (drawn.label.min() + drawn.label.max()) / 2
    high |= not drawn.labelled
    texts = [text for side in words for text in side]
    pairs = Counter(two for text in texts for two in pairwise(text))
    openings = Counter(" ".join(text[:3]) for text in texts)
    top = openings.most_common(5)
    return {
        "readability": _flesch([*drawn.text_1, *drawn.text_2], texts),
        "coherence": {
            "overlap": float(overlap.mean()),
            "overlap_high_label": float(overlap[high].mean()) if high.any() else None,
            "overlap_low_label": float(overlap[~high].mean()) if (~high).any() else None,
        },
        "repetition": {
            # distinct-2 of Li et al. (2016)
            "distinct_word_pairs": len(pairs) / max(sum(pairs.values()), 1),
            "distinct_openings": len(openings) / max(len(texts), 1),
            "top_openings": {opening: count / len(texts) for opening, count in top},
        },
    }


def _overlap(first: Sequence[str], second: Sequence[str]) -> float:
    """Jaccard similarity of the two sides' words."""
    one, two = set(first), set(second)
    return len(one & two) / (len(one | two) or 1)


def _flesch(texts: Sequence[str], words: Sequence[Sequence[str]]) -> dict[str, float]:
    """Reading ease (Flesch, 1948) over all texts together; of meaning for English only."""
    sentences = sum(len(_SENTENCE.findall(text)) or 1 for text in texts)
    counts = Counter(word for text in words for word in text)
    total = max(sum(counts.values()), 1)
    syllables = sum(_syllables(word) * count for word, count in counts.items())
    ease = 206.835 - 1.015 * total / sentences - 84.6 * syllables / total
    return {
        "flesch_reading_ease": ease,
        "words_per_sentence": total / sentences,
        "syllables_per_word": syllables / total,
    }


def _syllables(word: str) -> int:
    """Groups of vowels, without a silent final e; at least one."""
    silent = word.endswith("e") and not word.endswith("le")
    return max(len(_VOWELS.findall(word)) - silent, 1)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 1.0
