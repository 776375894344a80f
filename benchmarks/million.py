"""What a million training pairs cost: the plan, and the workers that train on them.

    python benchmarks/million.py [--pairs 100000 1000000]

Plans and freezes the pairs, and trains two LoRA trials for a few steps each. Prints for each number
of pairs the peak memory of the process that plans and of a worker, and the time of both trials: the
second reads the tokens that the first has left.
"""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import numpy as np
from measuring import fresh, parser, publish, python, table

SPEC = """\
name: million
data: {train: train.jsonl, dev: dev.jsonl, test: dev.jsonl}
model: {base: sentence-transformers/all-MiniLM-L6-v2}
train: {method: lora, max_steps: 20, epochs: 1, batch_size: 16}
space: {train.learning_rate: [1e-4, 2e-4]}
"""
WORDS = [f"word{i}" for i in range(2000)]


def write_pairs(path: Path, count: int) -> None:
    """Pairs of random words, a hundred thousand at a time."""
    rng = np.random.default_rng(count)
    with path.open("w") as file:
        for start in range(0, count, 100_000):
            size = min(100_000, count - start)
            drawn = rng.integers(0, len(WORDS), (size, 12))
            for row in drawn.tolist():
                words = [WORDS[i] for i in row]
                pair = {"text_1": " ".join(words[:6]), "text_2": " ".join(words[6:])}
                file.write(json.dumps({**pair, "label": row[0] % 2}) + "\n")


def run(pairs: int) -> None:
    """Plan and train in this process's folder; prints JSON."""
    from embft.execution.launcher import run_trial
    from embft.execution.warming import warm_up
    from embft.planning.plan import make_plan
    from embft.planning.prepare import prepare
    from embft.results.records import Completed
    from embft.spec import parse_spec
    from embft.system.machine import available_cores

    write_pairs(Path("train.jsonl"), pairs)
    write_pairs(Path("dev.jsonl"), 200)
    warm_up()
    start = time.perf_counter()
    plan = make_plan(parse_spec(SPEC, folder=Path.cwd()), Path("results"))
    trials = prepare(plan, retry_failed=False)[-2:]
    planned = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    totals, worker_mb = [], []
    for trial in trials:
        trial.folder.create(trial.input(available_cores()))
        run_trial(trial.folder)
        result = trial.folder.result()
        assert isinstance(result, Completed), result
        totals.append(result.timings.total)
        worker_mb.append(result.peak_memory_mb)
    print(json.dumps({"plan": planned, "plan_mb": peak, "worker_mb": worker_mb, "totals": totals}))


def main() -> None:
    """Every size in a process of its own, and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments.add_argument("--run", type=int, help="one size in this process")
    given = arguments.parse_args()
    if given.run:
        run(given.run)
        return
    found = []
    for count in given.pairs:
        measured = fresh(python("million.py", "--run", count), {}, every=2.0)
        found.append({"pairs": count, **measured.output})
        print(found[-1], flush=True)
    rows = [
        [
            f"{each['pairs']:,}",
            f"{each['plan']:.1f}",
            f"{each['plan_mb']:.0f}",
            f"{each['totals'][0]:.1f}",
            f"{each['totals'][1]:.1f}",
            f"{each['worker_mb'][0]:.0f}",
            f"{each['worker_mb'][1]:.0f}",
        ]
        for each in found
    ]
    headings = [
        "pairs", "plan and freeze s", "planning MB", "first trial s", "second trial s",
        "first worker MB", "second worker MB",
    ]  # fmt: skip
    publish("million", {"sizes": found}, table(headings, rows))


if __name__ == "__main__":
    main()
