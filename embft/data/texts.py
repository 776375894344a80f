"""When two texts, or two pairs, count as the same.

Covers normalisation and identifiers; similarity is the audit's matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from embft.data.column import PART, take

IntArray = npt.NDArray[np.int64]
_MEANINGFUL = "#%"
"""Punctuation to Unicode, but without it C# were C, and 5% were 5."""


def normalise(text: str) -> str:
    """The text without case and punctuation, its words one space apart.

    Symbols ("+", "€", emoji) count as parts of words. A text of punctuation alone stays as it is,
    so that "?!" and "..." differ.
    """
    folded = text.casefold()
    if not text.isascii():
        folded = unicodedata.normalize("NFKC", folded)
    return _separators().sub(" ", folded).strip() or text.strip()


@cache
def _separators() -> re.Pattern[str]:
    r"""Punctuation, spaces and control characters; `\W` would also eat Indic vowel signs."""
    found = (
        re.escape(chr(code))
        for code in range(0x10000)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps")
        or chr(code).isspace()
        if chr(code) not in _MEANINGFUL
    )
    return re.compile(f"[{''.join(found)}]+")


def pair_ids(first: IntArray, second: IntArray) -> IntArray:
    """One identifier for each unordered pair of text identifiers below 2**31. Shape (n,)."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return (low << np.int64(31)) | high


def hashes(texts: Sequence[str]) -> IntArray:
    """Python's hashes of texts, 64 bits, other ones in each process: to tell texts apart by.

    The chance that any two of two million different texts have the same is one in ten million.
    """
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def numbered(keys: IntArray) -> IntArray:
    """For each key its number among the different ones, from 0 in order of appearance."""
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[place]


def text_ids(*columns: Sequence[str]) -> list[IntArray]:
    """For each column the texts' identifiers, counted from 0 in order of appearance."""
    ids = numbered(np.concatenate([hashes(column) for column in columns]))
    return np.split(ids, np.cumsum([len(column) for column in columns])[:-1])


def different(columns: Sequence[Sequence[str]], ids: Sequence[IntArray]) -> Iterator[list[str]]:
    """The different texts in the order of their `text_ids`, a part at a time."""
    known = 0
    for column, numbers in zip(columns, ids, strict=True):
        for start in range(0, len(numbers), PART):
            found, first = np.unique(numbers[start : start + PART], return_index=True)
            new = first[found >= known]
            known += len(new)
            yield take(column, start + new)
