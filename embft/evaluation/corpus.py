"""A corpus as vectors: each different text encoded once, in memory or in a file that can go on.

The file is written a part at a time, each with its digest. A run that was interrupted goes on after
the last part that is whole, if corpus and model are the same.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from embft.data.column import take
from embft.data.retrieval import TextSet
from embft.data.texts import IntArray, text_ids
from embft.errors import ModelError, RecordError
from embft.evaluation.context import Progress
from embft.evaluation.search import Block, Vectors
from embft.spec.sides import Side
from embft.storage.files import write_atomic
from embft.storage.seal import sealed, unsealed
from embft.system.allocator import release_memory
from embft.system.rate import Rate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PART = 2048
"""Texts that are encoded, written and synced together: half a minute of a small model's work."""
IN_MEMORY = 16_384
"""So many texts' vectors stay in memory; of more they lie in a file."""
_BLOCK = 65_536  # vectors that are searched together
_PROBE = 8
_STATE, _VECTORS = "state.json", "vectors.f32"
_MARGIN = 50_000_000


@dataclass(frozen=True)
class Corpus:
    """n documents, and the vectors of their u different texts, all of length 1.

    text (n,): the number of each document's text. vectors: (u, width), or the file that holds them.
    folder: a temporary one, which is removed when nothing holds it any more.
    """

    text: IntArray
    vectors: Vectors | Path
    shape: tuple[int, int]
    folder: TemporaryDirectory[str] | None = None

    def blocks(self) -> Iterator[Block]:
        """The vectors, some at a time; of a file no more than these are mapped."""
        count, width = self.shape
        for start in range(0, count, _BLOCK):
            rows = min(_BLOCK, count - start)
            if isinstance(self.vectors, Path):
                place, shape = start * width * 4, (rows, width)
                yield start, np.memmap(self.vectors, np.float32, "c", place, shape)
            else:
                yield start, self.vectors[start : start + rows]

    def take(self, rows: IntArray) -> Corpus:
        """These documents alone, their vectors in memory."""
        used, text = np.unique(self.text[rows], return_inverse=True)
        taken = np.empty((len(used), self.shape[1]), np.float32)
        for start, vectors in self.blocks():
            here = slice(*np.searchsorted(used, [start, start + len(vectors)]))
            taken[here] = vectors[used[here] - start]
        return Corpus(text.reshape(-1), taken, taken.shape)


