"""The audit of a sweep's data, and its freezing when the sweep is planned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embft.data.pairs import Splits
from embft.models.resolve import max_tokens, spec_base, token_counter
from embft.results.dataset import has_dataset, write_dataset
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


def freeze(folder: Path, splits: Splits, model: ModelSpec) -> None:
    """Keep the data as it was planned, so that an edited file cannot mix into a running sweep, and
    what the audit says of it. What stands there already is kept if it is whole.
    """
    if not has_dataset(folder):
        write_dataset(folder, splits, audit_with(splits, model))
