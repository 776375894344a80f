"""What differs from the untrained model: forgetting, and cluster purity beyond its own spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embft.leaderboard.rows import Row

PURITY, SPREAD, PROBE = "cluster_purity", "cluster_purity_spread", "probe_spearman"


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
    """Cluster purity on test, after minus before; "none" where it is within the spread.

    The spread is the larger one of the two over UMAP's seeds. None where a purity is missing.
    """
    if PURITY not in before.test or PURITY not in after.test:
        return None
    change = after.test[PURITY] - before.test[PURITY]
    spread = max(before.test.get(SPREAD, 0.0), after.test.get(SPREAD, 0.0))
    return change if abs(change) > spread else "none"
