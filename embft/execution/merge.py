"""An adapter merged into its base: one whole model that loads without either, verified.

What `embft merge` does. Works in float32, where adding the matrices to the weights rounds least.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from embft.data.dating import generate
from embft.encoding.encoder import encode
from embft.errors import ModelError
from embft.models.adapter import merge_adapter
from embft.models.base import load_base, open_model
from embft.models.save import Origin, load_saved, save
from embft.models.trained import Found, find_trained, load_found
from embft.models.verification import verify
from embft.results.records import Verification

_PROBE_TEXTS = 64
# Weights are added once instead of products at each text: other roundings, layer upon layer. Of
# embeddings scaled to length 1 a float32 model's differ by some 1e-7.
_TOLERANCE = 1e-5


def merge(name: str, out: Path) -> Verification:
    """Merge the adapter of a trial's or an adapter's folder, and save the whole model to `out`.

    The saved model is loaded again: it must embed as base and adapter together do, and not as the
    base. Raises ModelError where there is no adapter, its base has changed or `out` exists, and
    VerificationError.
    """
    found = find_trained(name)
    saved = _mergeable(found, out)
    load_found(found)  # as it was trained: checked against its probe, and let go
    whole = found.spec.model_copy(update={"dtype": "float32"})
    base = found.base()
    before = _probe(load_base(base.folder, whole))
    model = load_saved(saved, base.folder, whole)
    adapted = _probe(model)
    merge_adapter(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(model, out, Origin.of(base))
    return verify(_probe(open_model(out, whole)), adapted, before, _TOLERANCE)


def _mergeable(found: Found, out: Path) -> Path:
    """The folder of an adapter that can be merged. Raises ModelError."""
    if found.saved is None or not found.is_adapter:
        raise ModelError(
            f"{found.name}: no adapter is here: give the folder of a trial that trained one"
        )
    if found.spec.quantization != "none":
        raise ModelError(
            f"{found.name}: its base was quantised to {found.spec.quantization}, and merging needs "
            "whole weights: train with model.quantization: none"
        )
    if out.exists():
        raise ModelError(f"{out}: this folder exists already: give another one")
    return found.saved


def _probe(model: SentenceTransformer) -> npt.NDArray[np.float32]:
    """Embeddings of the first built-in texts, scaled to length 1."""
    found = encode(model, generate().dev.text_1[:_PROBE_TEXTS])
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1.0), np.float32)
