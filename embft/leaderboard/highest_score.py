"""The highest score that a leaderboard's test labels allow, where that is less than the bound."""

from __future__ import annotations

from collections.abc import Iterator

from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.pair_scores import read_scores
from embft.leaderboard.rows import Leaderboard
from embft.metrics.ceilings import RANK_CORRELATIONS, ceiling


def highest_score(leaderboard: Leaderboard) -> Iterator[str]:
    """A sentence for a rank correlation with labels that tie; nothing otherwise."""
    chosen = leaderboard.recommended
    if chosen is None or leaderboard.metric not in RANK_CORRELATIONS:
        return
    scores = read_scores(chosen.best, "test")
    most = None if scores is None else ceiling(leaderboard.metric, scores.label)
    if most is not None and most < 0.9995:
        yield (
            f"With these test labels the {metric_label(leaderboard.metric)} reaches {number(most)} "
            "at most, where the scores are in perfect order: equal labels have no order among "
            "themselves."
        )
