"""The per-pair scores and texts of a row, read from disk and kept while they do not change.

Covers reading alone. What is missing or does not fit is None: the report then says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embft.data.pairs import Pairs
from embft.leaderboard.labels import config_label
from embft.leaderboard.rows import Leaderboard, Row
from embft.metrics.resampling import Units, independent_pairs, sampling_units
from embft.results.dataset import read_split, split_file
from embft.results.scores import FloatArray, load_scores
from embft.storage.seal import unsealed

RECOMMENDED, LEADER = "Recommended", "Leader"


@dataclass(frozen=True)
class PairScores:
    """One trial on one split: label and cosine (n,), and the threshold that dev chose."""

    label: FloatArray
    score: FloatArray
    threshold: float | None

    @property
    def is_binary(self) -> bool:
        """Whether every label is 0 or 1."""
        return bool(np.isin(self.label, (0.0, 1.0)).all())


@dataclass(frozen=True)
class Model:
    """A model that is looked at pair by pair. name: its part in the comparison, as charts call it.

    label: its configuration in words.
    """

    name: str
    label: str
    row: Row
    dev: PairScores | None
    test: PairScores


def read_scores(row: Row, split: str) -> PairScores | None:
    """The row's scores on a split, in the split's order, or None where there are none."""
    if row.completed is None:
        return None
    path = row.folder.scores_file
    row.folder.check_files(row.completed, path.name)
    try:
        stamp = path.stat().st_mtime_ns
        found = _scores(path, stamp).get(split)
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    return None if found is None else PairScores(*found, row.completed.threshold)


def read_texts(row: Row, split: str) -> Pairs | None:
    """The texts and groups of the split that the row was scored on, or None."""
    try:
        path = _texts_file(row, split)
        return _texts(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


def train_rows(row: Row) -> int | None:
    """How many rows the row's training data has, or None where they are not on disk."""
    try:
        path = _texts_file(row, "train")
        return _count(path, path.stat().st_mtime_ns)
    except (OSError, pa.ArrowInvalid):
        return None


def pairs_digest(row: Row, split: str) -> str:
    """The digest of the pairs that the row was scored on: scores compare where it is the same."""
    try:
        return frozen_digest(_texts_file(row, split))
    except FileNotFoundError:
        return f"{row.completed.data_digest if row.completed else ''} {split}"


def frozen_digest(path: Path) -> str:
    """The digest of the pairs in a file that a sweep froze. Raises OSError where it is not."""
    return _digest(path, path.stat().st_mtime_ns)


def _texts_file(row: Row, split: str) -> Path:
    # The one field that is needed, so that a report can be made of an older version's trials.
    data: str = unsealed(row.folder.input_file)["data"]
    return split_file(row.folder.sweep.dataset(data), split)


def models(leaderboard: Leaderboard, most: int = 4) -> list[Model]:
    """The models that the charts before and after compare: each is scored on the same pairs.

    The baseline, the recommended configuration (the leader, where the base model is to be kept),
    the best full and the best LoRA one, the leader, and then as they rank; at most `most`.
    """
    found: list[Model] = []
    for name, label, row in _candidates(leaderboard):
        test = read_scores(row, "test")
        if test is None or any(model.row is row for model in found):
            continue
        if found and not np.array_equal(found[0].test.label, test.label):
            continue
        found.append(Model(name, label, row, read_scores(row, "dev"), test))
        if len(found) == most:
            break
    return found


def _candidates(leaderboard: Leaderboard) -> list[tuple[str, str, Row]]:
    shown = leaderboard.shown
    ordered = [(RECOMMENDED if shown.recommended else LEADER, shown)] if shown else []
    for method, name in (("full", "Best full"), ("lora", "Best LoRA")):
        groups = [g for g in leaderboard.groups if g.params.get("train.method") == method]
        ordered += [(name, group) for group in groups[:1]]
    ordered += [(f"Place {group.rank}", group) for group in leaderboard.groups]
    base = (
        [("Baseline", "the base model, not trained", leaderboard.baseline)]
        if leaderboard.baseline
        else []
    )
    return base + [(name, config_label(g.params, leaderboard.axes), g.best) for name, g in ordered]


@lru_cache(maxsize=64)
def _scores(path: Path, stamp: int) -> dict[str, tuple[FloatArray, FloatArray]]:
    del stamp  # A part of the key: a file that was written anew is read anew.
    return load_scores(path)


@lru_cache(maxsize=8)
def _texts(path: Path, stamp: int) -> Pairs:
    del stamp
    return read_split(path.parent, path.stem)


@lru_cache(maxsize=64)
def _count(path: Path, stamp: int) -> int:
    del stamp
    return int(pq.read_metadata(path).num_rows)


@lru_cache(maxsize=64)
def _digest(path: Path, stamp: int) -> str:
    return _texts(path, stamp).digest()


def units_of(texts: Pairs | None, count: int) -> Units:
    """What is drawn when so many pairs are resampled; without their texts each by itself."""
    if texts is None or len(texts) != count:
        return independent_pairs(count)
    return sampling_units(texts.text_1, texts.text_2)
