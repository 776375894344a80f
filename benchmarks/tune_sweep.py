"""embft against a plain Ray Tune sweep of the stock trainer, over the points of lora_lr.yaml.

    python benchmarks/tune_sweep.py [--epochs 4] [--whole]

Without --whole only four of the eleven points: LoRA of rank 8 at three rates, and full at 2e-5.
Both from the start of the process to its end: embft with its baseline, verification, intervals and
report (`embft sweep`), the other with scores alone (`plain_tune.py`). Memory is the most that all
processes of a side held together, what they share counted once.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from measuring import (
    Run,
    alternate,
    data_files,
    embft,
    fresh,
    median,
    parser,
    publish,
    python,
    table,
)

Points = list[dict[str, Any]]
SOME: Points = [
    *({"method": "lora", "learning_rate": rate, "rank": 8} for rate in (2e-5, 2e-4, 2e-3)),
    {"method": "full", "learning_rate": 2e-5, "rank": 8},
]
WHOLE: Points = [
    *(
        {"method": "lora", "learning_rate": rate, "rank": rank}
        for rank in (4, 8, 16)
        for rate in (2e-5, 2e-4, 2e-3)
    ),
    *({"method": "full", "learning_rate": rate, "rank": 8} for rate in (2e-5, 2e-4)),
]
SPEC = """\
name: rates
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
train:
  epochs: {epochs}
  batch_size: 16
  warmup_steps: 100
  lora: {{alpha: 16, dropout: 0.1, target_modules: [query, value]}}
space:
{space}
"""


def spec(data: Path, epochs: int, points: Points) -> str:
    """The sweep of these points."""
    axes = [
        f"  - {{train.method: [{p['method']}], train.learning_rate: [{p['learning_rate']:g}]"
        + (f", train.lora.rank: [{p['rank']}]}}" if p["method"] == "lora" else "}")
        for p in points
    ]
    return SPEC.format(data=data, epochs=epochs, space="\n".join(axes))


def main() -> None:
    """Run both, and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--whole", action="store_true", help="all eleven points")
    given = arguments.parse_args()
    points = WHOLE if given.whole else SOME

    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))

        def plain(_: int) -> Run:
            options = ["--data", data, "--epochs", given.epochs, "--points", json.dumps(points)]
            return fresh(python("plain_tune.py", *options), {})

        def ours(_: int) -> Run:
            return fresh(
                embft("sweep", "spec.yaml"),
                {"spec.yaml": spec(data, given.epochs, points)},
                keep="results/rates/leaderboard.json",
            )

        runs = alternate({"plain": plain, "embft": ours}, range(given.rounds))
    best = {
        "plain": max(run.output["spearman"] for run in runs["plain"]),
        "embft": max(
            trial["test_spearman"] for run in runs["embft"] for trial in run.output["trials"]
        ),
    }
    found = {
        name: {
            "seconds": [run.seconds for run in each],
            "median_seconds": median(each, lambda run: run.seconds),
            "peak_mb": median(each, lambda run: run.peak_mb),
            "best": best[name],
        }
        for name, each in runs.items()
    }
    rows = [
        [name, f"{each['median_seconds']:.0f}", f"{each['peak_mb']:.0f}", f"{each['best']:.3f}"]
        for name, each in found.items()
    ]
    plain_, ours_ = found["plain"], found["embft"]
    faster = plain_["median_seconds"] / ours_["median_seconds"]
    smaller = plain_["peak_mb"] / ours_["peak_mb"]
    rows.append(["ratio", f"**{faster:.1f}**", f"**{smaller:.1f}**", ""])
    headings = [f"{len(points)} trials", "seconds", "peak MB", "best Spearman on test"]
    publish("tune", {**found, "faster": faster, "smaller": smaller}, table(headings, rows))


if __name__ == "__main__":
    main()
