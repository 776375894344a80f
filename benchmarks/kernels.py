"""What the compiled layers and the compiled optimizer save: trials with them and without, in turn.

    python benchmarks/kernels.py [--rounds 3] [--epochs 2] [--methods lora full] [--no-publish]

Without them is as on a machine that has no numba (docs/decisions/0018-what-only-saves-time.md):
torch computes the layers and makes the optimizer's steps. Both are whole trials in fresh processes;
what is compared is the time of the training in their records.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measuring import Run, alternate, data_files, fresh, median, parser, publish, python, table
from stock import SPEC
from stock_recipe import RATES

_NO_NUMBA = "import sys\nsys.modules['numba'] = None\n"


def compare(method: str, data: Path, rounds: int, epochs: int) -> dict[str, list[Run]]:
    """Both ways of one method, in turn."""
    spec = SPEC.format(data=data, method=method, epochs=epochs, rate=RATES[method], seed=42)

    def compiled(_: int) -> Run:
        run = fresh(python("one_trial.py", "spec.yaml"), {"spec.yaml": spec})
        assert not run.output["without"], run.output
        return run

    def plain(_: int) -> Run:
        files = {"spec.yaml": spec, "sitecustomize.py": _NO_NUMBA}
        run = fresh(python("one_trial.py", "spec.yaml", "--workers-import-here"), files)
        assert "compiled loops" in run.output["without"], run.output
        return run

    return alternate({"compiled": compiled, "plain": plain}, range(rounds))


def figures(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Seconds of training, each round's ratio, and scores."""
    seconds = {name: [run.output["train"] for run in each] for name, each in runs.items()}
    ratios = [
        plain / compiled
        for plain, compiled in zip(seconds["plain"], seconds["compiled"], strict=True)
    ]
    scores = {name: median(each, lambda run: run.output["spearman"]) for name, each in runs.items()}
    return {"seconds": seconds, "ratios": sorted(ratios), "spearman": scores}


def row(method: str, found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    seconds, scores = found["seconds"], found["spearman"]
    middle = found["ratios"][len(found["ratios"]) // 2]
    return [
        method,
        ", ".join(f"{each:.1f}" for each in seconds["plain"]),
        ", ".join(f"{each:.1f}" for each in seconds["compiled"]),
        f"**{middle:.2f}** ({found['ratios'][0]:.2f} to {found['ratios'][-1]:.2f})",
        f"{scores['plain']:.3f}, {scores['compiled']:.3f}",
    ]


HEADINGS = ["method", "by torch s", "compiled s", "times faster", "Spearman of both"]


def main() -> None:
    """Compare and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--methods", nargs="+", default=["lora", "full"], choices=list(RATES))
    arguments.add_argument("--no-publish", action="store_true", help="leave the page as it is")
    given = arguments.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        for method in given.methods:
            print(f"{method}:", flush=True)
            found[method] = figures(compare(method, data, given.rounds, given.epochs))
    shown = table(HEADINGS, [row(method, each) for method, each in found.items()])
    if given.no_publish:
        print(shown)
    else:
        publish("kernels", found, shown)


if __name__ == "__main__":
    main()
