"""What a sweep reads is copied into its folder: an edit cannot mix into a sweep that runs."""

from __future__ import annotations

from pathlib import Path

from embft.data.pairs import Splits
from embft.planning.audit import audit_with
from embft.planning.plan import Plan
from embft.results.dataset import has_dataset, write_dataset
from embft.spec import ModelSpec
from embft.storage.files import write_atomic


def freeze(plan: Plan) -> None:
    """Keep the spec, the data and what the evaluators read, as they were when they were planned."""
    folder = plan.folder
    write_atomic(folder.spec_file, plan.spec.text)
    for digest, splits in plan.data.items():
        model = next(t.spec.model for t in plan.trials if t.data_digest == digest)
        freeze_data(folder.dataset(folder.data_name(digest)), splits, model)
    for files in plan.evaluators.values():
        files.freeze(folder)


def freeze_data(folder: Path, splits: Splits, model: ModelSpec) -> None:
    """Keep the data, and what the audit says of them. What is there already is kept if whole."""
    if not has_dataset(folder):
        write_dataset(folder, splits, audit_with(splits, model))
