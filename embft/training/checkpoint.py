"""A training that can be cut off at any moment: its state on disk, whole and verified.

A checkpoint is a folder that appears by one rename, with a manifest of its files' digests. Only one
that is whole, and that the very same training has written, is ever used; else the one before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from embft.storage.files import replace_folder, sync_folder, write_atomic

_MANIFEST, _STATE, _TENSORS = "manifest.json", "state.json", "tensors.safetensors"
_KEPT = 2  # the newest, and the one before in case the newest is damaged


@dataclass(frozen=True)
class Checkpoint:
    """What a training was when it was saved. state: plain JSON."""

    state: dict[str, Any]
    tensors: dict[str, torch.Tensor]


class Checkpoints:
    """The checkpoints of one training. identity: what must be equal for one to be used."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, dict(identity)

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the state after this step, and forget all but this one and the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sync_folder(self.folder.parent)
        files = {
            _STATE: json.dumps({"identity": self.identity, **checkpoint.state}).encode(),
            _TENSORS: save({name: t.contiguous() for name, t in checkpoint.tensors.items()}),
        }
        temporary = self.folder / f".{os.getpid()}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for name, content in files.items():
            write_atomic(temporary / name, content)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        write_atomic(temporary / _MANIFEST, json.dumps(digests))
        written = self.folder / f"step-{step:09d}"
        replace_folder(temporary, written)
        for old in self._all()[_KEPT:]:
            if old != written:
                shutil.rmtree(old, ignore_errors=True)

    def latest(self, at_most: int | None = None) -> Checkpoint | None:
        """The newest checkpoint that is whole and ours.

        Removes those that are not, and says so on stderr: they would stand in the way of new ones.
        at_most: the last step that may have been done.
        """
        for folder in self._all():
            if at_most is not None and int(folder.name.removeprefix("step-")) > at_most:
                continue
            try:
                return self._read(folder)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                print(f"{folder} is not used, and removed: {error}", file=sys.stderr)
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def newest(self, name: str) -> Any:
        """What the newest one's identity says under this name; None where there is none."""
        for folder in self._all():
            with suppress(OSError, ValueError, KeyError):
                return json.loads((folder / _STATE).read_bytes())["identity"][name]
        return None

    def _all(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)

    def _read(self, folder: Path) -> Checkpoint:
        digests = json.loads((folder / _MANIFEST).read_bytes())
        files = {name: (folder / name).read_bytes() for name in (_STATE, _TENSORS)}
        for name, content in files.items():
            if hashlib.sha256(content).hexdigest() != digests[name]:
                raise ValueError(f"{name} is damaged")
        state = json.loads(files[_STATE])
        found = state.pop("identity")
        differs = [key for key, value in self.identity.items() if found.get(key) != value]
        if differs:
            raise ValueError(f"another {differs[0]}: {found.get(differs[0])}")
        return Checkpoint(state, load(files[_TENSORS]))
