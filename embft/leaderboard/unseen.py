"""Which of the configurations whose single values are not read may be the best.

Known of each are its score on dev and the interval in its record. How its errors go with those of
others is not, so the standard error of a difference is taken as the sum of both, the most that it
can be: one that is excluded here is excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from embft.leaderboard.comparisons import Compared, Member, Members
from embft.metrics import registry
from embft.metrics.weighted import BoolArray, FloatArray

_NORMAL_95 = float(special.ndtri(0.975))


@dataclass(frozen=True)
class Unseen:
    """The M configurations that are not compared one by one, by rank, beside the K that are.

    in_best_set (M,): which may be the best. loss_high (M,): the most that each loses. threat (K,):
    the most that each compared one may lose against one of these.
    """

    in_best_set: BoolArray
    loss_high: FloatArray
    threat: FloatArray


def unseen(everyone: Members, dev: Compared) -> Unseen:
    """What is known of the configurations beyond those that are compared."""
    sign, metric = 1.0 if everyone.higher else -1.0, everyone.goal.metric
    rest = everyone.trained[everyone.compared :]
    seen = [everyone.entered[i] for i in dev.places]
    seeds = dev.contest.seeds.pooled if dev.contest.seeds else 0.0
    error, others = (_errors(each, metric, seeds) for each in (rest, seen))
    score = sign * np.array([member.dev_score for member in rest])
    reach = float(dev.contest.critical.max())
    best = float(dev.contest.field.scores.max())
    behind = best - score
    in_best_set = ~(behind > reach * (error + others[dev.contest.leader]))
    worst = np.where(dev.contest.in_best_set, others, 0.0).max(initial=0.0)
    loss = np.maximum(behind + reach * (error + worst), 0.0)
    threat = _threat(dev, score, error, others, in_best_set)
    most = _range(metric)
    return Unseen(in_best_set, np.minimum(loss, most), np.minimum(threat, most))


def _range(metric: str) -> float:
    """The largest difference of two scores that the metric's bounds allow."""
    low, high = registry.metric(metric).bounds
    return float("inf") if low is None or high is None else high - low


def _threat(
    dev: Compared, score: FloatArray, error: FloatArray, others: FloatArray, in_set: BoolArray
) -> FloatArray:
    """By how much one of those that may be the best can be ahead of each compared one (K,)."""
    if not in_set.any():
        return np.zeros(len(others))
    reach = float(dev.contest.critical.max())
    highest = float((score + reach * error)[in_set].max())
    return np.maximum(highest - dev.contest.field.scores + reach * others, 0.0)


def _errors(members: Sequence[Member], metric: str, of_seeds: float) -> FloatArray:
    """Standard errors of scores, infinite where no interval is known."""
    return np.array([_error(member, metric, of_seeds) for member in members])


def _error(member: Member, metric: str, of_seeds: float) -> float:
    """By the intervals of single seeds, of which the mean over seeds has no more error, and by what
    seeds vary.
    """
    ends = [row.dev_intervals.get(metric) for row in member.rows]
    widths = [end[1] - end[0] for end in ends if end]
    if len(widths) < len(ends):
        return float("inf")
    variance = 0.0 if member.is_base else of_seeds / len(ends)
    return float(np.hypot(np.mean(widths) / (2 * _NORMAL_95), np.sqrt(variance)))
