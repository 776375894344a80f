"""Low-rank adapters: added to a base, checked when loaded, merged into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    get_peft_model_state_dict,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers.pytorch_utils import Conv1D

from embft.errors import ModelError, VerificationError
from embft.models.targets import check_targets, default_targets
from embft.spec import LoraSpec

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_SAVED_PREFIX = "base_model.model."
_DORA = "lora_magnitude_vector"


def add_adapter(model: SentenceTransformer, lora: LoraSpec) -> None:
    """Freeze the base, all of it, and add low-rank matrices to its target modules.

    Raises ModelError where a target is no layer of it.
    """
    model.requires_grad_(False)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float works and need not be whole
        lora_dropout=lora.dropout,
        target_modules=_targets(model, lora),
        use_rslora=lora.variant == "rslora",
        use_dora=lora.variant == "dora",
    )
    try:
        model.add_adapter(config)
    except (ValueError, TypeError) as error:
        raise ModelError(f"train.lora: {error}") from None


def _targets(model: SentenceTransformer, lora: LoraSpec) -> list[str] | str:
    if lora.target_modules == "all-linear":
        return "all-linear"
    inner: Any = model.transformers_model
    layers = [n for n, m in inner.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)]
    if lora.target_modules is None:
        return list(default_targets(layers))
    named = list(lora.target_modules)
    check_targets(named, layers)
    return named


def read_adapter(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a saved adapter under PEFT's names. Raises VerificationError."""
    try:
        saved = load_file(folder / _ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise VerificationError(
            f"{folder / _ADAPTER_WEIGHTS}: cannot read the adapter: {error}"
        ) from None
    return {_plain_name(name): value for name, value in saved.items()}


def _plain_name(name: str) -> str:
    plain = name.removeprefix(_SAVED_PREFIX)
    return plain.removesuffix(".weight") if plain.endswith(f"{_DORA}.weight") else plain


def check_adapter(
    model: SentenceTransformer, weights: Mapping[str, torch.Tensor], folder: Path
) -> None:
    """Raise VerificationError unless the model's adapter is exactly the saved one.

    Loaders skip what does not match, and give the base model's embeddings.
    """
    found = get_peft_model_state_dict(model.transformers_model)
    strange = sorted(weights.keys() ^ found.keys())
    if strange:
        raise VerificationError(
            f"{folder / _ADAPTER_WEIGHTS}: {len(strange)} of the adapter's weights do not fit the "
            f"base model, for instance {strange[0]!r}: the adapter would silently not be applied"
        )
    for name, value in weights.items():
        same = torch.equal(found[name].cpu().to(value.dtype), value)
        if not same and not value.isnan().any():
            raise VerificationError(
                f"{folder / _ADAPTER_WEIGHTS}: {name!r} was not loaded as it was saved: the "
                "adapter would not be the trained one"
            )


def name_for_all_loaders(folder: Path) -> None:
    """Give DoRA's magnitudes in a saved adapter the name that every loader reads.

    As saved, PEFT finds them, but transformers does not, says so in its log at most, and goes on
    with new ones: plain `SentenceTransformer(folder)` would give other embeddings.
    """
    path = folder / _ADAPTER_WEIGHTS
    saved = load_file(path)
    if any(name.endswith(_DORA) for name in saved):
        named = {f"{n}.weight" if n.endswith(_DORA) else n: w for n, w in saved.items()}
        save_file(named, path, metadata={"format": "pt"})


def merge_adapter(model: SentenceTransformer) -> None:
    """Add the low-rank matrices to the weights that they adapt, and take them away."""
    inner: Any = model.transformers_model
    layers = [(n, m) for n, m in inner.named_modules() if isinstance(m, BaseTunerLayer)]
    for name, layer in layers:
        layer.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(inner.get_submodule(parent), child, layer.get_base_layer())
    del inner.peft_config
    inner._hf_peft_config_loaded = False
    # Loaded with an adapter, transformers would write every weight under PEFT's names.
    conversions = getattr(inner, "_weight_conversions", None) or []
    inner._weight_conversions = [c for c in conversions if not _is_for_adapters(c)]


def _is_for_adapters(conversion: Any) -> bool:
    patterns = " ".join(map(str, conversion.source_patterns))
    return "lora_" in patterns or _SAVED_PREFIX in patterns
