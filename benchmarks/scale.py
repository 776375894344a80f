"""What a trial costs beside its own work, in sweeps of 10 to 10,000 trials.

    python benchmarks/scale.py [--sizes 10 100 1000 10000] [--search [--rounds 3]] [--no-publish]

A trial here is instant: in place of worker processes, its Ray actor writes the record and the
per-pair scores of a trial, made up from one set of scores and noise. All else is what a sweep
does: plan, frozen data, folders, Ray Tune, the view, leaderboard and report, over and over. Each
sweep runs in a fresh process. Prints seconds and the driver's memory for each size, and what plan
and leaderboard take at the end.

With `--search` as many trials are proposed by a search while the sweep runs, at random and by
TPE, beside a grid of as many, in alternating rounds: what a trial costs more.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import fresh, parser, publish, python, table
from rich.console import Console

from embft.cli.progress import SweepView
from embft.leaderboard.build import build_leaderboard
from embft.planning.plan import Plan, PlannedTrial
from embft.results.records import Status
from embft.system.allocator import release_memory
from embft.system.processes import process_memory

_SPEC = """\
name: many
data: {{dataset: dating}}
train: {{epochs: 1}}
space:
  train.method: [lora]
  train.learning_rate: {rates}
"""
GRID = "grid"


def spec(trials: int, algorithm: str = GRID) -> str:
    """A sweep of so many configurations and the baseline."""
    if algorithm == GRID:
        return _SPEC.format(rates=[round(1e-6 * (i + 1), 7) for i in range(trials)])
    drawn = _SPEC.format(rates="{loguniform: [1e-6, 1e-2]}")
    return f"{drawn}search: {{algorithm: {algorithm}, trials: {trials}}}\n"


def run_sweep(trials: int, algorithm: str) -> None:
    """Plan and run a sweep of instant trials in the working directory; prints JSON."""
    from embft.planning.plan import make_plan
    from embft.planning.prepare import prepare
    from embft.report.output import write_outputs
    from embft.scheduler import settings as ray_settings
    from embft.spec import parse_spec

    found: dict[str, float] = {}
    with timed(found, "plan"):
        plan = make_plan(parse_spec(spec(trials, algorithm)), Path("results"))
    ray_settings.configure(None)
    from instant import InstantRunner

    from embft.scheduler import tune as sweep

    vars(sweep).update(TrialRunner=InstantRunner, warm_up=lambda: None)  # no worker is forked
    with timed(found, "prepare"):
        pending = prepare(plan, retry_failed=False)
    with timed(found, "sweep"):
        found["driver_mb"] = run(plan, pending)
    found["each"] = seconds_each(plan)
    with timed(found, "outputs"):
        leaderboard = write_outputs(plan.folder.path)
    assert leaderboard.count(Status.COMPLETED) == trials
    with timed(found, "leaderboard"):
        build_leaderboard(plan.folder.path)
    with timed(found, "plan_again"):
        assert not make_plan(parse_spec(spec(trials, algorithm)), Path("results")).pending()
    print(json.dumps(found))


def run(plan: Plan, pending: Sequence[PlannedTrial]) -> float:
    """What `embft sweep` does from Ray's start to its end. Returns the driver's memory in MB."""
    from embft.report.background import BackgroundReport
    from embft.scheduler.choices import choices_of
    from embft.scheduler.cluster import ray_cluster
    from embft.scheduler.tune import run_trials

    release_memory()
    with ray_cluster(plan.spec.resources) as cluster:
        for trial in pending:
            trial.folder.create(trial.input(cluster.cpus_per_trial))
        with Path(os.devnull).open("w") as nowhere:
            observers = [SweepView(Console(file=nowhere)), BackgroundReport()]
            choices = choices_of(plan, pending)
            run_trials(pending, cluster, plan.spec.resources, observers, choices=choices)
        return process_memory(os.getpid()) / 1e6


def seconds_each(plan: Plan) -> float:
    """The mean time from one record to the next: what a trial costs once the sweep runs."""
    ended = sorted(
        trial.result_file.stat().st_mtime for trial in plan.folder.trials_by_key().values()
    )
    return float(ended[-1] - ended[0]) / (len(ended) - 1)


@contextmanager
def timed(found: dict[str, float], name: str) -> Iterator[None]:
    """Keep the seconds that the block takes."""
    start = time.perf_counter()
    yield
    found[name] = time.perf_counter() - start


def main() -> None:
    """Run every size and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    arguments.add_argument("--search", action="store_true", help="searches beside grids")
    arguments.add_argument("--rounds", type=int, default=3, help="of searches and grids in turn")
    arguments.add_argument("--no-publish", action="store_true", help="leave the page as it is")
    arguments.add_argument("--run", type=int, help="one sweep in this process")
    arguments.add_argument("--algorithm", default=GRID, help="of that sweep")
    given = arguments.parse_args()
    if given.run:
        run_sweep(given.run, given.algorithm)
    else:
        name, figures, shown = (
            searches(given.sizes, given.rounds) if given.search else grids(given.sizes)
        )
        if given.no_publish:
            print(shown)
        else:
            publish(name, figures, shown)


Measured = tuple[str, dict[str, Any], str]
"""What is published: under which name, the figures and the table."""


def searches(sizes: Sequence[int], rounds: int) -> Measured:
    """Run grids and searches in turn: what a trial costs in each."""
    found: list[tuple[int, dict[str, list[float]]]] = []
    for size in sizes:
        each: dict[str, list[float]] = {GRID: [], "random": [], "tpe": []}
        for _ in range(rounds):
            for algorithm, times in each.items():
                command = python("scale.py", "--run", size, "--algorithm", algorithm)
                times.append(fresh(command, {}, every=2.0).output["each"])
                print(size, algorithm, times[-1], flush=True)
        found.append((size, each))
    shown = [[f"{size:,}", *map(_times, each.values())] for size, each in found]
    headings = ["trials", "grid, ms each", "random search, ms each", "TPE, ms each"]
    sweeps = [{"trials": size, **each} for size, each in found]
    return "search-scale", {"sweeps": sweeps}, table(headings, shown)


def _times(seconds: Sequence[float]) -> str:
    """The median in ms, with the range."""
    found = [1000 * each for each in seconds]
    return f"{statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f})"


def grids(sizes: Sequence[int]) -> Measured:
    """Run grids of every size."""
    rows = []
    for size in sizes:
        measured = fresh(python("scale.py", "--run", size), {}, every=2.0)
        rows.append({"trials": size, **measured.output, "all_mb": measured.peak_mb})
        print(rows[-1], flush=True)
    headings = [
        "trials", "ms for each", "start and end s", "driver MB", "plan s",
        "plan of finished ones s", "leaderboard s", "outputs s",
    ]  # fmt: skip
    shown = [
        [
            f"{row['trials']:,}",
            f"{1000 * row['each']:.0f}",
            f"{row['prepare'] + row['sweep'] - row['each'] * row['trials']:.1f}",
            f"{row['driver_mb']:.0f}",
            f"{row['plan']:.2f}",
            f"{row['plan_again']:.2f}",
            f"{row['leaderboard']:.1f}",
            f"{row['outputs']:.1f}",
        ]
        for row in rows
    ]
    return "scale", {"sweeps": rows}, table(headings, shown)


if __name__ == "__main__":
    main()
