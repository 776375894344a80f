"""An adapter merged into its base: one whole model that loads without either, proved.

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
from embft.execution.evaluate import find_saved
from embft.models.adapter import ADAPTER_CONFIG, merge_adapter
from embft.models.base import load_base, open_model
from embft.models.proof import prove
from embft.models.resolve import spec_base
from embft.models.save import load_saved, save
from embft.results.records import Proof

_PROBE_TEXTS = 64
# Weights are added once instead of products at each text: other roundings, layer upon layer. Of
# embeddings scaled to length 1 a float32 model's differ by some 1e-7.
_TOLERANCE = 1e-5


def merge(name: str, out: Path) -> Proof:
    """Merge the adapter of a trial's or an adapter's folder, and save the whole model to `out`.

    The saved model is loaded again: it must embed as base and adapter together do, and not as the
    base. Raises ModelError where there is no adapter or `out` exists, ProofError.
    """
    saved, spec = find_saved(name)
    if saved is None or not (saved / ADAPTER_CONFIG).is_file():
        raise ModelError(f"{name}: no adapter is here: give the folder of a trial that trained one")
    if spec.quantization != "none":
        raise ModelError(
            f"{name}: its base was quantised to {spec.quantization}, and merging needs whole "
            "weights: train with model.quantization: none"
        )
    if out.exists():
        raise ModelError(f"{out}: this folder exists already: give another one")
    whole = spec.model_copy(update={"dtype": "float32"})
    base = spec_base(spec).folder
    before = _probe(load_base(base, whole))
    model = load_saved(saved, base, whole)
    adapted = _probe(model)
    merge_adapter(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(model, out, spec.base)
    return prove(_probe(open_model(out, whole)), adapted, before, _TOLERANCE)


def _probe(model: SentenceTransformer) -> npt.NDArray[np.float32]:
    """Embeddings of the first built-in texts, scaled to length 1."""
    found = encode(model, generate().dev.text_1[:_PROBE_TEXTS])
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths > 0, lengths, 1.0), np.float32)
