"""Trials that do nothing, given to Tuners two at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from embft.scheduler import settings

settings.configure(None)
from ray.tune import Tuner  # noqa: E402 - Ray reads its settings at import

from embft.planning.plan import make_plan  # noqa: E402
from embft.scheduler import tune as sweep  # noqa: E402
from embft.scheduler.cluster import ray_cluster  # noqa: E402
from embft.spec import load_spec  # noqa: E402
from embft.system.speedups import missing  # noqa: E402

tuner, fit_it = sweep._tuner, Tuner.fit
begun: list[int] = []
threads = set()


class Instant(sweep.TrialRunner):
    """Makes the trial's folder and is done."""

    def step(self) -> dict[str, Any]:
        """One step is all."""
        Path(self.given["trial"]).mkdir(parents=True)
        return {"done": True}


def fit(tuner: Any) -> Any:
    threads.add(current_thread())
    return fit_it(tuner)


def counted(given: Any, *rest: Any) -> Any:
    begun.append(len(given))
    return tuner(given, *rest)


plan = make_plan(load_spec(Path("tiny.yaml")), Path("r"))
sweep.TrialRunner, sweep.warm_up = Instant, lambda: None
Tuner.fit = fit
sweep._PART = sweep._PART_FOR_EACH = 2
sweep._tuner = counted
with ray_cluster(plan.spec.resources) as cluster:
    print(sweep.run_trials(plan.trials, cluster, plan.spec.resources))
print(begun, [trial.folder.path.exists() for trial in plan.trials])
print(len(threads), main_thread() in threads)
print({"pandas", "ray.data"} & set(sys.modules), missing())
