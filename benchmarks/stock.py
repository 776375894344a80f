"""embft against the stock recipe: the seed study's full and LoRA trials, 4 epochs, three seeds.

    python benchmarks/stock.py [--seeds 42 43 44] [--epochs 4] [--methods lora full]

Stock: sentence-transformers' own trainer with its defaults in a fresh process, from its start to a
scored model (`stock_recipe.py`). embft: one trial in fresh processes, from their start to the
record: data planned, audited and frozen; trained, saved, loaded again, proved and scored with
intervals (`one_trial.py`). Both take turns. Fails when embft is less than `--least` times as fast,
or its score is off by more than 0.01 in the mean.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import Run, alternate, data_files, fresh, median, parser, publish, python, table
from stock_recipe import RATES

SPEC = """\
name: one
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
train:
  method: {method}
  epochs: {epochs}
  batch_size: 16
  warmup_steps: 100
  learning_rate: {rate:g}
  lora: {{rank: 8, alpha: 16, dropout: 0.1, target_modules: [query, value]}}
seeds: [{seed}]
"""


def compare(method: str, data: Path, seeds: list[int], epochs: int) -> dict[str, list[Run]]:
    """Both ways of one method, each seed in turn."""

    def stock(seed: int) -> Run:
        options = ["--method", method, "--seed", seed, "--epochs", epochs, "--data", data]
        return fresh(python("stock_recipe.py", *options), {})

    def ours(seed: int) -> Run:
        spec = SPEC.format(data=data, method=method, epochs=epochs, rate=RATES[method], seed=seed)
        return fresh(python("one_trial.py", "spec.yaml"), {"spec.yaml": spec})

    return alternate({"stock": stock, "embft": ours}, seeds)


def figures(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Medians, their ratio, and mean scores."""
    found: dict[str, Any] = {}
    for name, each in runs.items():
        found[name] = {
            "seconds": [run.seconds for run in each],
            "median_seconds": median(each, lambda run: run.seconds),
            "peak_mb": median(each, lambda run: run.peak_mb),
            "spearman": [run.output["spearman"] for run in each],
            "mean_spearman": statistics.fmean(run.output["spearman"] for run in each),
        }
    found["embft"]["train"] = median(runs["embft"], lambda run: run.output["train"])
    found["ratio"] = found["stock"]["median_seconds"] / found["embft"]["median_seconds"]
    found["difference"] = found["embft"]["mean_spearman"] - found["stock"]["mean_spearman"]
    return found


def row(method: str, found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    stock, ours = found["stock"], found["embft"]
    return [
        method,
        f"{stock['median_seconds']:.1f}",
        f"{ours['median_seconds']:.1f}",
        f"**{found['ratio']:.1f}**",
        f"{stock['mean_spearman']:.3f}",
        f"{ours['mean_spearman']:.3f}",
        f"{stock['peak_mb']:.0f}",
        f"{ours['peak_mb']:.0f}",
    ]


HEADINGS = [
    "method", "stock s", "embft s", "times faster", "stock Spearman", "embft Spearman",
    "stock MB", "embft MB",
]  # fmt: skip


def main() -> None:
    """Compare, publish, and fail where embft is too slow or another result."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--methods", nargs="+", default=["lora", "full"], choices=list(RATES))
    arguments.add_argument("--least", type=float, default=2.0)
    arguments.add_argument("--no-publish", action="store_true", help="leave the page as it is")
    given = arguments.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        for method in given.methods:
            print(f"{method}:", flush=True)
            found[method] = figures(compare(method, data, given.seeds, given.epochs))
    shown = table(HEADINGS, [row(method, each) for method, each in found.items()])
    if given.no_publish:
        print(shown)
    else:
        publish("stock", found, shown)
    for method, each in found.items():
        if each["ratio"] < given.least:
            sys.exit(f"{method}: {each['ratio']:.2f} times as fast, {given.least} is the least")
        if not given.no_publish and abs(each["difference"]) > 0.01:
            sys.exit(f"{method}: Spearman differs by {each['difference']:+.4f}")


if __name__ == "__main__":
    main()
