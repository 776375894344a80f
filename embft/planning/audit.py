"""The audit of a sweep's data, with the token lengths of its base model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embft.data.pairs import Splits
from embft.models.resolve import max_tokens, spec_base, token_counter
from embft.spec import ModelSpec

if TYPE_CHECKING:
    from embft.data.audit import Audit


def audit_with(splits: Splits, model: ModelSpec | None) -> Audit:
    """The audit of these splits, with the texts that are too long for a model if one is named."""
    from embft.data.audit import audit

    if model is None:
        return audit(splits)
    base = spec_base(model)
    most = max_tokens(base) if model.max_tokens is None else model.max_tokens
    return audit(splits, token_lengths=token_counter(base), max_tokens=most)
