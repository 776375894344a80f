"""When two texts, or two pairs, count as the same.

Covers normalisation and identifiers; similarity is the audit's matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

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


def text_ids(*columns: Sequence[str]) -> list[IntArray]:
    """For each column the texts' identifiers, counted from 0 in order of appearance."""
    seen: dict[str, int] = {}
    return [number_texts(column, seen) for column in columns]


def number_texts(texts: Sequence[str], seen: dict[str, int]) -> IntArray:
    """The identifiers of these texts in `seen`, to which the new ones are added."""
    ids = (seen.setdefault(text, len(seen)) for text in texts)
    return np.fromiter(ids, np.int64, len(texts))
