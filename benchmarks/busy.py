"""A training on a busy machine: what it takes beside other programs, against its fair share.

    python benchmarks/busy.py [--rounds 2] [--epochs 1] [--no-publish]

One LoRA trial of MiniLM in a process of its own (`one_trial.py`), alone, beside one program that
takes a core, and beside six; with one thread, with as many as there are cores (not beside six), and
with as many as it chooses at its start; in turn. Of c cores beside n programs its fair share is
c - n or c / (n + 1), whichever is more. The ratio is what its training took to what the fastest
alone takes, times c by that share.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from measuring import Run, alternate, data_files, fresh, median, parser, publish, python, table
from stock import SPEC
from stock_recipe import RATES

_OTHERS = (0, 1, 6)
_SPIN = "while True: pass"
TARGET = 1.3


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs beside, each of which would take a core."""
    programs = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for each in programs:
            each.kill()
            each.wait()


def trial(data: Path, epochs: int, threads: str, others: int, seed: int) -> Run:
    """One trial beside so many programs."""
    text = SPEC.format(data=data, method="lora", epochs=epochs, rate=RATES["lora"], seed=seed)
    text += f"resources: {{threads: {threads}}}\n"
    with busy(others):
        return fresh(python("one_trial.py", "spec.yaml"), {"spec.yaml": text}, every=5.0)


def share(cores: int, others: int) -> float:
    """The cores that a program may fairly have beside others that each take one."""
    return max(cores - others, cores / (others + 1))


def main() -> None:
    """Measure, print, publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--no-publish", action="store_true", help="leave the page as it is")
    given = arguments.parse_args()
    cores = len(os.sched_getaffinity(0))
    ways = {"one thread": "1", "all": str(cores), "chosen": "auto"}
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        cases = {
            f"{way}, {others} beside": partial(trial, data, given.epochs, threads, others)
            for way, others in _cases(ways)
            for threads in [ways[way]]
        }
        runs = alternate(cases, [42 + number for number in range(given.rounds)])
    alone = min(_median(runs[f"{way}, 0 beside"]) for way in ways)
    figures = {
        f"{way}, {others} beside": _figures(runs[f"{way}, {others} beside"], cores, others, alone)
        for way, others in _cases(ways)
    }
    headings = ["programs beside", "threads", "training s", "range", "to its fair share"]
    rows = [_row(way, others, figures[f"{way}, {others} beside"]) for way, others in _cases(ways)]
    shown = table(headings, rows)
    if given.no_publish:
        print(shown)
    else:
        publish("busy", figures, shown)
    worst = max(figures[f"chosen, {others} beside"]["ratio"] for others in _OTHERS)
    if worst > TARGET:
        sys.exit(f"{worst:.2f} times its fair share, {TARGET} is the most")


def _cases(ways: Iterable[str]) -> list[tuple[str, int]]:
    every = [(way, others) for others in _OTHERS for way in ways]
    return [case for case in every if case != ("all", max(_OTHERS))]


def _figures(runs: list[Run], cores: int, others: int, alone: float) -> dict[str, Any]:
    return {
        "seconds": [run.seconds for run in runs],
        "training_seconds": [run.output["train"] for run in runs],
        "threads": [run.output["threads"] for run in runs],
        "ratio": _median(runs) * share(cores, others) / (alone * cores),
    }


def _median(runs: list[Run]) -> float:
    return median(runs, lambda run: float(run.output["train"]))


def _row(way: str, others: int, found: dict[str, Any]) -> list[object]:
    seconds = found["training_seconds"]
    threads = "/".join(str(count) for count in sorted(set(found["threads"])))
    named = f"chosen ({threads})" if way == "chosen" else way
    span = f"{min(seconds):.1f} to {max(seconds):.1f}"
    ratio = f"**{found['ratio']:.2f}**" if way == "chosen" else f"{found['ratio']:.2f}"
    return [others, named, f"{statistics.median(seconds):.1f}", span, ratio]


if __name__ == "__main__":
    main()
