"""Texts alone, without pairs: each text becomes its own positive.

Unsupervised SimCSE (Gao, Yao and Chen, 2021): the model sees the same text twice under two dropout
masks, and the difference between the two embeddings is all that there is to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from embft.data.load import place_of, text_of
from embft.data.pairs import Pairs
from embft.data.read import read_rows
from embft.errors import DataError


@dataclass(frozen=True)
class TextFile:
    """A file with a column of texts."""

    path: Path
    column: str | int = "text"

    def texts(self) -> list[str]:
        """The texts in their order. Raises DataError."""
        rows = read_rows(self.path, [self.column], required=1)
        found = [text_of(place_of(self.path, line), self.column, text) for line, (text,) in rows]
        if not found:
            raise DataError(f"{self.path}: the file holds no texts; give a file with at least one.")
        return found

    def load(self) -> Pairs:
        """Each different text as a pair with itself. Raises DataError."""
        texts = list(dict.fromkeys(self.texts()))
        return Pairs.unlabelled(texts, texts)
