"""That what schedules a sweep, and Ray's actors, import Ray Tune without what they never use."""

from __future__ import annotations

import sys

from embft.scheduler.tune import TrialRunner
from embft.system.speedups import missing

assert not missing(), missing()
found = {"pandas", "ray.data", "torch"} & set(sys.modules)
assert not found, found
assert TrialRunner.__mro__[1].__module__ == "ray.tune.trainable.trainable"
