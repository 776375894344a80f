"""A trial's key: the hash of everything that decides its result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from embft.spec import TrialSpec
from embft.storage.seal import canonical_json

# Part of every key: raise it when a change of ours makes the same trial give other scores.
EVALUATION_VERSION = 6
KEY_LENGTH = 12


def trial_key(spec: TrialSpec, data: str, model: str, evaluators: Sequence[str] = ()) -> str:
    """The hash of everything that decides a trial's result.

    data, model, evaluators: digests; where they came from does not count. Fields at their default
    are left out, so that a field that a later version adds leaves the keys of old trials alone.
    """
    decided = spec.normalised().model_dump(mode="json", exclude_defaults=True, exclude={"data"})
    decided.get("model", {}).pop("base", None)
    decided.get("model", {}).pop("revision", None)
    if spec.evaluators:
        decided["evaluators"] = [[entry.content() for entry in spec.evaluators], list(evaluators)]
    content = {
        "spec": decided,
        "data": data,
        "model": model,
        "evaluation": EVALUATION_VERSION,
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]
