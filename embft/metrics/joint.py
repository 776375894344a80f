"""Two models in many metrics at once: differences whose intervals hold together.

What two models differ by in one metric is asked in `comparison`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import special

from embft.metrics.bootstrap import BootstrapResult
from embft.metrics.comparison import Comparison, compare


def compare_all(first: BootstrapResult, second: BootstrapResult) -> dict[str, Comparison]:
    """First less second in every metric that both have, with intervals that hold together.

    The level of each is that of the largest standardised difference over the resamples (Westfall
    and Young, 1993): metrics that say the same count once.
    """
    level = _single_level(first, second)
    one, other = (
        replace(result, resampling=replace(result.resampling, level=level))
        for result in (first, second)
    )
    found = {name: compare(one, other, name) for name in first.estimates}
    return {name: comparison for name, comparison in found.items() if comparison is not None}


def _single_level(first: BootstrapResult, second: BootstrapResult) -> float:
    """The level of each interval at which all hold together at the resampling's level."""
    largest = np.zeros(1)
    for name in first.samples.keys() & second.samples.keys():
        gap = first.samples[name] - second.samples[name]
        if np.isfinite(gap).sum() > 1 and np.nanstd(gap) > 1e-12:
            apart = np.abs(gap - np.nanmean(gap)) / np.nanstd(gap)
            largest = np.fmax(largest, apart)
    wanted = first.resampling.level
    return max(float(1 - 2 * special.ndtr(-np.quantile(largest, wanted))), wanted)
