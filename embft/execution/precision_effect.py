"""What another number format of a model's products does to its scores, beside float32's.

Both are of the same pairs, queries and texts, and are compared one by one. Embeds nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from embft.data.pairs import Splits
from embft.execution.evaluate import Evaluation
from embft.metrics.bootstrap import BootstrapResult, bootstrap
from embft.metrics.comparison import compare
from embft.metrics.contrast import contrast
from embft.metrics.resampling import sampling_units
from embft.results.units import UnitValues


def beside(found: Evaluation, float32: Evaluation, splits: Splits | None) -> Evaluation:
    """The same with three columns more: `float32`, the score in that format, and `difference_low`
    and `difference_high`, the 95 % interval of the difference to it where it has one.
    """
    before = {(row["metric"], row["split"]): row["value"] for row in float32.rows}
    drawn = {} if splits is None else {s: _drawn(s, found, float32, splits) for s in found.scores}
    rows = list[dict[str, Any]]()
    for row in found.rows:
        metric, split = row["metric"], row["split"]
        low, high = _interval(metric, split, found, float32, drawn) or (None, None)
        ends = {"difference_low": low, "difference_high": high}
        rows.append({**row, "float32": before.get((metric, split)), **ends})
    return replace(found, rows=rows)


_Drawn = tuple[BootstrapResult, BootstrapResult]


def _drawn(split: str, found: Evaluation, float32: Evaluation, splits: Splits) -> _Drawn:
    """The pairs' metrics of both, resampled alike."""
    pairs = splits[split]
    units = sampling_units(pairs.text_1, pairs.text_2)
    one, other = (
        bootstrap(each.scores[split], pairs.label, each.threshold or 0.0, units)
        for each in (found, float32)
    )
    return one, other


def _interval(
    metric: str,
    split: str,
    found: Evaluation,
    float32: Evaluation,
    drawn: Mapping[str, _Drawn],
) -> tuple[float, float] | None:
    """Of the difference, in the metric's own direction."""
    values = [each.by_unit.get(split, {}).get(metric) for each in (found, float32)]
    if values[0] is not None and values[1] is not None:
        return _of_units(values[0], values[1])
    if split not in drawn or any(metric not in each.estimates for each in drawn[split]):
        return None
    result = compare(*drawn[split], metric)
    return None if result is None else (result.low, result.high)


def _of_units(one: UnitValues, other: UnitValues) -> tuple[float, float] | None:
    if one.ids != other.ids:
        return None
    result = contrast(one.values - other.values, [(1.0, np.ones(len(one), bool))], one.drawn)
    return None if result is None else (result.low, result.high)
