"""How much the winner of a selection owes to chance, where selection and report use the same pairs.

Covers the estimate by cross-fitting. Where there is a dev and a test split, there is no need of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embft.metrics.pairs import sorted_metrics, weighted_metrics
from embft.metrics.registry import METRICS
from embft.metrics.resampling import Units, independent_pairs
from embft.metrics.weighted import FloatArray, sort_pairs


@dataclass(frozen=True)
class Optimism:
    """`winner`'s score on all pairs is `naive`; about `optimism` of it is selection bias.

    Both are turned as the metric is: `corrected` is naive - optimism where higher is better, and
    naive + optimism where lower is. `winners` has the configuration that each fold's selection
    chose.
    """

    winner: int
    naive: float
    optimism: float
    corrected: float
    winners: tuple[int, ...]


@dataclass(frozen=True)
class Folds:
    """How pairs are split: `count` folds, `repeats` times with new draws from `seed`.

    What stays together is a unit of `units`, or a pair where that is None.
    """

    count: int = 5
    repeats: int = 10
    seed: int = 0
    units: Units | None = None


def cross_fit_optimism(  # noqa: PLR0913, PLR0917 - what is scored, and how it is cut
    scores: npt.ArrayLike,
    label: npt.ArrayLike,
    metric: str,
    thresholds: Sequence[float] | None = None,
    folds: Folds | None = None,
    configuration: npt.ArrayLike | None = None,
) -> Optimism | None:
    """How optimistic the winner's score is; None where the metric is undefined for every trial.

    `scores` (trials, n), `label` (n,), a threshold for each trial. `configuration` (trials,): the
    number, from 0, of the configuration that a trial is a seed of, where the choice is among their
    means; without it each trial is one. For each fold the winner of the
    other folds is scored on the fold, and so is the winner of all pairs: the mean difference is
    the optimism. It is 0 where the same trial wins everywhere. Pairs are split by unit, so that no
    cluster stands on both sides; texts that connect everything cannot be kept apart.
    """
    plan = folds or Folds()
    matrix = np.asarray(scores, np.float64)
    sorted_trials = [
        sort_pairs(score, label, threshold)
        for score, threshold in zip(matrix, thresholds or [0.0] * len(matrix), strict=True)
    ]
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    trials = np.arange(len(matrix)) if configuration is None else np.asarray(configuration)
    whole = _means(
        np.array([sorted_metrics(trial, (metric,)).get(metric, np.nan) for trial in sorted_trials]),
        trials,
    )
    if np.isnan(whole).all():
        return None
    winner = int(np.nanargmax(sign * whole))
    inside = _fold_weights(plan.units or independent_pairs(matrix.shape[1]), plan)
    held_out, chosen_on = (
        sign
        * _means(np.stack([weighted_metrics(trial, w)[metric] for trial in sorted_trials]), trials)
        for w in (inside, 1.0 - inside)
    )
    winners = np.argmax(np.where(np.isnan(chosen_on), -np.inf, chosen_on), axis=0)
    gaps = held_out[winner] - held_out[winners, np.arange(len(winners))]
    gaps = gaps[np.isfinite(gaps)]
    optimism = float(gaps.mean()) if len(gaps) else float("nan")
    return Optimism(
        winner=winner,
        naive=float(whole[winner]),
        optimism=optimism,
        corrected=float(whole[winner] - sign * optimism),
        winners=tuple(int(i) for i in winners),
    )


def _means(values: FloatArray, configuration: npt.NDArray[np.int64]) -> FloatArray:
    """Means over the trials, the first axis, of each configuration."""
    count = int(configuration.max()) + 1
    return np.stack([values[configuration == i].mean(axis=0) for i in range(count)])


def _fold_weights(units: Units, plan: Folds) -> FloatArray:
    """(repeats x count, n): 1 where a pair is in the fold."""
    rng = np.random.default_rng(plan.seed)
    drawn = int(units.unit.max()) + 1
    rows = []
    for _ in range(plan.repeats):
        fold = (rng.permutation(drawn) % plan.count)[units.unit]
        rows.append(fold == np.arange(plan.count)[:, None])
    return np.concatenate(rows).astype(np.float64)
