"""A trial that takes no time, in place of one that trains.

A module of its own, so that a Ray actor imports the runner by its name, as it does embft's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from embft.data.dating import generate
from embft.data.pairs import Splits
from embft.results.folders import TrialDir
from embft.results.records import Completed, Metrics, Timings, Verification
from embft.results.scores import write_scores
from embft.scheduler.tune import TrialRunner

_NOISE = 0.05


class InstantRunner(TrialRunner):
    """Writes a trial's record in place of training."""

    def setup(self, config: dict[str, Any]) -> None:
        """Make up the scores that the records of all trials vary."""
        self.given = config
        self.splits = generate()
        self.scores = made_up_scores(self.splits)

    def step(self) -> dict[str, Any]:
        """The whole trial."""
        record(TrialDir(Path(self.given["trial"])), self.splits, self.scores)
        return {"status": "completed", "done": True}


def made_up_scores(splits: Splits) -> dict[str, np.ndarray[Any, Any]]:
    """Cosines that follow the labels, with noise: for dev and test each (n,)."""
    rng = np.random.default_rng(0)
    return {
        name: np.clip(0.4 * splits[name].label + rng.normal(0.3, 0.2, len(splits[name])), -1, 1)
        for name in ("dev", "test")
    }


def record(folder: TrialDir, splits: Splits, scores: dict[str, Any]) -> None:
    """Write what a trial leaves: the scores of the pairs, and its record."""
    given = folder.read_input()
    rng = np.random.default_rng(int(given.key, 16))
    moved = {n: np.clip(s + _NOISE * rng.normal(size=len(s)), -1, 1) for n, s in scores.items()}
    write_scores(folder.scores_file, splits, moved)
    better = float(rng.normal(0, 0.01))
    metrics: Metrics = {"spearman": 0.8 + better, "auc": 0.9 + better, "margin": 0.4 + better}
    interval = {name: (value - 0.02, value + 0.02) for name, value in metrics.items()}
    trained = not given.spec.is_baseline
    folder.append_progress({"event": "scoring"})
    folder.write_result(
        Completed(
            **given.repeated,
            best_epoch=1 if trained else None,
            threshold=0.5,
            dev=metrics,
            test=metrics,
            dev_intervals=interval,
            test_intervals=interval,
            interval_scheme="pairs",
            verification=Verification(
                probe_texts=64, against_memory=0, against_base=1, tolerance=1e-5
            )
            if trained
            else None,
            trainable_parameters=73728,
            total_parameters=22_786_944,
            artifact_bytes=300_000,
            timings=Timings(train=1.0, evaluate=1.0, total=2.0),
        )
    )
