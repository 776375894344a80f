"""An exported folder, verified later: its files, and the embeddings that it must give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embft.encoding.encoder import encode
from embft.errors import EmbftError, ModelError, VerificationError
from embft.models.resolve import ORIGIN_FILE
from embft.models.safety import read_json
from embft.models.trained import load_trained
from embft.models.verification import largest_share
from embft.shipping.fresh_process import embed_fresh
from embft.storage.seal import file_digest


@dataclass(frozen=True)
class ExportedCheck:
    """What was found in an exported folder: sentences, none where it is as it was exported.

    difference: the largest from the embeddings of then, as a share of their length.
    """

    faults: tuple[str, ...]
    difference: float
    texts: int


def is_exported(folder: Path) -> bool:
    """Whether `embft export` has written the folder."""
    return "check" in (_about(folder) or {})


def check_exported(folder: Path, *, trusted: bool = False) -> ExportedCheck:
    """Compare files with their digests, and embeddings of the built-in texts with those of then.

    Raises EmbftError where `embft.json` is not what an export wrote.
    """
    about = _about(folder) or {}
    try:
        files = {str(name): str(digest) for name, digest in about["files"].items()}
        check = about["check"]
        expected = np.asarray(check["embeddings"], np.float32)
        texts, tolerance = [str(text) for text in check["texts"]], float(check["tolerance"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EmbftError(
            f"{folder / ORIGIN_FILE}: not what `embft export` wrote: {error}"
        ) from None
    faults = [*_changed(folder, files)]
    try:
        if about.get("adapter"):  # plain loaders may not find its base where this machine has it
            now = encode(load_trained(str(folder), trusted=trusted), texts)
        else:
            now = embed_fresh(folder, texts, trusted=trusted)
        share = largest_share(now, expected)
    except (ModelError, VerificationError) as error:
        return ExportedCheck((*faults, str(error)), float("inf"), len(texts))
    if not share <= tolerance:
        faults.append(
            f"its embeddings differ from those of the export by up to {share:.1e} of their length, "
            f"{tolerance:.0e} is allowed"
        )
    return ExportedCheck(tuple(faults), share, len(texts))


def _about(folder: Path) -> dict[str, Any] | None:
    try:
        found = read_json(folder / ORIGIN_FILE)
    except ModelError:
        return None
    return found if isinstance(found, dict) else None


def _changed(folder: Path, files: dict[str, str]) -> Iterator[str]:
    for name, digest in files.items():
        path = folder / name
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
            found = file_digest(path) if inside else ""
        except OSError as error:
            yield f"{name}: cannot be read: {error.strerror or error}"
            continue
        if found != digest:
            yield f"{name}: its content is another one than when it was exported"
