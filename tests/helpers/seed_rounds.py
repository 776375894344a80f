"""Sweeps with rounds of more seeds, without Ray and without training: scores by a formula."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embft.data.dating import generate
from embft.metrics.pairs import sorted_metrics
from embft.metrics.weighted import sort_pairs
from embft.planning.plan import Plan, PlannedTrial, make_plan
from embft.planning.prepare import prepare
from embft.results.records import Completed, Timings
from embft.results.scores import write_scores
from embft.spec import parse_spec

SPLITS = generate()
RATES = [1e-5, 2e-5, 3e-5, 1e-4, 2e-4, 3e-4]
_HARD = {name: np.random.default_rng(i) for i, name in enumerate(("dev", "test"))}
_NOISE = {name: rng.normal(size=len(SPLITS[name])) for name, rng in _HARD.items()}


class KilledError(Exception):
    """The driver is gone."""


def spec_text(model: Path, seeds: str, more: str = "") -> str:
    """Six learning rates of full fine-tuning on the built-in pairs."""
    return (
        f"name: rounds\ndata: {{dataset: dating}}\nmodel: {{base: {model}}}\n"
        f"train: {{epochs: 1}}\nspace: {{train.learning_rate: {RATES}}}\nseeds: {seeds}\n{more}"
    )


def ready(text: str, results: Path) -> tuple[Plan, tuple[PlannedTrial, ...]]:
    """A prepared plan, and what is to run of it."""
    plan = make_plan(parse_spec(text), results)
    return plan, prepare(plan, retry_failed=False)


def quality(rate: float) -> float:
    """How far the labels are apart: the higher half of the rates are alike, the others bad."""
    return 0.3 if rate < 1e-4 else 0.8


def finish(trial: PlannedTrial, quality_of: Callable[[float], float] = quality) -> None:
    """Leave what a training of the trial would leave: its record, and the scores of the pairs."""
    given = trial.input(1)
    trial.folder.create(given)
    own = np.random.default_rng(int(hashlib.sha256(given.key.encode()).hexdigest()[:8], 16))
    base = given.spec.is_baseline
    strength = 0.0 if base else quality_of(given.spec.train.learning_rate) + own.normal(0, 0.02)
    scores = {
        name: strength * SPLITS[name].label
        + 0.5 * noise
        + 0.15 * own.normal(size=len(SPLITS[name]))
        for name, noise in _NOISE.items()
    }
    write_scores(trial.folder.scores_file, SPLITS, scores)
    dev, test = (
        sorted_metrics(sort_pairs(scores[n], SPLITS[n].label, 0.5), ("spearman",))
        for n in ("dev", "test")
    )
    trial.folder.write_result(
        Completed(
            **given.repeated,
            best_epoch=None if base else 1,
            threshold=0.5,
            dev=dev,
            test=test,
            verification=None,
            trainable_parameters=1,
            total_parameters=1,
            artifact_bytes=1,
            timings=Timings(train=1.0, evaluate=1.0, total=2.0),
        )
    )


class Machine:
    """Runs trials by the formula, and is killed after so many."""

    def __init__(self, most: float = float("inf")) -> None:
        self.left = most
        self.ran: list[str] = []

    def __call__(self, _: Plan, trials: Sequence[PlannedTrial]) -> bool:
        """Run these."""
        for trial in trials:
            if not self.left:
                raise KilledError
            finish(trial)
            self.left -= 1
            self.ran.append(trial.key)
        return True
