"""What a spec's evaluators read, as a sweep froze it: `evaluators/<digest>/` below its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embft.data.labelled import Labelled
from embft.data.pairs import Pairs
from embft.data.retrieval import Retrieval
from embft.results.dataset import MANIFEST, check_whole, is_whole, write_manifest
from embft.results.folders import SweepDir
from embft.spec.evaluators import EvaluatorSpec
from embft.storage.files import new_folder
from embft.storage.seal import damaged, folder_digests


@dataclass(frozen=True)
class EvaluatorFiles:
    """What one entry reads. digest: of all of it, "" where it reads nothing.

    tables: by `data`, `dev` and `train`. sources: the user's modules, by path below `folder`.
    judged: a corpus with judged queries.
    """

    digest: str = ""
    tables: Mapping[str, Labelled | Pairs] = field(default_factory=dict)
    sources: Mapping[str, bytes] = field(default_factory=dict)
    folder: Path = Path()
    judged: Retrieval | None = None

    def freeze(self, sweep: SweepDir) -> None:
        """Write everything into the sweep's folder, whole or not at all."""
        folder = sweep.evaluator_folder(self.digest)
        if folder is None or is_whole(folder):
            return
        with new_folder(folder) as temporary:
            for role, table in self.tables.items():
                table.write(table_file(temporary, role))
            if self.judged is not None:
                self.judged.write(temporary)
            for name, source in self.sources.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(source)
            write_manifest(temporary)


def find_files(entry: EvaluatorSpec) -> EvaluatorFiles:
    """What this entry reads, found and checked. Raises EmbftError for what is missing or does not
    fit.
    """
    return entry.fields.find_files() or EvaluatorFiles()


def table_file(folder: Path, role: str) -> Path:
    """Where a frozen table lies. role: `data`, `dev` or `train`."""
    return folder / f"{role}.parquet"


def named_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 over several named digests, whatever their order; "" of none."""
    if not digests:
        return ""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def check_frozen(entry: EvaluatorSpec, folder: Path, digest: str) -> None:
    """Raise RecordError unless the folder is as it was frozen.

    A results folder may come from anyone, and its own manifest is no evidence: code in it is run
    only where it is the code that the trial was planned with.
    """
    check_whole(folder)
    if not entry.is_users:
        return
    digests = folder_digests(folder)
    there = {k: v for k, v in digests.items() if k != MANIFEST and "__pycache__" not in k}
    if named_digest(there) != digest:
        raise damaged(
            folder / MANIFEST, f"not the code that {entry.fields.title!r} was planned with"
        )
