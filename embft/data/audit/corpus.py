"""The texts of all splits as identifiers, so that every comparison is one of integers.

Computed once for an audit and read by all of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embft.data.pairs import SPLITS, Pairs, Splits
from embft.data.texts import IntArray, normalise, number_texts, pair_ids

Sides = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class Corpus:
    """The splits that differ (without test where it is dev), and their texts' identifiers.

    exact, normal: split -> (identifiers of text_1, of text_2), of the texts as they are and as
    `normalise` makes them. texts: the normalised text of each `normal` identifier. negatives: of
    splits of triplets, the identifiers of text_3 as in `exact`.
    """

    splits: Mapping[str, Pairs]
    exact: Mapping[str, Sides]
    normal: Mapping[str, Sides]
    texts: Sequence[str]
    negatives: Mapping[str, IntArray]

    def exact_pairs(self, split: str) -> IntArray:
        """An identifier for each row's ordered pair of texts, word for word."""
        first, second = self.exact[split]
        return (first << np.int64(31)) | second

    def normal_pairs(self, split: str) -> IntArray:
        """An identifier for each row's pair of normalised texts, in either order."""
        return pair_ids(*self.normal[split])

    def labelled(self) -> Corpus:
        """The splits that have labels, with the same identifiers."""
        return replace(self, splits={k: v for k, v in self.splits.items() if v.labelled})

    def exact_texts(self, split: str) -> IntArray:
        """The identifiers of all texts of a split, word for word."""
        return np.concatenate([*self.exact[split], *self._negatives(split)])

    def _negatives(self, split: str) -> Sequence[IntArray]:
        return [self.negatives[split]] if split in self.negatives else []


def make_corpus(splits: Splits) -> Corpus:
    """Number the texts of the splits. Time and memory linear in the number of pairs."""
    same = splits.test_is_dev or splits.test is splits.dev
    parts = {name: splits[name] for name in SPLITS if not (same and name == "test")}
    seen: dict[str, int] = {}
    exact = {
        name: (number_texts(pairs.text_1, seen), number_texts(pairs.text_2, seen))
        for name, pairs in parts.items()
    }
    negatives = {
        name: number_texts(pairs.text_3, seen)
        for name, pairs in parts.items()
        if pairs.text_3 is not None
    }
    normal_seen: dict[str, int] = {}
    of_exact = number_texts([normalise(text) for text in seen], normal_seen)
    normal = {name: (of_exact[first], of_exact[second]) for name, (first, second) in exact.items()}
    return Corpus(parts, exact, normal, list(normal_seen), negatives)


def first_rows(keys: IntArray, wanted: IntArray) -> IntArray:
    """For each wanted key, which `keys` must hold, the first row that has it."""
    distinct, first = np.unique(keys, return_index=True)
    return np.asarray(first[np.searchsorted(distinct, wanted)], np.int64)


def repeats(keys: IntArray) -> IntArray:
    """The rows whose key stood in an earlier row."""
    again = np.ones(len(keys), bool)
    again[np.unique(keys, return_index=True)[1]] = False
    return np.flatnonzero(again)
