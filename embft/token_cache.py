"""The tokens of a sweep's training texts on disk, memory-mapped by all trials that read them alike.

Tokenising a million pairs takes minutes of every trial. A cache that is missing, damaged or cannot
be written costs that time, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from embft.errors import RecordError
from embft.files import new_folder, write_atomic
from embft.memory import release_memory
from embft.seal import canonical_json, check_digests, folder_digests, sealed, unsealed

# So many texts are tokenised in a fifth of a second, which no file is worth.
_WORTH_IT = 10_000
_TENSORS, _MANIFEST = "tokens.safetensors", "manifest.json"
_COLUMN = "column {}"


@dataclass(frozen=True)
class Tokens:
    """The tokens of n different texts. ends: (n + 1,), where each begins and ends in what is flat.

    columns: of each column of texts, which of them stands in each row, in 32 bits.

    flat: of each feature all texts' values end to end, in 32 bits where they are whole numbers; and
    the number format that the model is given it in. constant: what stands there for any text.
    """

    ends: torch.Tensor
    columns: Sequence[torch.Tensor]
    flat: Mapping[str, tuple[torch.Tensor, torch.dtype]]
    constant: Mapping[str, Any]


class TokenCache:
    """The tokens of columns of texts by one tokenizer. identity: what decides them, as JSON."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        name = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:12]
        self.folder = folder / name

    def tokens(self, rows: Sequence[int], make: Callable[[], Tokens]) -> Tokens:
        """The tokens of columns of so many rows: those on disk, else what is made, and kept."""
        if sum(rows) < _WORTH_IT:
            return make()
        if (found := self._read(rows)) is not None:
            return found
        made = make()
        self._write(made)
        if (found := self._read(rows)) is None:  # it could not be written
            return made
        del made
        release_memory()
        return found

    def _read(self, rows: Sequence[int]) -> Tokens | None:
        try:
            manifest = unsealed(self.folder / _MANIFEST)
            check_digests(self.folder, manifest["files"])
            with safe_open(self.folder / _TENSORS, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            columns = [tensors[_COLUMN.format(i)] for i in range(len(rows))]
            flat = {
                name: (tensors[name].expand(count), getattr(torch, dtype))
                for name, (count, dtype) in manifest["flat"].items()
            }
        except (OSError, RecordError, SafetensorError, LookupError, TypeError, RuntimeError):
            return None
        if [len(column) for column in columns] != list(rows):
            return None
        return Tokens(tensors["ends"], columns, flat, manifest["constant"])

    def _write(self, tokens: Tokens) -> None:
        # TypeError: a feature that is neither tensor nor JSON.
        with suppress(OSError, SafetensorError, TypeError), new_folder(self.folder) as temporary:
            values = {name: _stored(value) for name, (value, _) in tokens.flat.items()}
            columns = {_COLUMN.format(i): column for i, column in enumerate(tokens.columns)}
            save_file({"ends": tokens.ends, **columns, **values}, temporary / _TENSORS)
            described = {
                "files": folder_digests(temporary),
                "flat": {k: [len(v), _name(dtype)] for k, (v, dtype) in tokens.flat.items()},
                "constant": dict(tokens.constant),
            }
            write_atomic(temporary / _MANIFEST, sealed(described))


def _stored(value: torch.Tensor) -> torch.Tensor:
    """One number that stands for all, whose stride is 0, is stored once."""
    return value if any(value.stride()) else value[:1].clone()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
