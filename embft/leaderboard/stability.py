"""What differs from the base model: forgetting, and cluster purity beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from embft.leaderboard.rows import Interval, Row
from embft.leaderboard.unit_values import read_units

PURITY, SPREAD, PROBE = "cluster_purity", "cluster_purity_spread", "probe_spearman"
MOST_INTERVALS = 500  # more would take a minute
# Standard errors: 95 % of the differences of two equal purities are smaller. Not Student's t, for
# the purity reported is one of the five that its spread is taken over (simulated: 1.98 to 2.02).
_REACH = 2.0


def with_probe_drop(rows: Sequence[Row]) -> list[Row]:
    """The rows, with `probe_drop`: the baseline's score on the probe pairs minus the row's.

    Its interval is paired, over the probe pairs that both were scored on; with more than
    `MOST_INTERVALS` such rows there is none.
    """
    bases = {_model(row): row for row in rows if row.is_baseline and PROBE in row.test}
    drops = [not row.is_baseline and PROBE in row.test and _model(row) in bases for row in rows]
    few = sum(drops) <= MOST_INTERVALS
    return [
        _with_drop(row, bases[_model(row)], interval=few) if drop else row
        for row, drop in zip(rows, drops, strict=True)
    ]


def _with_drop(row: Row, base: Row, *, interval: bool) -> Row:
    drop = base.test[PROBE] - row.test[PROBE]
    found = _drop_interval(row, base, drop) if interval else None
    return replace(
        row,
        derived={**row.derived, "probe_drop": drop},
        derived_intervals={"probe_drop": found} if found else {},
    )


def _drop_interval(row: Row, base: Row, drop: float) -> Interval | None:
    """The 95 % interval by the jackknife of the difference; None where values are not on disk."""
    was, now = (read_units(each, "test", PROBE) for each in (base, row))
    if was is None or now is None or not was.matches(now):
        return None
    n = len(was)
    without = 1.0 - np.eye(n)
    left_out = was.resampled(without) - now.resampled(without)
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    reach = float(special.stdtrit(n - 1, 0.975)) * error
    return (drop - reach, drop + reach) if np.isfinite(reach) else None


def _model(row: Row) -> str | None:
    return row.completed.model_digest if row.completed else None


def purity_change(before: Row, after: Row) -> float | str | None:
    """Cluster purity on test, after minus before; "none" where that is not significant at 5 %.

    The variance of each purity is that over UMAP's seeds, of which the first is reported, and that
    over the pairs given the clusters, from its interval; the two models' maps are drawn apart. None
    where a purity is missing.
    """
    if PURITY not in before.test or PURITY not in after.test:
        return None
    change = after.test[PURITY] - before.test[PURITY]
    variance = sum(_variance(row) for row in (before, after))
    return change if abs(change) > _REACH * variance**0.5 else "none"


def _variance(row: Row) -> float:
    low, high = row.test_intervals.get(PURITY, (0.0, 0.0))
    return row.test.get(SPREAD, 0.0) ** 2 + ((high - low) / (2 * 1.96)) ** 2
