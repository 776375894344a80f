"""The shapes of training rows."""

from __future__ import annotations

from enum import StrEnum


class Shape(StrEnum):
    """What a row of training data is, and so which losses can train on it."""

    LABELLED = "labelled"
    POSITIVES = "positives"
    TRIPLETS = "triplets"

    @property
    def meaning(self) -> str:
        """What a row holds, in words, with the columns that it needs."""
        return _MEANINGS[self]


_MEANINGS = {
    Shape.LABELLED: "two texts and a label (columns text_1, text_2, label)",
    Shape.POSITIVES: "pairs that belong together, without a label (columns text_1, text_2)",
    Shape.TRIPLETS: "an anchor, a positive and negatives (columns text_1, text_2, negatives)",
}
