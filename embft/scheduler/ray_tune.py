"""All that is taken from Ray Tune, which is imported as lightly as it can be.

With Ray Tune come Ray Data and pandas, neither of which a sweep uses: four tenths of a second in
the sweep's own process, and once more in each of Ray's actors.
"""

import importlib
from contextlib import nullcontext

import ray  # noqa: F401 - which cannot be imported a second time, where Ray Tune needs more

from embft.system.light_import import import_without
from embft.system.speedups import speedup


def _leave_out_results() -> None:
    """Have Ray Tune save its state without Ray's data sets, which a sweep has none of, and end
    without its trials' results in data frames, which nobody reads: it would import both for that.

    Raises AttributeError where it does either in another way.
    """
    saving = importlib.import_module("ray.tune.execution.experiment_state")
    analysis = importlib.import_module("ray.tune.analysis.experiment_analysis").ExperimentAnalysis
    for of, name, nothing in (
        (saving, "out_of_band_serialize_dataset", nullcontext),
        (analysis, "_fetch_trial_dataframes", lambda _: {}),
    ):
        if not hasattr(of, name):
            raise AttributeError(f"Ray Tune has no {name}")
        setattr(of, name, nothing)


import_without("ray.tune", "pandas", "ray.data")
speedup("Ray Tune without data frames", _leave_out_results)

from ray import tune  # noqa: E402 - after it, and below too
from ray.tune.experiment import Trial  # noqa: E402
from ray.tune.schedulers import (  # noqa: E402
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)
from ray.tune.search import Searcher  # noqa: E402

__all__ = [
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "Searcher",
    "Trial",
    "TrialScheduler",
    "tune",
]
