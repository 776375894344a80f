"""What a trial costs beside its own work, in sweeps of 10 to 10,000 trials.

    python benchmarks/scale.py [--sizes 10 100 1000 10000]

A trial here is instant: in place of worker processes, its Ray actor writes the record and the
per-pair scores of a trial, made up from one set of scores and noise. All else is what a sweep
does: plan, frozen data, folders, Ray Tune, the view, leaderboard and report, over and over. Each
sweep runs in a fresh process. Prints seconds and the driver's memory for each size, and what plan
and leaderboard take at the end.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import parser, publish, python, table, watched

from embft.data.dating import generate
from embft.data.pairs import Splits
from embft.trial import Completed, Metrics, Proof, Timings, TrialDir

_SPEC = """\
name: many
data: {{dataset: dating}}
train: {{epochs: 1}}
space:
  train.method: [lora]
  train.learning_rate: {rates}
"""


def spec(trials: int) -> str:
    """A sweep of so many configurations and the baseline."""
    return _SPEC.format(rates=[round(1e-6 * (i + 1), 7) for i in range(trials)])


def made_up_scores(splits: Splits) -> dict[str, np.ndarray[Any, Any]]:
    """Cosines that follow the labels, with noise: for dev and test each (n,)."""
    rng = np.random.default_rng(0)
    return {
        name: np.clip(0.4 * splits[name].label + rng.normal(0.3, 0.2, len(splits[name])), -1, 1)
        for name in ("dev", "test")
    }


def record(folder: TrialDir, splits: Splits, scores: dict[str, Any], noise: float) -> None:
    """Write what a trial leaves: the scores of the pairs, and its record."""
    from embft.evaluation.scoring import write_scores

    given = folder.read_input()
    rng = np.random.default_rng(int(given.key, 16))
    moved = {n: np.clip(s + noise * rng.normal(size=len(s)), -1, 1) for n, s in scores.items()}
    write_scores(folder.scores_file, splits, moved)
    better = float(rng.normal(0, 0.01))
    metrics: Metrics = {"spearman": 0.8 + better, "auc": 0.9 + better, "margin": 0.4 + better}
    interval = {name: (value - 0.02, value + 0.02) for name, value in metrics.items()}
    trained = not given.spec.is_baseline
    folder.append_progress({"event": "scoring"})
    folder.write_result(
        Completed(
            key=given.key,
            name=given.name,
            spec=given.spec,
            data_digest=given.data_digest,
            model_digest=given.model_digest,
            best_epoch=1 if trained else None,
            threshold=0.5,
            dev=metrics,
            test=metrics,
            dev_intervals=interval,
            test_intervals=interval,
            interval_scheme="pairs",
            proof=Proof(probe_texts=64, against_memory=0, against_base=1, tolerance=1e-5)
            if trained
            else None,
            trainable_parameters=73728,
            total_parameters=22_786_944,
            artifact_bytes=300_000,
            timings=Timings(train=1.0, evaluate=1.0, total=2.0),
        )
    )


def run_sweep(trials: int) -> None:
    """Plan and run a sweep of instant trials in the working directory; prints JSON."""
    from rich.console import Console

    from embft import ray_settings

    ray_settings.configure(None)
    from embft.memory import process_memory
    from embft.plan import make_plan
    from embft.running import run_pending, write_outputs
    from embft.spec import parse_spec
    from embft.sweep import TrialRunner

    splits = generate()
    scores = made_up_scores(splits)

    class InstantRunner(TrialRunner):
        """Writes a record in place of training."""

        def setup(self, config: dict[str, Any]) -> None:
            self.given = config

        def step(self) -> dict[str, Any]:
            record(TrialDir(Path(self.given["trial"])), splits, scores, noise=0.05)
            return {"status": "completed", "done": True}

    found: dict[str, float] = {}
    own = 0
    with _timed(found, "plan"):
        plan = make_plan(parse_spec(spec(trials)), Path("results"))
    with _timed(found, "sweep"):
        run_pending(plan, Console(file=io.StringIO()), None, runner=InstantRunner)
        own = process_memory(0 or __import__("os").getpid())
    with _timed(found, "outputs"):
        write_outputs(plan.folder)
    with _timed(found, "plan_again"):
        again = make_plan(parse_spec(spec(trials)), Path("results"))
        assert not again.pending()
    print(json.dumps({**found, "driver_mb": own / 1e6}))


class _timed:  # noqa: N801 - reads as a statement
    def __init__(self, found: dict[str, float], name: str) -> None:
        self.found, self.name = found, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.found[self.name] = time.perf_counter() - self.start


def sweeps(sizes: list[int]) -> Iterator[dict[str, Any]]:
    """Run a sweep of each size in a process and a folder of its own."""
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="scale-"))
        try:
            run = watched(python("scale.py", "--run", size), folder, every=1.0)
        finally:
            shutil.rmtree(folder)
        yield {"trials": size, **run.output, "all_mb": run.peak_mb}


def main() -> None:
    """Run every size and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    arguments.add_argument("--run", type=int, help="one sweep in this process")
    given = arguments.parse_args()
    if given.run:
        run_sweep(given.run)
        return
    rows = []
    for found in sweeps(given.sizes):
        rows.append(found)
        print(found, flush=True)
    headings = ["trials", "ms for each", "driver MB", "plan s", "plan when finished s", "outputs s"]
    shown = [
        [
            f"{row['trials']:,}",
            f"{1000 * row['sweep'] / row['trials']:.0f}",
            f"{row['driver_mb']:.0f}",
            f"{row['plan']:.2f}",
            f"{row['plan_again']:.2f}",
            f"{row['outputs']:.1f}",
        ]
        for row in rows
    ]
    publish("scale", {"sweeps": rows}, table(headings, shown))


if __name__ == "__main__":
    sys.exit(main())
