"""Tokens of many texts, end to end, and those of a sweep's training texts on disk, memory-mapped by
all trials that read them alike.

Tokenising a million pairs takes minutes of every trial. A cache that is missing, damaged or cannot
be written costs that time, and nothing else.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from embft.errors import RecordError
from embft.storage.files import new_folder, write_atomic
from embft.storage.seal import canonical_json, check_digests, folder_digests, sealed, unsealed
from embft.system.allocator import release_memory

# So many texts are tokenised in a fifth of a second, which no file is worth.
_WORTH_IT = 10_000
_TENSORS, _MANIFEST = "tokens.safetensors", "manifest.json"
_COLUMN, _USED = "column {}", "used"
_IN_MEMORY = 1 << 22  # values of a feature; more of them lie in a temporary file


@dataclass(frozen=True)
class Tokens:
    """The tokens of n different texts. ends: (n + 1,), where each begins and ends in what is flat.

    columns: of each column of texts, which of them stands in each row, in 32 bits.

    used: the token ids that occur, ascending.

    flat: of each feature all texts' values end to end, in 32 bits where they are whole numbers; and
    the number format that the model is given it in. constant: what stands there for any text.
    kinds: where it differs, from which text on what stands there besides.
    """

    ends: torch.Tensor
    columns: Sequence[torch.Tensor]
    used: torch.Tensor
    flat: Mapping[str, tuple[torch.Tensor, torch.dtype]]
    constant: Mapping[str, Any]
    kinds: Sequence[tuple[int, Mapping[str, Any]]] = ()


_PROMPT = "prompt_length"


def collected(
    parts: Sequence[Iterable[Mapping[str, Any]]],
    columns: Sequence[torch.Tensor],
    *,
    prompt_counts: bool = False,
) -> Tokens:
    """The tokens of different texts, of which `columns` says what stands in each row.

    parts: texts of one prompt each, in batches: the model's own features of padded texts, tensors
    of shape (texts, tokens), and what is no tensor and the same for any text of the part.
    prompt_counts: whether a prompt's length matters to the model.
    """
    counts, growing = [torch.zeros(1, dtype=torch.long)], dict[str, _Growing]()
    used, kinds = torch.zeros(0, dtype=torch.bool), list[tuple[int, dict[str, Any]]]()
    for part in parts:
        constant = dict[str, Any]()
        kinds.append((sum(map(len, counts)) - 1, constant))
        for features in part:
            mask = features["attention_mask"].bool()
            counts.append(mask.sum(dim=1))
            for name, value in features.items():
                if isinstance(value, torch.Tensor):
                    growing.setdefault(name, _Growing(value.dtype)).append(value[mask])
                elif name != _PROMPT or prompt_counts:
                    constant[name] = value
            if "input_ids" in features:
                used = _marked(used, features["input_ids"][mask])
    flat = {name: (each.finished(), each.dtype) for name, each in growing.items()}
    ends = torch.cat(counts).cumsum(0)
    tokens = used.nonzero()[:, 0]
    if all(constant == kinds[0][1] for _, constant in kinds):
        return Tokens(ends, columns, tokens, flat, kinds[0][1] if kinds else {})
    return Tokens(ends, columns, tokens, flat, {}, kinds)


def _marked(used: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The marks of the ids that occur, with these marked too."""
    most = int(ids.max()) if len(ids) else -1
    longer = torch.nn.functional.pad(used, (0, max(most + 1 - len(used), 0)))
    longer[ids] = True
    return longer


class _Growing:
    """A feature of tokens that are added to. In 32 bits where it is a whole number; one number, of
    stride 0, as long as it is the same everywhere; in a temporary file once there are many.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype, self.count, self.varies = dtype, 0, False
        self.first = torch.zeros(1)
        self.parts, self.held = list[torch.Tensor](), 0
        self.file: IO[bytes] | None = None

    def append(self, values: torch.Tensor) -> None:
        """Add the values of some tokens."""
        values = values.int() if values.dtype == torch.long else values
        if not self.count:
            self.first = values[:1].clone()
        if not self.varies and (values.ndim > 1 or bool((values != self.first).any())):
            self.varies = True
            self._hold(self.first.expand(self.count, *self.first.shape[1:]))
        if self.varies:
            self._hold(values)
        self.count += len(values)

    def _hold(self, values: torch.Tensor) -> None:
        for part in values.split(_IN_MEMORY):
            self.parts.append(part)
            self.held += len(part)
            if self.held >= _IN_MEMORY:
                self._flush()

    def _flush(self) -> None:
        self.file = self.file or tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its map
        for part in self.parts:
            self.file.write(part.contiguous().numpy().data)
        self.parts, self.held = [], 0

    def finished(self) -> torch.Tensor:
        """All values end to end, shape (values,)."""
        if not self.varies:
            return self.first.expand(self.count)
        if self.file is None:
            return torch.cat(self.parts)
        self._flush()
        self.file.flush()
        shape = (self.count, *self.first.shape[1:])
        return torch.from_numpy(np.memmap(self.file, self.first.numpy().dtype, "r+", shape=shape))


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
        release_memory()
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
            ends, used = tensors["ends"], tensors[_USED]
            flat = {
                name: (tensors[name].expand(count), getattr(torch, dtype))
                for name, (count, dtype) in manifest["flat"].items()
            }
        except (OSError, RecordError, SafetensorError, LookupError, TypeError, RuntimeError):
            return None
        if [len(column) for column in columns] != list(rows):
            return None
        kinds = [(int(first), each) for first, each in manifest.get("kinds", ())]
        return Tokens(ends, columns, used, flat, manifest["constant"], kinds)

    def _write(self, tokens: Tokens) -> None:
        # TypeError: a feature that is neither tensor nor JSON.
        with suppress(OSError, SafetensorError, TypeError), new_folder(self.folder) as temporary:
            values = {name: _stored(value) for name, (value, _) in tokens.flat.items()}
            columns = {_COLUMN.format(i): column for i, column in enumerate(tokens.columns)}
            tensors = {"ends": tokens.ends, _USED: tokens.used, **columns, **values}
            save_file(tensors, temporary / _TENSORS)
            described = {
                "files": folder_digests(temporary),
                "flat": {k: [len(v), _name(dtype)] for k, (v, dtype) in tokens.flat.items()},
                "constant": dict(tokens.constant),
                "kinds": [[first, dict(each)] for first, each in tokens.kinds],
            }
            write_atomic(temporary / _MANIFEST, sealed(described))


def _stored(value: torch.Tensor) -> torch.Tensor:
    """One number that stands for all, whose stride is 0, is stored once."""
    return value if any(value.stride()) else value[:1].clone()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
