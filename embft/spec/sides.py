"""Queries and documents: the two sides that a model may read with different words before them, and
the number formats that it may encode them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from embft.spec.base import Fields

Side = Literal["query", "document"]
SIDES: tuple[Side, Side] = ("query", "document")
EncodingPrecision = Literal["fp32", "bf16"]

QUERY_NAMES = ("query",)
DOCUMENT_NAMES = ("document", "passage", "corpus")
"""What prompts of a side are called in a model's settings, in the order in which they are looked
for: sentence-transformers', e5's and BEIR's names.
"""


class SidesSpec(Fields):
    """Which side each column of the pairs is on: `query` or `document`."""

    text_1: Side = "query"
    text_2: Side = "document"
    text_3: Side = "document"

    @property
    def columns(self) -> tuple[Side, Side, Side]:
        """The sides in the order of the columns."""
        return (self.text_1, self.text_2, self.text_3)


class PromptsSpec(Fields):
    """What stands before a query and before a document; "" for nothing."""

    query: str = ""
    document: str = ""


def saved_prompt(prompts: Mapping[str, str | None], default: str | None, side: Side) -> str:
    """What a model's saved settings put before a text of this side; "" for nothing.

    default: the name of the prompt that is put before every text, if there is one.
    """
    names = QUERY_NAMES if side == "query" else DOCUMENT_NAMES
    own = next((found for name in names if (found := prompts.get(name))), None)
    return own or (prompts.get(default) if default else None) or ""
