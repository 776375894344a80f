"""The most that a metric of pairs can be: its bound, or less where the labels tie.

Spearman and Kendall compare an order of scores with one of labels. Labels that tie have no order
among themselves, so that even scores in perfect order, all different, do not reach 1: of as many 0
as 1 Spearman reaches 0.866.
"""

from __future__ import annotations

import numpy as np

from embft.metrics.registry import metric
from embft.metrics.weighted import FloatArray

RANK_CORRELATIONS = ("spearman", "kendall")


def ceiling(name: str, label: FloatArray | None = None) -> float | None:
    """The highest value of a metric, None where it has no bound.

    label (n,): of the pairs. For rank correlations it is their value for scores in the labels'
    order that do not tie (Kendall, 1945): sqrt(1 - sum(t^3 - t) / (n^3 - n)) for Spearman, and
    sqrt(1 - sum(t^2 - t) / (n^2 - n)) for Kendall's tau-b, t the sizes of groups of equal labels.
    NaN where all labels are equal.
    """
    if label is None or name not in RANK_CORRELATIONS:
        return metric(name).bounds[1]
    power, n = (3.0 if name == "spearman" else 2.0), float(len(label))
    sizes = np.unique(label, return_counts=True)[1].astype(np.float64)
    if len(sizes) < 2:
        return float("nan")
    return float(np.sqrt(1 - (sizes**power - sizes).sum() / (n**power - n)))
