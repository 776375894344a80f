"""Low-rank adapters: added to a base, attached again from disk, merged into it."""

from __future__ import annotations

from pathlib import Path

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
from embft.spec import LoraSpec

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_SAVED_PREFIX = "base_model.model."


def add_adapter(model: SentenceTransformer, lora: LoraSpec) -> None:
    """Freeze the base and add low-rank matrices to its target modules."""
    targets = lora.target_modules
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float works and need not be whole
        lora_dropout=lora.dropout,
        target_modules=list(targets) if isinstance(targets, tuple) else targets,
        use_rslora=lora.variant == "rslora",
        use_dora=lora.variant == "dora",
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
            "train.lora.target_modules: this architecture has no default; say all-linear, or "
            f"name some of its linear layers: {', '.join(sorted(linear))}"
        )
    named = lora.target_modules if isinstance(lora.target_modules, tuple) else ()
    unknown = [name for name in named if name not in linear]
    if not unknown:
        return f"train.lora: {error}"
    return f"train.lora.target_modules: no layer is called {unknown[0]!r}: " + nearest(
        unknown[0], linear
    )


def attach_adapter(model: SentenceTransformer, folder: Path) -> None:
    """Add the adapter of a folder to its base model.

    Raises ProofError unless its weights are exactly the ones that the base expects: loaders skip
    what does not match, and give the base model's embeddings.
    """
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
