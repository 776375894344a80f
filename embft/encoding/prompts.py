"""What stands before a text by a model's own word: the one place where it is put there.

A text is a query, a document, or of no side. A model may have a prompt for each side, and a default
one for texts of none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embft.spec.sides import DOCUMENT_NAMES, QUERY_NAMES, Side

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def default_prompt(model: SentenceTransformer) -> str | None:
    """What `model.encode` puts before a text unless another is given."""
    name = model.default_prompt_name
    return None if name is None else model.prompts.get(name) or None


def side_prompt(model: SentenceTransformer, side: Side | None) -> str | None:
    """What stands before a query or a document: the model's prompt of that side, else its default.

    For a model whose side's prompt has the library's own name (`query`, `document`) that is what
    `model.encode_query` and `model.encode_document` put there.
    """
    if side is None:
        return default_prompt(model)
    names = QUERY_NAMES if side == "query" else DOCUMENT_NAMES
    own = (model.prompts.get(name) for name in names)
    return next((prompt for prompt in own if prompt), default_prompt(model))


def preprocess(
    model: SentenceTransformer, texts: Sequence[str], side: Side | None = None
) -> dict[str, Any]:
    """The model's input for texts of one side, as the library makes it: with their prompt."""
    prompt = side_prompt(model, side)
    more = {} if prompt is None else {"prompt": prompt}
    features: dict[str, Any] = model.preprocess(list(texts), **more)
    return features
