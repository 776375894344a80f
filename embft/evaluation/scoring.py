"""Cosines -> metrics with intervals.

The threshold for F1 and its kin, and the calibration, are chosen on dev and applied to test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from embft.data.pairs import Pairs, Splits
from embft.errors import ModelError
from embft.evaluation.context import Interval
from embft.evaluation.embed import Scores
from embft.metrics.bootstrap import bootstrap, weighted_interval
from embft.metrics.calibration import isotonic_brier
from embft.metrics.pairs import best_f1_threshold, pair_metrics, undefined_reasons, welch_p
from embft.metrics.resampling import Units, sampling_units
from embft.metrics.weighted import FloatArray
from embft.results.records import Metrics


@dataclass(frozen=True)
class SplitScores:
    """One split's metrics, their 95 % intervals, and what was resampled for these.

    notes: by metric why there is no interval, or that few independent units carry it.
    """

    metrics: Metrics
    intervals: dict[str, Interval]
    scheme: str
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoredSplits:
    """Dev and test; `undefined` says for each metric that test has not, why.

    test_without_leaks: test's scores on the pairs that stand in no other split, None if none
    leaked. reliability: test's calibration curve (see
    `metrics.calibration.ReliabilityBin`), where labels are 0 and 1.
    """

    threshold: float | None
    dev: SplitScores
    test: SplitScores
    test_without_leaks: SplitScores | None
    reliability: tuple[dict[str, float], ...]
    undefined: dict[str, str]


def score_dev(pairs: Pairs, cosines: Scores) -> Metrics:
    """The metrics of the dev split at its own best threshold. Raises ModelError on NaN."""
    require_finite("dev", cosines)
    return pair_metrics(cosines, pairs.label, dev_threshold(pairs, cosines) or 0.0)


def require_finite(split: str, cosines: Scores) -> None:
    """Raise ModelError where a cosine is NaN or infinite: that is a failure, never a score."""
    if bad := int((~np.isfinite(cosines)).sum()):
        raise ModelError(
            f"{bad} of the {len(cosines)} cosines of {split} are not finite numbers: the model's "
            "embeddings are broken. If it was trained, try a smaller train.learning_rate"
        )


def dev_threshold(pairs: Pairs, cosines: Scores) -> float | None:
    """The threshold with the best F1, or None where labels are graded or all 0."""
    if not pairs.is_binary or not pairs.label.any():
        return None
    return best_f1_threshold(cosines, pairs.label)


def score_splits(
    splits: Splits, cosines: Mapping[str, Scores], leaked: Sequence[int] = ()
) -> ScoredSplits:
    """Metrics and intervals of dev and test.

    cosines: split -> shape (n,). leaked: the rows of test that also stand in another split. Raises
    ModelError on cosines that are not finite.
    """
    for split, values in cosines.items():
        require_finite(split, values)
    threshold = dev_threshold(splits.dev, cosines["dev"])
    at = threshold or 0.0
    dev = _score(splits.dev, cosines["dev"], at)
    test = dev if splits.test is splits.dev else _score(splits.test, cosines["test"], at)
    calibrated, reliability = _calibrated(splits, cosines)
    return ScoredSplits(
        threshold,
        dev,
        _joined(test, calibrated),
        _without(splits.test, cosines["test"], leaked, at),
        reliability,
        undefined_reasons(cosines["test"], splits.test.label, at),
    )


def _joined(one: SplitScores, other: SplitScores) -> SplitScores:
    return SplitScores(
        {**one.metrics, **other.metrics},
        {**one.intervals, **other.intervals},
        one.scheme,
        {**one.notes, **other.notes},
    )


def _calibrated(
    splits: Splits, cosines: Mapping[str, Scores]
) -> tuple[SplitScores, tuple[dict[str, float], ...]]:
    """The Brier score and the reliability curve of test, calibrated on dev; empty where graded."""
    if not (splits.dev.is_binary and splits.test.is_binary):
        return SplitScores({}, {}, ""), ()
    label = splits.test.label
    found = isotonic_brier(cosines["dev"], splits.dev.label, cosines["test"], label)
    squares = (found.probability - label) ** 2

    def brier(weights: FloatArray) -> FloatArray:
        means: FloatArray = weights @ squares / weights.sum(axis=1)
        return means

    interval = weighted_interval(brier, _units(splits.test))
    points = tuple(asdict(part) for part in found.bins)
    return SplitScores({"brier": found.brier}, {"brier": interval} if interval else {}, ""), points


def _without(
    test: Pairs, cosines: Scores, leaked: Sequence[int], threshold: float
) -> SplitScores | None:
    kept = np.setdiff1d(np.arange(len(test)), np.asarray(leaked, dtype=np.int64))
    if not len(leaked) or not len(kept):
        return None
    return _score(test.take(kept), cosines[kept], threshold)


def _score(pairs: Pairs, cosines: Scores, threshold: float) -> SplitScores:
    found = bootstrap(cosines, pairs.label, threshold, _units(pairs))
    metrics = pair_metrics(cosines, pairs.label, threshold)
    if pairs.is_binary:
        wrong = (pairs.label == 0) & (cosines >= threshold)
        metrics["false_positives"] = float(wrong.sum())
        p_value = welch_p(cosines, pairs.label)
        metrics |= {} if p_value is None else {"welch_p": p_value}
    return SplitScores(
        metrics=metrics,
        intervals={name: (i.low, i.high) for name, i in found.intervals.items()},
        scheme=found.scheme,
        notes=found.notes,
    )


def _units(pairs: Pairs) -> Units:
    return sampling_units(pairs.text_1, pairs.text_2)
