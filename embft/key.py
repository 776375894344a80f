"""A trial's key: the hash of everything that decides its result."""

from __future__ import annotations

import hashlib

from embft.seal import canonical_json
from embft.spec import TrialSpec

# Part of every key: raise it when a change of ours makes the same trial give other scores.
EVALUATION_VERSION = 1
KEY_LENGTH = 12


def trial_key(spec: TrialSpec, data_digest: str, model_digest: str) -> str:
    """The hash of everything that decides a trial's result.

    Where data and base model came from does not count, their content does. Fields at their default
    are left out, so that a field that a later version adds leaves the keys of old trials alone.
    """
    decided = spec.normalised().model_dump(mode="json", exclude_defaults=True, exclude={"data"})
    decided.get("model", {}).pop("base", None)
    decided.get("model", {}).pop("revision", None)
    content = {
        "spec": decided,
        "data": data_digest,
        "model": model_digest,
        "evaluation": EVALUATION_VERSION,
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]
