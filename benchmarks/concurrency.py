"""Whether trials at once are faster in total than one at a time, each with its share of the cores.

    python benchmarks/concurrency.py [--at-once 1 2] [--epochs 1] [--rounds 2]

`embft sweep` over four points of MiniLM, from start to end, in turns. `CORES_EACH` in
`embft/planning/capacity.py` is what `concurrent_trials: auto` makes of these figures.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from measuring import Run, alternate, data_files, embft, fresh, median, parser, publish, table
from tune_sweep import SOME, spec


def sweep(data: Path, epochs: int, at_once: int, _: int) -> Run:
    """The sweep with so many trials at once."""
    text = spec(data, epochs, SOME) + f"resources: {{concurrent_trials: {at_once}}}\n"
    return fresh(embft("sweep", "spec.yaml"), {"spec.yaml": text})


def main() -> None:
    """Run each number in turns, and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--at-once", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=2)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        cases = {str(n): partial(sweep, data, given.epochs, n) for n in given.at_once}
        runs = alternate(cases, range(given.rounds))
    found = {
        name: {
            "seconds": [run.seconds for run in each],
            "median_seconds": median(each, lambda run: run.seconds),
            "peak_mb": median(each, lambda run: run.peak_mb),
        }
        for name, each in runs.items()
    }
    rows = [
        [name, f"{each['median_seconds']:.0f}", f"{each['peak_mb']:.0f}"]
        for name, each in found.items()
    ]
    publish("concurrency", found, table(["trials at once", "seconds", "peak MB"], rows))


if __name__ == "__main__":
    main()
