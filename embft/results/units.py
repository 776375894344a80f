"""`units.parquet`: what an evaluator's metric is made of, by query, text, pair, draw or task.

With them two models are compared unit by unit, as they are by pairs with `scores.parquet`. Knows no
torch: the leaderboard reads what a worker has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embft.data.column import arrow, numbers, repeated
from embft.metrics.bootstrap import BootstrapResult, Statistics, of_statistics
from embft.metrics.pairs import weighted_metrics
from embft.metrics.resampling import Resampling, Units, independent_pairs, sampling_units
from embft.metrics.weighted import FloatArray, IntArray, Metrics, sort_pairs
from embft.storage.files import write_atomic

MEAN = "mean"


@dataclass(frozen=True)
class UnitValues:
    """One metric on one split, by unit. Shapes: n units.

    unit: what one is: `query`, `text`, `pair`, `draw` or `task`. ids (n,): what each is called, in
    an order that depends on the data alone; the units of two models are the same where these are.
    values (n,): the metric is their mean weighted by `weights` (n,), or by 1 where that is None. A
    statistic other than `mean` names a metric of pairs, which is then computed from the values as
    scores and `labels` (n,). ends (n, 2): numbers of two things that a unit rests on; units that
    share one are not independent. None where all are.
    """

    unit: str
    ids: tuple[str, ...]
    values: FloatArray
    weights: FloatArray | None = None
    statistic: str = MEAN
    labels: FloatArray | None = None
    ends: IntArray | None = None

    def __post_init__(self) -> None:
        given = {"ids": self.ids, "weights": self.weights, "labels": self.labels, "ends": self.ends}
        for name, column in given.items():
            if column is not None and len(column) != len(self.values):
                raise ValueError(f"{len(column)} {name} for {len(self.values)} values")

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def drawn(self) -> Units:
        """What is drawn when the units are resampled."""
        if self.ends is None:
            return independent_pairs(len(self))
        first, second = (list(map(str, column)) for column in self.ends.T)
        return sampling_units(first, second)

    def resampled(self, drawn: FloatArray) -> FloatArray:
        """The metric (R,) where each unit has been drawn so often, (R, n); NaN where undefined."""
        if self.statistic != MEAN:
            labels = np.zeros(len(self)) if self.labels is None else self.labels
            pairs = sort_pairs(self.values, labels, 0.0)
            return weighted_metrics(pairs, drawn, (self.statistic,))[self.statistic]
        weighed = drawn if self.weights is None else drawn * self.weights
        with np.errstate(invalid="ignore", divide="ignore"):
            means: FloatArray = weighed @ self.values / weighed.sum(axis=1)
        return means

    def estimate(self) -> float:
        """The metric over all units; NaN where it is undefined."""
        return float(self.resampled(np.ones((1, len(self))))[0])

    def matches(self, other: UnitValues) -> bool:
        """Whether both models were measured on the same units, so that they can be compared."""
        same = (self.unit, self.ids, self.statistic) == (other.unit, other.ids, other.statistic)
        mine, theirs = (np.zeros(0) if u.labels is None else u.labels for u in (self, other))
        return same and np.array_equal(mine, theirs)


def resampled_units(
    metric: str, tables: Sequence[UnitValues], drawn: Units, resampling: Resampling
) -> BootstrapResult | None:
    """The mean over tables, one for each seed, of the same units; None where it is undefined.

    drawn: the first one's, or those of others that it matches.
    """
    by_seed = np.array([table.estimate() for table in tables])
    if not np.isfinite(by_seed).all():
        return None
    statistics: list[Statistics] = [partial(_named, metric, table) for table in tables]
    return of_statistics(statistics, {metric: by_seed}, drawn, resampling)


def _named(metric: str, values: UnitValues, weights: FloatArray) -> Metrics:
    return {metric: values.resampled(weights)}


BySplit = Mapping[str, Mapping[str, UnitValues]]


def write_units(path: Path, found: BySplit) -> None:
    """Write a row for each unit of each metric. found: split -> metric -> values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [
        pa.table(_columns(split, metric, values))
        for split, metrics in found.items()
        for metric, values in metrics.items()
    ]
    content = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), content)
    write_atomic(path, content.getvalue().to_pybytes())


def _columns(split: str, metric: str, values: UnitValues) -> dict[str, Any]:
    n = len(values)
    ends = np.full((n, 2), -1) if values.ends is None else values.ends
    named = {
        name: repeated(text, n)
        for name, text in (
            ("split", split),
            ("metric", metric),
            ("unit", values.unit),
            ("statistic", values.statistic),
        )
    }
    return {
        **named,
        "row": arrow(np.arange(n, dtype=np.int32)),
        "id": arrow(values.ids),
        "value": arrow(np.asarray(values.values, np.float64)),
        "weight": arrow(_filled(values.weights, n)),
        "label": arrow(_filled(values.labels, n)),
        "first": arrow(ends[:, 0].astype(np.int64)),
        "second": arrow(ends[:, 1].astype(np.int64)),
    }


def _filled(values: FloatArray | None, n: int) -> FloatArray:
    """The values, NaN where there are none at all."""
    return np.full(n, np.nan) if values is None else np.asarray(values, np.float64)


def load_units(path: Path) -> dict[str, dict[str, UnitValues]]:
    """Split -> metric -> values, units in the order in which they were written.

    Raises OSError, ArrowInvalid or KeyError where the file is not what `write_units` wrote.
    """
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read(use_threads=False)
    split, metric = (np.array(table[name].to_pylist()) for name in ("split", "metric"))
    found: dict[str, dict[str, UnitValues]] = {}
    for one, name in dict.fromkeys(zip(split.tolist(), metric.tolist(), strict=True)):
        rows = np.flatnonzero((split == one) & (metric == name))
        found.setdefault(one, {})[name] = _values(table.take(rows))
    return found


def _values(table: Any) -> UnitValues:
    table = table.take(np.argsort(numbers(table["row"]), kind="stable"))
    weight, label = (_given(numbers(table[name])) for name in ("weight", "label"))
    ends = np.stack([numbers(table[name]) for name in ("first", "second")], axis=1)
    return UnitValues(
        unit=table["unit"][0].as_py(),
        ids=tuple(table["id"].to_pylist()),
        values=numbers(table["value"]).astype(np.float64),
        weights=weight,
        statistic=table["statistic"][0].as_py(),
        labels=label,
        ends=None if (ends < 0).all() else ends.astype(np.int64),
    )


def _given(values: npt.NDArray[np.floating]) -> FloatArray | None:
    return None if np.isnan(values).all() else values.astype(np.float64)
