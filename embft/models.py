"""The model of a trial: build, save, load again, prove.

Covers the base model with its adapter. Does not find base models (`base_model.py`), train
(`training.py`) or score (`evaluation/`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from peft import (
    LoraConfig,
    PeftConfig,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from embft.errors import ModelError, ProofError, nearest
from embft.spec import LoraSpec, ModelSpec, TrainSpec
from embft.trial import Proof, replace_folder, write_atomic

Embeddings = npt.NDArray[np.float32]

_ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_SAVED_PREFIX = "base_model.model."
# A good reload differs from the model in memory by exactly 0 on the same machine; the tolerance
# leaves room for kernels that choose another order of summation.
TOLERANCE = 1e-5
# Below this, nothing was learned: rounding alone moves embeddings by about 1e-7.
LEAST_CHANGE = 1e-6


def default_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_base(folder: Path, spec: ModelSpec) -> SentenceTransformer:
    """The untrained model, in float32. Raises ModelError when it cannot be loaded."""
    try:
        model = SentenceTransformer(str(folder), device=default_device(), local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot load the base model: {error}") from None
    if spec.max_tokens is not None:
        model.max_seq_length = min(spec.max_tokens, model.max_seq_length or spec.max_tokens)
    return model


def build(folder: Path, spec: ModelSpec, train: TrainSpec) -> SentenceTransformer:
    """The model to train: the base, with a new adapter when the method is LoRA."""
    model = load_base(folder, spec)
    if train.method == "lora":
        add_adapter(model, train.lora)
    return model


def add_adapter(model: SentenceTransformer, lora: LoraSpec) -> None:
    """Freeze the base and add low-rank matrices to its target modules."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float works and need not be whole
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules) if lora.target_modules else None,
    )
    try:
        model.add_adapter(config)
    except ValueError as error:
        raise ModelError(_target_advice(model, lora, error)) from None


def _target_advice(model: SentenceTransformer, lora: LoraSpec, error: ValueError) -> str:
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    if lora.target_modules is None:
        return (
            "train.lora.target_modules: this architecture has no default; "
            f"name some of its linear layers: {', '.join(sorted(linear))}"
        )
    unknown = [name for name in lora.target_modules if name not in linear]
    if not unknown:
        return f"train.lora: {error}"
    return f"train.lora.target_modules: no layer is called {unknown[0]!r}: " + nearest(
        unknown[0], linear
    )


def trainable_parameters(model: SentenceTransformer) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def total_parameters(model: SentenceTransformer) -> int:
    """How many numbers the model has, adapter included."""
    return sum(p.numel() for p in model.parameters())


def save(model: SentenceTransformer, folder: Path, base: str) -> int:
    """Save the model, or its adapter alone when it has one. Returns its weights' size in bytes.

    An adapter names its base as the spec does, not by its path on this machine, so that both can
    be moved. The folder appears whole or not at all.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(str(temporary), create_model_card=False)
    config = temporary / _ADAPTER_CONFIG
    if config.exists():
        content = json.loads(config.read_text())
        content["base_model_name_or_path"] = base
        write_atomic(config, json.dumps(content, indent=2, sort_keys=True))
    replace_folder(temporary, folder)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def load_saved(folder: Path, base_folder: Path, spec: ModelSpec) -> SentenceTransformer:
    """The trained model as it was saved.

    Raises ProofError when files are missing or an adapter's weights are not exactly the ones that
    the base model expects: loaders skip what does not match, and give the base model's embeddings.
    """
    if not (folder / "modules.json").exists():
        raise ProofError(f"{folder}: the saved model is missing")
    if not (folder / _ADAPTER_CONFIG).exists():
        return load_base(folder, spec)
    model = load_base(base_folder, spec)
    _attach(model, folder)
    return model


def _attach(model: SentenceTransformer, folder: Path) -> None:
    try:
        saved = load_file(folder / _ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ProofError(f"{folder / _ADAPTER_WEIGHTS}: cannot read the adapter: {error}") from None
    inner = model.transformers_model
    model.add_adapter(PeftConfig.from_pretrained(str(folder)))
    weights = {name.removeprefix(_SAVED_PREFIX): value for name, value in saved.items()}
    expected = get_peft_model_state_dict(inner)
    strange = sorted(weights.keys() ^ expected.keys())
    if strange:
        raise ProofError(
            f"{folder / _ADAPTER_WEIGHTS}: {len(strange)} of the adapter's weights do not fit the "
            f"base model, for instance {strange[0]!r}: the adapter would silently not be applied"
        )
    try:
        set_peft_model_state_dict(inner, weights)
    except RuntimeError as error:
        raise ProofError(f"{folder / _ADAPTER_WEIGHTS}: {error}") from None
    model.eval()


def prove(reloaded: Embeddings, in_memory: Embeddings, base: Embeddings) -> Proof:
    """Show that the saved model is the trained one: equal to it, and not the base.

    All three are embeddings of the same texts, shape (n, width). Raises ProofError otherwise.
    """
    if not np.isfinite(reloaded).all():
        raise ProofError("the saved model gives embeddings that are not finite numbers")
    against_memory = float(np.abs(reloaded - in_memory).max())
    against_base = float(np.abs(reloaded - base).max())
    if against_base < LEAST_CHANGE:
        raise ProofError(
            "the saved model gives the base model's embeddings "
            f"(largest difference {against_base:.1e}): what was trained is not applied"
        )
    if against_memory > TOLERANCE:
        raise ProofError(
            "the saved model is not the trained one: its embeddings differ from those of the model "
            f"in memory by up to {against_memory:.1e}, {TOLERANCE:.0e} is allowed"
        )
    return Proof(
        probe_texts=len(reloaded),
        against_memory=against_memory,
        against_base=against_base,
        tolerance=TOLERANCE,
    )
