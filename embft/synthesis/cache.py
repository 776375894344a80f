"""The answers so far, on disk: a line each, so that a killed run loses one batch at the most."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embft.errors import EmbftError

Key = tuple[int, str]
"""Attempt and text."""


class Cache:
    """The answers of one generator. Those of others in the same file are left alone.

    identity: everything that decides an answer, but for text and attempt. `writing` must be held.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        canonical = json.dumps(identity, sort_keys=True)
        self.name = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        self.found = dict(self._read())

    def _read(self) -> Iterator[tuple[Key, str]]:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    if row["generator"] == self.name:
                        yield (row["attempt"], row["text"]), row["answer"]
                except (ValueError, KeyError, TypeError):
                    raise EmbftError(
                        f"{self.path}, line {number}: no answer of a generator: {line[:60]!r}; "
                        f"remove the line, or the file to begin again"
                    ) from None

    def add(self, attempt: int, texts: Sequence[str], answers: Sequence[str]) -> None:
        """Keep a batch's answers, on disk before this returns."""
        rows = [
            {"generator": self.name, "attempt": attempt, "text": text, "answer": answer}
            for text, answer in zip(texts, answers, strict=True)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.found.update(((attempt, t), a) for t, a in zip(texts, answers, strict=True))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the cache file against a second process, and cut off a line that a killed one left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbftError(
                f"{path}: another process is writing it; wait for it, or give another --out"
            ) from None
        file.seek(0)
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
        yield
