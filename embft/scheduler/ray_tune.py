"""All that is taken from Ray Tune, which is imported as lightly as it can be.

With Ray Tune come Ray Data and pandas, neither of which a sweep uses: four tenths of a second in
the sweep's own process, and once more in each of Ray's actors.
"""

import ray  # noqa: F401 - which cannot be imported a second time, where Ray Tune needs more

from embft.system.light_import import import_without

import_without("ray.tune", "pandas", "ray.data")

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
