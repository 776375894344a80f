"""What differs from the base model: forgetting, and cluster purity beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embft.leaderboard.rows import Row

PURITY, SPREAD, PROBE = "cluster_purity", "cluster_purity_spread", "probe_spearman"
# Standard errors: 95 % of the differences of two equal purities are smaller. Not Student's t, for
# the purity reported is one of the five that its spread is taken over (simulated: 1.98 to 2.02).
_REACH = 2.0


def with_probe_drop(rows: Sequence[Row]) -> list[Row]:
    """The rows, with `probe_drop`: the baseline's score on the probe pairs minus the row's."""
    bases = {_model(row): row.test[PROBE] for row in rows if row.is_baseline and PROBE in row.test}
    return [
        replace(row, derived={"probe_drop": bases[_model(row)] - row.test[PROBE]})
        if not row.is_baseline and PROBE in row.test and _model(row) in bases
        else row
        for row in rows
    ]


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
