"""Where the time of a training's step goes: products, compiled loops, other operations, Python.

    python benchmarks/step_shares.py SPEC [--steps 12]

Some steps of the spec's last trial in this process, by torch's profiler, which makes Python look
slower than it is. Prints each part's share of the time on the clock as JSON. Products: matrix
products, and attention where torch has one function for it. Other operations: those of torch.
Python: all that is none of the others.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from measuring import parser
from torch.profiler import ProfilerActivity, profile, record_function

from embft.training.kernels import threads

_LOOP = "compiled loop"
_PRODUCTS = ("mm", "bmm", "linear", "matmul", "scaled_dot_product", "flash_attention")
_BEFORE = 4  # steps that make kernels


def _watch_loops() -> None:
    """Have each compiled loop seen by the profiler. Other modules take `together` by its name, so
    this comes before they are imported.
    """
    plain = threads.together

    def together(loop: Any, *arguments: Any) -> None:
        with record_function(_LOOP):
            plain(loop, *arguments)

    threads.together = together


def kind(name: str) -> str:
    """To which share an operation counts."""
    if name == _LOOP:
        return "loops"
    return "products" if any(each in name for each in _PRODUCTS) else "other"


def stepper(spec: Path) -> tuple[Any, Any]:
    """What trains the spec's last trial, and an epoch of its batches."""
    from embft.data.load import Columns, load_pairs
    from embft.encoding.encoder import Tokenised
    from embft.models.base import build
    from embft.models.resolve import find_base_model
    from embft.planning.plan import make_plan
    from embft.spec import load_spec
    from embft.system.allocator import keep_freed_memory
    from embft.training.batches import Batches
    from embft.training.step import Stepper

    sweep = load_spec(spec)
    trial = make_plan(sweep, Path("results")).trials[-1].spec
    pairs = load_pairs(Path(sweep.sections["data"]["train"]), Columns())
    model = build(find_base_model(trial.model.base).folder, trial.model, trial.train)
    keep_freed_memory()
    tokens = Tokenised(model, pairs.columns)
    least = trial.train.loss.traits.least_rows(pairs.shape)
    batches = Batches(tokens.columns, trial.train, trial.seed, least)
    made = Stepper(
        model, trial.train, pairs, seed=trial.seed, steps=batches.steps(2), tokens=tokens
    )
    made.start()
    return made, batches.of(1)


def main() -> None:
    """Profile and print."""
    arguments = parser(__doc__)
    arguments.add_argument("spec", type=Path)
    arguments.add_argument("--steps", type=int, default=12)
    given = arguments.parse_args()
    _watch_loops()
    made, batches = stepper(given.spec)
    for rows in batches[:_BEFORE]:
        made.step(rows)
    some = batches[_BEFORE : _BEFORE + given.steps]
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        start = time.perf_counter()
        for rows in some:
            made.step(rows)
        seconds = time.perf_counter() - start
    shares = dict.fromkeys(("products", "loops", "other"), 0.0)
    for event in watched.key_averages():
        shares[kind(event.key)] += event.self_cpu_time_total / 1e6 / seconds
    shares["python"] = 1 - sum(shares.values())
    print(json.dumps({**shares, "step_seconds": seconds / len(some)}))


if __name__ == "__main__":
    main()
