"""Cosines -> metrics with intervals, and the per-pair scores as a file.

The threshold for F1 and its kin is chosen on dev and applied to test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embft.data.pairs import Pairs, Splits
from embft.evaluation.embed import Scores
from embft.files import write_atomic
from embft.metrics.bootstrap import bootstrap
from embft.metrics.pairs import best_f1_threshold, pair_metrics, undefined_reasons
from embft.metrics.resampling import sampling_units
from embft.trial import Metrics


@dataclass(frozen=True)
class SplitScores:
    """One split's metrics, their 95 % intervals, and what was resampled for these."""

    metrics: Metrics
    intervals: dict[str, tuple[float, float]]
    scheme: str


@dataclass(frozen=True)
class ScoredSplits:
    """Dev and test; `undefined` says for each metric that test has not, why.

    test_without_leaks: test's metrics on the pairs that stand in no other split, if any leaked.
    """

    threshold: float | None
    dev: SplitScores
    test: SplitScores
    test_without_leaks: Metrics
    undefined: dict[str, str]


def score_dev(pairs: Pairs, cosines: Scores) -> Metrics:
    """The metrics of the dev split at its own best threshold."""
    return pair_metrics(cosines, pairs.label, dev_threshold(pairs, cosines) or 0.0)


def dev_threshold(pairs: Pairs, cosines: Scores) -> float | None:
    """The threshold with the best F1, or None where labels are graded or all 0."""
    if not pairs.is_binary or not pairs.label.any():
        return None
    return best_f1_threshold(cosines, pairs.label)


def score_splits(
    splits: Splits, cosines: Mapping[str, Scores], leaked: Sequence[int] = ()
) -> ScoredSplits:
    """Metrics and intervals of dev and test.

    cosines: split -> shape (n,). leaked: the rows of test that also stand in another split.
    """
    threshold = dev_threshold(splits.dev, cosines["dev"])
    at = threshold or 0.0
    dev = _score(splits.dev, cosines["dev"], at)
    test = dev if splits.test is splits.dev else _score(splits.test, cosines["test"], at)
    reasons = undefined_reasons(cosines["test"], splits.test.label, at)
    return ScoredSplits(threshold, dev, test, _without(splits.test, cosines, leaked, at), reasons)


def _without(
    test: Pairs, cosines: Mapping[str, Scores], leaked: Sequence[int], threshold: float
) -> Metrics:
    kept = np.setdiff1d(np.arange(len(test)), np.asarray(leaked, dtype=np.int64))
    if not len(leaked) or not len(kept):
        return {}
    return pair_metrics(cosines["test"][kept], test.label[kept], threshold)


def _score(pairs: Pairs, cosines: Scores, threshold: float) -> SplitScores:
    units = sampling_units(pairs.text_1, pairs.text_2)
    found = bootstrap(cosines, pairs.label, threshold, units)
    return SplitScores(
        metrics=pair_metrics(cosines, pairs.label, threshold),
        intervals={name: (i.low, i.high) for name, i in found.intervals.items()},
        scheme=found.scheme,
    )


def write_scores(path: Path, splits: Splits, cosines: Mapping[str, Scores]) -> None:
    """Write a row for each pair: split, its position there, label in [0, 1], cosine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [
        pa.table(
            {
                "split": [split] * len(values),
                "row": np.arange(len(values), dtype=np.int32),
                "label": splits[split].label,
                "score": values.astype(np.float32),
            }
        )
        for split, values in cosines.items()
    ]
    content = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), content)
    write_atomic(path, content.getvalue().to_pybytes())
