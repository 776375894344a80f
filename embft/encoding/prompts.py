"""What stands before every text by a model's own word: the one place where it is put there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def default_prompt(model: SentenceTransformer) -> str | None:
    """What `model.encode` puts before a text unless another is given."""
    name = model.default_prompt_name
    return None if name is None else model.prompts.get(name) or None


def preprocess(model: SentenceTransformer, texts: Sequence[str]) -> dict[str, Any]:
    """The model's input for these texts, as `model.encode` makes it: with its default prompt."""
    prompt = default_prompt(model)
    more = {} if prompt is None else {"prompt": prompt}
    features: dict[str, Any] = model.preprocess(list(texts), **more)
    return features
