"""What was trained, on disk: written whole or not at all, and read again."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sentence_transformers import SentenceTransformer

from embft.errors import ModelError, VerificationError
from embft.models.adapter import ADAPTER_CONFIG, check_adapter, name_for_all_loaders, read_adapter
from embft.models.base import open_model
from embft.models.resolve import ORIGIN_FILE, LocalBase
from embft.models.safety import check_folder, read_json
from embft.spec import ModelSpec
from embft.storage.files import replace_folder, write_atomic


@dataclass(frozen=True)
class Origin:
    """The base model of a saved model: its name for any loader, and its revision and digest where
    they are known.
    """

    name: str
    revision: str | None = None
    digest: str | None = None

    @classmethod
    def of(cls, base: LocalBase) -> Origin:
        """The origin of what is trained from this base model."""
        return cls(base.name, base.revision, base.digest)


def trainable_parameters(model: SentenceTransformer) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def total_parameters(model: SentenceTransformer) -> int:
    """How many numbers the model has, adapter included."""
    return sum(p.numel() for p in model.parameters())


def save(model: SentenceTransformer, folder: Path, origin: Origin) -> int:
    """Save the model, or its adapter alone when it has one. Returns its weights' size in bytes.

    An adapter names its base as any loader finds it, with its revision; `embft.json` beside it has
    the digest too. The folder appears whole or not at all.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(str(temporary), create_model_card=False)
    config = temporary / ADAPTER_CONFIG
    if config.exists():
        content = json.loads(config.read_text())
        content["base_model_name_or_path"] = origin.name
        content["revision"] = origin.revision
        if isinstance(content.get("target_modules"), list):  # a set, in no order of its own
            content["target_modules"].sort()
        write_atomic(config, json.dumps(content, indent=2, sort_keys=True))
        name_for_all_loaders(temporary)
        _keep_dtype(temporary, str(model.dtype).removeprefix("torch."))
    write_atomic(temporary / ORIGIN_FILE, json.dumps({"base": asdict(origin)}, indent=2))
    replace_folder(temporary, folder)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def adapter_origin(folder: Path) -> Origin | None:
    """The base model of a saved adapter; None where the folder holds no adapter.

    Of an adapter that another tool wrote the digest is unknown. Raises ModelError.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    if config is None:
        return None
    written = read_origin(folder)
    digest = None if written is None else written.digest
    try:
        return Origin(str(config["base_model_name_or_path"]), config.get("revision"), digest)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder / ADAPTER_CONFIG}: does not say which base model it adapts: {error}"
        ) from None


def read_origin(folder: Path) -> Origin | None:
    """What `embft.json` of a saved model says; None where there is none. Raises ModelError."""
    content = read_json(folder / ORIGIN_FILE)
    try:
        return None if content is None else Origin(**content["base"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder / ORIGIN_FILE}: names no base model: {error}") from None


def load_saved(folder: Path, base_folder: Path | None, spec: ModelSpec) -> SentenceTransformer:
    """The trained model as it was saved. base_folder: an adapter needs it.

    Raises VerificationError when files are missing or an adapter does not fit its base model.
    """
    if not (folder / "modules.json").exists():
        raise VerificationError(f"{folder}: the saved model is missing")
    if base_folder is None or not (folder / ADAPTER_CONFIG).exists():
        return open_model(folder, spec)
    return _open_adapted(folder, base_folder, spec)


def _open_adapted(folder: Path, base_folder: Path, spec: ModelSpec) -> SentenceTransformer:
    """Base and adapter as any user would load them, texts read as the adapter's folder says.

    The folder names its base as the spec does; here it is looked at with the base's path in place.
    """
    check_folder(folder, trusted=spec.trust_remote_code)  # what is behind links is not looked at
    weights = read_adapter(folder)
    with TemporaryDirectory(prefix="embft-") as temporary:
        view = Path(temporary)
        for path in folder.iterdir():
            (view / path.name).symlink_to(path.resolve())
        config = json.loads((folder / ADAPTER_CONFIG).read_text())
        config["base_model_name_or_path"] = str(base_folder)
        (view / ADAPTER_CONFIG).unlink()
        (view / ADAPTER_CONFIG).write_text(json.dumps(config))
        try:
            model = open_model(view, spec)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise VerificationError(
                f"{folder}: the adapter does not fit the base: {reason}"
            ) from None
    check_adapter(model, weights, folder)
    model.eval()
    return model


def _keep_dtype(folder: Path, dtype: str) -> None:
    """An adapter's folder holds no base: write down in which precision this was loaded."""
    path = folder / "sentence_bert_config.json"
    content = json.loads(path.read_text())
    write_atomic(path, json.dumps({**content, "model_kwargs": {"dtype": dtype}}, indent=2))
