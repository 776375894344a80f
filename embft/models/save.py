"""What was trained, on disk: written whole or not at all, and read again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sentence_transformers import SentenceTransformer

from embft.errors import ProofError
from embft.files import replace_folder, write_atomic
from embft.models.adapter import ADAPTER_CONFIG, attach_adapter
from embft.models.base import load_base, open_model
from embft.spec import ModelSpec


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
    config = temporary / ADAPTER_CONFIG
    if config.exists():
        content = json.loads(config.read_text())
        content["base_model_name_or_path"] = base
        write_atomic(config, json.dumps(content, indent=2, sort_keys=True))
    replace_folder(temporary, folder)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def load_saved(folder: Path, base_folder: Path, spec: ModelSpec) -> SentenceTransformer:
    """The trained model as it was saved.

    Raises ProofError when files are missing or an adapter does not fit its base model.
    """
    if not (folder / "modules.json").exists():
        raise ProofError(f"{folder}: the saved model is missing")
    if not (folder / ADAPTER_CONFIG).exists():
        return open_model(folder, spec)
    model = load_base(base_folder, spec)
    attach_adapter(model, folder)
    return model
