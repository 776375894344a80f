"""What the steps of a trial read before they compute: frozen data, base model, evaluators."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits

from embft.data.pairs import Splits
from embft.errors import EmbftError, ModelError
from embft.evaluation.run import Bound
from embft.models.base import default_device, use_device
from embft.models.model_folder import anatomy
from embft.models.resolve import LocalBase, spec_base
from embft.results.dataset import open_splits
from embft.results.evaluators import check_frozen
from embft.results.folders import TrialDir
from embft.results.records import TrialInput
from embft.training.precision import resolve_precision


def use_resources(given: TrialInput) -> None:
    """Compute on the trial's device, with its threads: torch's, numpy's and scikit-learn's."""
    use_device(given.device)
    use_threads(given.threads)


def use_threads(threads: int) -> None:
    """Compute with so many threads from here on: torch, numpy and scikit-learn."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def read_splits(folder: TrialDir, given: TrialInput) -> Splits:
    """The data as the sweep froze it. Raises EmbftError when it is no longer what was planned."""
    source = folder.sweep.dataset(given.data)
    splits, digest = open_splits(source)
    if digest != given.data_digest:
        raise EmbftError(f"{source}: the data has changed since the trial was planned")
    return splits


def read_base(given: TrialInput) -> LocalBase:
    """The trial's base model. Raises ModelError when it is no longer what was planned."""
    base = spec_base(given.spec.model)
    if base.digest != given.model_digest:
        raise ModelError(f"{base.folder}: the base model has changed since the trial was planned")
    return base


def precision_of(given: TrialInput) -> str:
    """In which precision the trial computes: as its spec says, its base and its device allow."""
    architecture = anatomy(spec_base(given.spec.model).folder).architecture
    return resolve_precision(given.spec.train.precision, default_device(), architecture)


def bound_evaluators(folder: TrialDir, given: TrialInput) -> list[Bound]:
    """The spec's evaluators, each with the folder of what it reads. Raises RecordError."""
    found: list[Bound] = []
    for entry, digest in zip(given.spec.evaluators, given.evaluators, strict=True):
        frozen = folder.sweep.evaluator_folder(digest)
        if frozen is not None:
            check_frozen(entry, frozen, digest)
        found.append((entry, frozen))
    return found
