"""One trial of embft in this process and its workers, without Ray: plan, train, prove, score.

    python benchmarks/one_trial.py SPEC [--workers-import-here]

Runs the spec's last trial (not its baseline). Prints its scores and times as JSON. With the option
its workers look for modules in this folder first, for a sitecustomize, say.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from embft.execution.launcher import run_trial
from embft.execution.warming import warm_up
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.planning.take_over import begin
from embft.results.records import Completed
from embft.spec import load_spec
from embft.system.machine import available_cores


def main() -> None:
    """Plan and run the trial."""
    start = time.perf_counter()
    if sys.argv[2:]:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ["PYTHONPATH"]])
    warm_up()
    plan = make_plan(load_spec(Path(sys.argv[1])), Path("results"))
    trial = prepare(plan, retry_failed=False)[-1]
    begin(trial, available_cores(), plan.spec.resources)
    run_trial(trial.folder)
    result = trial.folder.result()
    assert isinstance(result, Completed), result
    told = {
        "spearman": result.test["spearman"],
        "train": result.timings.train,
        "evaluate": result.timings.evaluate,
        "threads": result.provenance.threads if result.provenance else None,
        "seconds": time.perf_counter() - start,
        "without": result.provenance.without if result.provenance else {},
        "trial": str(trial.folder.path),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