def encode_corpus(
    model: SentenceTransformer,
    corpus: TextSet,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """The corpus by this model, as documents.

    folder: where the vectors are kept where they are more than `IN_MEMORY`, so that an interrupted
    encoding goes on; to be removed by who is done with them. Without one a temporary folder.
    Raises OSError where the disk is too small, ModelError where the vectors are no finite numbers.
    """
    (numbers,) = text_ids(corpus.texts)
    rows = np.unique(numbers, return_index=True)[1]
    texts = _Texts(corpus.texts, rows)
    if len(texts) <= IN_MEMORY:
        told = progress if len(texts) > PART else None
        vectors = _in_memory(model, texts, _Shown(told, len(texts)))
        return Corpus(numbers, vectors, vectors.shape)
    own = None if folder is not None else TemporaryDirectory(prefix="embft-corpus-")
    file = _File(model, texts, folder or Path(own.name if own else ""))
    file.finish(progress)
    return Corpus(numbers, file.path, (len(texts), file.width), own)


def _in_memory(model: SentenceTransformer, texts: _Texts, shown: _Shown) -> Vectors:
    parts = list[Vectors]()
    for start in range(0, len(texts), PART):
        parts.append(_encoded(model, texts.part(start)))
        shown.tell(start + len(parts[-1]))
    return np.concatenate(parts)


def encode_queries(model: SentenceTransformer, texts: Sequence[str]) -> Vectors:
    """The vectors of queries, at length 1. Raises ModelError where they are no finite numbers."""
    return _encoded(model, texts, "query")


def unit(vectors: Vectors) -> Vectors:
    """The vectors at length 1, in single precision; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), np.float32)


def _encoded(model: SentenceTransformer, texts: Sequence[str], side: Side = "document") -> Vectors:
    from embft.encoding.encoder import encode

    vectors = encode(model, texts, side)
    if bad := int((~np.isfinite(vectors).all(axis=1)).sum()):
        raise ModelError(
            f"the embeddings of {bad} of {len(texts)} texts ({side}) are not finite numbers: the "
            "model is broken. If it was trained, try a smaller train.learning_rate"
        )
    return unit(vectors)


@dataclass(frozen=True)
class _Texts:
    """The different texts of a corpus, at these rows of it."""

    column: Sequence[str]
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int) -> list[str]:
        """The texts from this one on, at most `PART`."""
        return take(self.column, self.rows[start : start + PART])


class _Shown:
    """Shows how far an encoding is that begins now. first: how many texts are encoded already."""

    def __init__(self, progress: Progress | None, total: int, first: int = 0) -> None:
        self.progress, self.total, self.rate = progress, total, Rate(first)

    def tell(self, done: int) -> None:
        """So many are."""
        if self.progress is not None:
            self.progress(done, self.total, self.rate.left(done, self.total) or 0.0)


class _File:
    """The vectors of texts by a model, in a file that is added to."""

    def __init__(self, model: SentenceTransformer, texts: _Texts, folder: Path) -> None:
        self.model, self.texts = model, texts
        self.path, self.state = folder / _VECTORS, folder / _STATE
        probe = _encoded(model, texts.part(0)[:_PROBE])
        self.width = probe.shape[1]
        self.identity = self._identity(probe)
        folder.mkdir(parents=True, exist_ok=True)

    def _identity(self, probe: Vectors) -> str:
        """What all parts depend on: how many texts there are, and the model, by what it makes of
        some of them. Its own texts are in each part's digest.
        """
        return _digest(json.dumps([len(self.texts), PART]).encode(), probe.tobytes())

    def finish(self, progress: Progress | None) -> None:
        """Write all vectors; what is there of an interrupted run is kept."""
        parts = self._whole_parts()
        self._check_disk(len(parts))
        first = len(parts)
        shown = _Shown(progress, len(self.texts), first * PART)
        with self.path.open("r+b" if parts else "wb") as file:
            for number in range(first, -(-len(self.texts) // PART)):
                texts = self.texts.part(number * PART)
                vectors = _encoded(self.model, texts).tobytes()
                file.seek(number * PART * self.width * 4)
                file.write(vectors)
                file.flush()
                os.fsync(file.fileno())
                parts.append(_part_digest(texts, vectors))
                self._keep(parts)
                release_memory()
                shown.tell(min((number + 1) * PART, len(self.texts)))

    def _keep(self, parts: Sequence[str]) -> None:
        content: dict[str, Any] = {"identity": self.identity, "parts": list(parts)}
        write_atomic(self.state, sealed(content))

    def _whole_parts(self) -> list[str]:
        """The digests of the parts that are on disk as they were written, up to one that is not."""
        try:
            content = unsealed(self.state)
            if content.get("identity") != self.identity:
                return []
            whole = list[str]()
            with self.path.open("rb") as file:
                for number, part in enumerate(content["parts"]):
                    vectors = file.read(PART * self.width * 4)
                    if _part_digest(self.texts.part(number * PART), vectors) != part:
                        break
                    whole.append(part)
        except (OSError, RecordError, KeyError, TypeError):
            return []
        return whole

    def _check_disk(self, parts: int) -> None:
        """Raise OSError where what is missing does not fit on the disk."""
        needed = (len(self.texts) - parts * PART) * self.width * 4 + _MARGIN
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"the vectors of {len(self.texts):,} documents need {needed / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free in",
                str(self.path.parent),
            )


def _part_digest(texts: Sequence[str], vectors: bytes) -> str:
    return _digest(json.dumps(list(texts)).encode(), vectors)


def _digest(*content: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for each in content:
        digest.update(each)
    return digest.hexdigest()
