"""A trial's key: the hash of everything that decides its result; and the key of its training alone.

Two trials may differ in their keys and have one training: what is evaluated besides, by which
columns scores are broken down and what is in the test split decide no weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from embft.data.pairs import Pairs, Splits
from embft.spec import TrialSpec
from embft.spec.objective import giving
from embft.storage.seal import canonical_json

# Part of every key: raise it when a change of ours makes the same trial give other scores.
EVALUATION_VERSION = 6
# The versions of it whose trainings give the models that today's give, today's own among them. A
# change of ours in what is trained leaves only that one; a change in scoring adds it.
TRAINED_ALIKE = (6,)
KEY_LENGTH = 12


def trial_key(
    spec: TrialSpec,
    data: str,
    model: str,
    evaluators: Sequence[str] = (),
    version: int = EVALUATION_VERSION,
) -> str:
    """The hash of everything that decides a trial's result.

    data, model, evaluators: digests; where they came from does not count. Fields at their default
    are left out, so that a field that a later version adds leaves the keys of old trials alone.
    """
    decided = _decided(spec)
    if spec.evaluators:
        decided["evaluators"] = [[entry.content() for entry in spec.evaluators], list(evaluators)]
    return _hashed({"spec": decided, "data": data, "model": model, "evaluation": version})


def training_key(spec: TrialSpec, data: str, model: str, evaluators: Sequence[str] = ()) -> str:
    """The hash of everything that decides which weights a trial ends with.

    data: of `training_digest`. The others as of `trial_key`; of the evaluators counts the one whose
    metric on dev chooses the epoch, if one of them does.
    """
    decided = _decided(spec)
    decided.pop("evaluators", None)
    content = {"spec": decided, "data": data, "model": model, "chosen by": []}
    chosen = giving(spec.objective.metric, spec.evaluators)
    if chosen is not None:
        read = dict(zip(spec.evaluators, evaluators, strict=True))
        content["chosen by"] = [chosen.content(), read[chosen]]
    return _hashed(content)


def training_digest(splits: Splits) -> str:
    """SHA-256 over the data that decide a training: the pairs of train and dev without the columns
    of groups, and where dev is judged queries the corpus and these. Of mined negatives the recipe.
    """
    train = splits.train_recipe or _without_groups(splits.train).digest()
    digest = hashlib.sha256(train.encode())
    digest.update(_without_groups(splits.dev).digest().encode())
    if splits.retrieval is not None:
        digest.update(splits.retrieval.of_dev().digest().encode())
    return digest.hexdigest()


def _without_groups(pairs: Pairs) -> Pairs:
    return replace(pairs, groups={}) if pairs.groups else pairs


def _decided(spec: TrialSpec) -> dict[str, Any]:
    """The fields that decide, those left out whose content counts."""
    decided: dict[str, Any] = spec.normalised().model_dump(
        mode="json", exclude_defaults=True, exclude={"data"}
    )
    decided.get("model", {}).pop("base", None)
    decided.get("model", {}).pop("revision", None)
    return decided


def _hashed(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]
