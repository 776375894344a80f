"""What one would write without embft: the stock recipe in a function, Ray Tune over the grid.

    python benchmarks/plain_tune.py --data FOLDER --epochs 4 --points POINTS [--model FOLDER]
        [--at-once 1]

POINTS: a JSON list of {"method", "learning_rate", "rank"}. Ray's and Tune's own defaults; so many
trials at once share the cores. Prints the best Spearman, and each point's with its seconds, as
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

BENCHMARKS = str(Path(__file__).resolve().parent)


def trial(config: dict[str, Any]) -> None:
    """One trial in a Ray worker."""
    import sys
    import tempfile

    sys.path.insert(0, config["benchmarks"])
    from ray import tune
    from stock_recipe import stock_trial

    out = Path(tempfile.mkdtemp(prefix="plain-tune-"))
    try:
        score = stock_trial(
            Path(config["data"]),
            out,
            method=config["point"]["method"],
            learning_rate=config["point"]["learning_rate"],
            rank=config["point"]["rank"],
            seed=42,
            epochs=config["epochs"],
            base=Path(config["base"]) if config["base"] else None,
        )
    finally:
        shutil.rmtree(out, ignore_errors=True)
    tune.report({"spearman": score})


def main() -> None:
    """The sweep, and its best score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--points", type=json.loads, required=True)
    parser.add_argument("--model", help="another model than MiniLM, a folder")
    parser.add_argument("--at-once", type=int, default=1)
    given = parser.parse_args()
    import ray
    from ray import tune

    # Not the cluster that somebody may have started here; and this machine as 127.0.0.1, as embft
    # has it, since it may not reach itself under its outer address.
    ray.init(address="local", _node_ip_address="127.0.0.1")
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": (os.cpu_count() or 1) // given.at_once}),
        param_space={
            "point": tune.grid_search(given.points),
            "data": given.data,
            "epochs": given.epochs,
            "base": given.model,
            "benchmarks": BENCHMARKS,
        },
        run_config=tune.RunConfig(storage_path=str(Path("ray").resolve())),
    )
    results = tuner.fit()
    assert not results.errors, results.errors
    found = [results[i].metrics or {} for i in range(len(results))]
    scores, seconds = ([each[name] for each in found] for name in ("spearman", "time_total_s"))
    content = {"spearman": max(scores), "trials": len(scores), "scores": scores, "seconds": seconds}
    print(json.dumps(content))


if __name__ == "__main__":
    main()
