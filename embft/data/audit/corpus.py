"""The texts of all splits as identifiers, so that every comparison is one of integers.

Computed once for an audit and read by all of its parts. Holds numbers alone: texts are looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from embft.data.column import Rows, take
from embft.data.pairs import SPLITS, Pairs, Splits
from embft.data.texts import IntArray, different, hashes, normalise, numbered, pair_ids, text_ids

Sides = tuple[IntArray, IntArray]
Bools = npt.NDArray[np.bool_]
_WORD = re.compile(r"[^\W_]")
# How pandas, R, SQL and spreadsheets write that there is no value.
_UNSAID = {"nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat", "nil", "undefined", "\\n"}


@dataclass(frozen=True)
class Corpus:
    """The splits that differ (without test where it is dev), and their texts' identifiers.

    exact, normal: split -> (identifiers of text_1, of text_2), of the texts as they are and as
    `normalise` makes them. negatives: of splits of triplets, the identifiers of each column of them
    as in `exact`; normal_negatives: as in `normal`. lengths, wordless, broken, unsaid: of each
    `exact` identifier the number of characters, whether there is neither a letter nor a digit among
    them, whether it has a line break, and whether it is a word by which programs write that there
    is no value.
    """

    splits: Mapping[str, Pairs]
    exact: Mapping[str, Sides]
    normal: Mapping[str, Sides]
    negatives: Mapping[str, Sequence[IntArray]]
    normal_negatives: Mapping[str, Sequence[IntArray]]
    lengths: npt.NDArray[np.int32]
    wordless: Bools
    broken: Bools
    unsaid: Bools

    def exact_pairs(self, split: str) -> IntArray:
        """An identifier for each row's ordered pair of texts, word for word."""
        first, second = self.exact[split]
        return (first << np.int64(31)) | second

    def normal_pairs(self, split: str) -> IntArray:
        """An identifier for each row's pair of normalised texts, in either order."""
        return pair_ids(*self.normal[split])

    def normalised(self, split: str, rows: Rows) -> list[list[str]]:
        """The normalised texts of these rows: those of text_1, and those of text_2."""
        pairs = self.splits[split]
        return [list(map(normalise, take(side, rows))) for side in (pairs.text_1, pairs.text_2)]

    def labelled(self) -> Corpus:
        """The splits that have labels, with the same identifiers."""
        return replace(self, splits={k: v for k, v in self.splits.items() if v.labelled})

    def exact_texts(self, split: str) -> IntArray:
        """The identifiers of all texts of a split, word for word."""
        return np.concatenate([*self.exact[split], *self.negatives.get(split, ())])

    def sides(self, split: str) -> dict[str, IntArray]:
        """The identifiers of a split's texts, word for word, by column."""
        first, second = self.exact[split]
        others = {f"text_{i}": ids for i, ids in enumerate(self.negatives.get(split, ()), 3)}
        return {"text_1": first, "text_2": second, **others}


def make_corpus(splits: Splits) -> Corpus:
    """Number the texts of the splits. Time and memory linear in the number of pairs; of the texts
    themselves one part is in memory.
    """
    same = splits.test_is_dev or splits.test is splits.dev
    return corpus_of({name: splits[name] for name in SPLITS if not (same and name == "test")})


def corpus_of(parts: Mapping[str, Pairs]) -> Corpus:
    """The same of pairs by the name of their split."""
    sides = [side for pairs in parts.values() for side in (pairs.text_1, pairs.text_2)]
    others = [column for pairs in parts.values() for column in pairs.negatives]
    columns = [*sides, *others]
    ids = text_ids(*columns)
    of_exact, lengths, *flags = _looked_at(columns, ids)
    exact = dict(zip(parts, zip(ids[::2], ids[1::2], strict=False), strict=False))
    normal = {name: (of_exact[first], of_exact[second]) for name, (first, second) in exact.items()}
    left = iter(ids[len(sides) :])
    negatives = {name: [next(left) for _ in pairs.negatives] for name, pairs in parts.items()}
    normal_negatives = {name: [of_exact[ids] for ids in own] for name, own in negatives.items()}
    return Corpus(parts, exact, normal, negatives, normal_negatives, lengths, *flags)


def _looked_at(
    columns: Sequence[Sequence[str]], ids: Sequence[IntArray]
) -> tuple[IntArray, npt.NDArray[np.int32], Bools, Bools, Bools]:
    """Of each different text: the normalised one's identifier, its length, and whether it is
    wordless, broken, unsaid.
    """
    keys: list[IntArray] = []
    lengths: list[npt.NDArray[np.int32]] = []
    flags: list[list[Bools]] = [[], [], []]
    for texts in different(columns, ids):
        normal = [normalise(text) for text in texts]
        keys.append(hashes(normal))
        lengths.append(np.array([len(text) for text in texts], np.int32))
        flags[0].append(np.array([_WORD.search(text) is None for text in normal], bool))
        flags[1].append(np.array(["\n" in text or "\r" in text for text in texts], bool))
        flags[2].append(np.array([text.strip().casefold() in _UNSAID for text in texts], bool))
    wordless, broken, unsaid = map(np.concatenate, flags)
    return numbered(np.concatenate(keys)), np.concatenate(lengths), wordless, broken, unsaid


def first_rows(keys: IntArray, wanted: IntArray) -> IntArray:
    """For each wanted key, which `keys` must hold, the first row that has it."""
    distinct, first = np.unique(keys, return_index=True)
    return np.asarray(first[np.searchsorted(distinct, wanted)], np.int64)


def repeats(keys: IntArray) -> IntArray:
    """The rows whose key stood in an earlier row."""
    again = np.ones(len(keys), bool)
    again[np.unique(keys, return_index=True)[1]] = False
    return np.flatnonzero(again)
