"""What a sweep reads is copied into its folder: an edit cannot mix into a sweep that runs."""

from __future__ import annotations

from dataclasses import replace

from embft.data.pairs import RECIPE, Splits
from embft.planning.audit import audit_with
from embft.planning.plan import Plan
from embft.results.dataset import has_dataset, write_dataset
from embft.results.folders import SweepDir
from embft.spec import ModelSpec
from embft.storage.files import write_atomic
from embft.synthesis.mining_progress import Seen


def to_mine(plan: Plan) -> list[str]:
    """The digests of the data whose negatives are not mined yet."""
    folder = plan.folder
    wanted = [digest for digest, splits in plan.data.items() if splits.mining is not None]
    return [d for d in wanted if not has_dataset(folder.dataset(folder.data_name(d)))]


def freeze(plan: Plan, seen: Seen | None = None) -> None:
    """Keep the spec, the data and what the evaluators read, as they were when they were planned.

    seen: is shown how far the mining of negatives is.
    """
    folder = plan.folder
    write_atomic(folder.spec_file, plan.spec.text)
    left = to_mine(plan)
    for digest, splits in plan.data.items():
        model = next(t.spec.model for t in plan.trials if t.data_digest == digest)
        of_setting = seen and digest in left and _numbered(seen, left.index(digest), len(left))
        freeze_data(folder, digest, splits, model, of_setting or None)
    for files in plan.evaluators.values():
        files.freeze(folder)


def _numbered(seen: Seen, before: int, settings: int) -> Seen:
    return lambda step: seen(replace(step, setting=before + 1, settings=settings))


def freeze_data(
    sweep: SweepDir, digest: str, splits: Splits, model: ModelSpec, seen: Seen | None = None
) -> None:
    """Keep the data with this digest, and what the audit says of them. What is there already is
    kept if whole. Negatives that are to be mined are mined now. Raises EmbftError where that fails.
    """
    folder = sweep.dataset(sweep.data_name(digest))
    if has_dataset(folder):
        return
    if splits.mining is None:
        write_dataset(folder, splits, audit_with(splits, model))
        return
    from embft.synthesis.mining import mined

    found = mined(sweep.mining_folder, splits.train, splits.mining, seen)
    made = replace(splits, train=found.train, mining=None)
    audit = audit_with(made, model)
    audit = replace(audit, findings=(found.finding, *audit.findings))
    recipe = {} if splits.train_recipe is None else {RECIPE: splits.train_recipe}
    write_dataset(folder, made, audit, {**splits.digests(), **recipe})
