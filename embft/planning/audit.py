"""The audit of a sweep's data, with the token lengths of its base model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from embft.data.audit.findings import Finding
from embft.data.pairs import Splits
from embft.models.model_folder import anatomy
from embft.models.prompt_notes import missing_prompts
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
    found = audit(splits, token_lengths=token_counter(base), max_tokens=most)
    missing = missing_prompts(anatomy(base.folder), model)
    if missing is None:
        return found
    pairs = sum(found.sizes.values())
    return replace(found, findings=(_without_prompts(missing, pairs), *found.findings))


def _without_prompts(message: str, pairs: int) -> Finding:
    return Finding(
        "missing_prompts",
        "warning",
        pairs,
        pairs,
        message,
        "A model that was trained with words before its texts reads texts without them as others.",
        "Set model.prompts, or try it as an axis: model.prompts: [null, {query: …, document: …}].",
    )
