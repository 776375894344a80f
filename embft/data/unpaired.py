"""Texts alone, without pairs: each text becomes its own positive.

Unsupervised SimCSE (Gao, Yao and Chen, 2021): the model sees the same text twice under two dropout
masks, and the difference between the two embeddings is all that there is to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass

from embft.data.files import DataFiles, Given
from embft.data.pairs import Pairs
from embft.data.read import read_rows
from embft.data.values import text_of
from embft.errors import DataError


@dataclass(frozen=True)
class TextFile:
    """A file with a column of texts."""

    path: Given
    column: str | int = "text"

    @property
    def files(self) -> DataFiles:
        """The files that the texts are read from."""
        return DataFiles(self.path)

    def texts(self) -> list[str]:
        """The texts in their order. Raises DataError."""
        rows = read_rows(self.files, [self.column], required=1)
        found = [text_of(at, self.column, text) for at, (text,) in rows]
        if not found:
            raise DataError(f"{self.files}: the file holds no texts; give one that does.")
        return found

    def load(self) -> Pairs:
        """Each different text as a pair with itself. Raises DataError."""
        texts = list(dict.fromkeys(self.texts()))
        return Pairs.unlabelled(texts, texts)
