"""Borda scores over a few tasks: what they are, and that what is said of them holds."""

from __future__ import annotations

import numpy as np
import pytest

from embft.metrics.best import Contest, Field
from embft.metrics.borda import BordaContest, beaten
from embft.metrics.weighted import FloatArray

UNITS = 200


def test_the_share_of_the_others_that_is_beaten() -> None:
    """Ties count half, one's own place does not, and alone one beats everybody."""
    others = np.array([[0.1, 0.2, 0.2, 0.9], [1.0, 2.0, 3.0, 4.0]])
    assert beaten(others[:, 1], others, own=1).tolist() == [0.5, 1 / 3]
    assert beaten(np.array([5.0, 0.0]), others).tolist() == [1.0, 0.0]
    assert beaten(others[:, 1], others[:, [1]], own=0).tolist() == [1.0, 1.0]


def _contest(true: FloatArray, rng: np.random.Generator) -> BordaContest:
    """Of configurations whose values by unit have these means (T, K)."""
    tasks = []
    for means in true:
        shared = rng.normal(size=(UNITS, 1))
        values = means + shared + 0.5 * rng.normal(size=(UNITS, len(means)))
        k = len(means)
        tasks.append(
            Contest(
                Field(
                    scores=values.mean(axis=0),
                    covariance=np.atleast_2d(np.cov(values.T)) / UNITS,
                    freedom=UNITS - 1.0,
                    seeds=np.full((k, 1), np.nan),
                    fixed=np.zeros(k, bool),
                )
            )
        )
    return BordaContest(tasks)


def test_what_is_far_apart_is_ranked_exactly() -> None:
    """First everywhere, first in two of three tasks, and so on: no interval is left open."""
    true = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    contest = _contest(true, np.random.default_rng(0))
    assert contest.field.scores == pytest.approx([2 / 3, 5 / 9, 4 / 9, 1 / 3])
    np.testing.assert_allclose(contest.bounds, np.stack([contest.field.scores] * 2, axis=1))
    assert contest.in_best_set.tolist() == [True, False, False, False]
    assert contest.loss_high == pytest.approx([0, 1 / 9, 2 / 9, 1 / 3])
    low, high = contest.ranks()
    assert low.tolist() == high.tolist() == [1, 2, 3, 4]
    assert contest.better_than(3).tolist() == [True, True, True, False]
    first = contest.against(0)
    assert [c.difference for c in first] == pytest.approx([0, -1 / 9, -2 / 9, -1 / 3])
    assert all(c.p_value < 0.001 for c in first[1:])
    assert first[0].p_value == 1.0
    assert len(contest.ranks(np.array([True, True, False, False]))[0]) == 4


@pytest.mark.parametrize("spread", [0.0, 0.15, 0.6])
def test_no_statement_is_wrong_more_often_than_it_says(spread: float) -> None:
    """Equal, close and separated configurations: the best is in the set, losses and differences lie
    within what is said, each in at least 95 % of 60 sweeps.
    """
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(60):
        true = spread * rng.normal(size=(3, 5))
        score = np.array([beaten(true[:, i], true, i).mean() for i in range(5)])
        contest = _contest(true, rng)
        best = int(np.argmax(score))
        inside = [
            c.low - 1e-9 <= score[i] - score[best] <= c.high + 1e-9
            for i, c in enumerate(contest.against(best))
        ]
        losses = bool((score.max() - score <= contest.loss_high + 1e-9).all())
        wrong += not (contest.in_best_set[best] and losses and all(inside))
    assert wrong <= 6  # 3 expected at most; 7 or more of 60 have a probability of 3 % at 5 %


def test_a_single_configuration_is_the_best() -> None:
    contest = _contest(np.zeros((2, 1)), np.random.default_rng(2))
    assert contest.in_best_set.tolist() == [True]
    assert contest.loss_high.tolist() == [0.0]
