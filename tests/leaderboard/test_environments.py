"""Trials that did not run under the same conditions are pointed out."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from embft.leaderboard.environments import mixed_environments
from embft.results.records import Provenance

UNDER = {
    "embft": "1", "python": "3", "platform": "p", "processor": "c", "cpu_count": 2,
    "precision": "fp32", "device": "cpu", "packages": {}, "revision": None,
    "started": "", "finished": "",
}  # fmt: skip


def board(baseline: int, threads: Sequence[int]) -> Any:
    """A leaderboard of a baseline and trials, of these threads."""
    rows = [
        SimpleNamespace(
            is_baseline=not number,
            completed=SimpleNamespace(
                trained_under=None,
                provenance=Provenance.model_validate({**UNDER, "threads": count}),
            ),
        )
        for number, count in enumerate([baseline, *threads])
    ]
    return SimpleNamespace(rows=rows)


@pytest.mark.parametrize(
    ("threads", "said"), [([2, 2], None), ([1, 2], "threads (1, 2)"), ([1, 1], None)]
)
def test_trainings_of_other_threads_are_named(threads: list[int], said: str | None) -> None:
    """A training's last digits depend on them; a baseline, which one thread scores, does not."""
    found = list(mixed_environments(board(1, threads)))
    assert [said in sentence for sentence in found if said] == [True] * (said is not None)
    assert bool(found) == (said is not None)
