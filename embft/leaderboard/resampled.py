"""A configuration's scores resampled, so that it can be compared with others of the same data.

Covers metrics of pairs, from `scores.parquet`, and those of evaluators that leave a value for each
query, text, draw or task, from `units.parquet`. Configurations compare where what they were scored
on is the same; each is resampled once for a split, and all with the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embft.leaderboard.pair_scores import pairs_digest, read_scores, read_texts, units_of
from embft.leaderboard.rows import Row
from embft.leaderboard.unit_values import read_units
from embft.metrics.bootstrap import BootstrapResult, hierarchical
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.metrics.resampling import Resampling, Units
from embft.results.units import UnitValues, resampled_units


@dataclass(frozen=True)
class Drawn:
    """Resamples of one configuration's scores in a metric. on: what was scored, equal where it is
    the same.

    unit: what one unit is called, `pair` or what its evaluator says; count: how many there are.
    """

    metric: str
    on: str
    unit: str
    count: int
    result: BootstrapResult


class Draw:
    """Resamples the scores of configurations; what is drawn is found once for the same units."""

    def __init__(self, metric: str, resampling: Resampling) -> None:
        self.metric, self.resampling = metric, resampling
        self._pairs: dict[str, Units] = {}
        self._units: list[UnitValues] = []

    def of(self, rows: Sequence[Row], split: str) -> Drawn | None:
        """The resampled mean over these rows; None where a row's single values are not on disk, or
        leave the metric undefined.
        """
        found = self._of_pairs if self.metric in PAIR_METRICS else self._of_units
        drawn = found(rows, split)
        return drawn if drawn and self.metric in drawn.result.estimates else None

    def _of_pairs(self, rows: Sequence[Row], split: str) -> Drawn | None:
        tables = [table for row in rows if (table := read_scores(row, split))]
        if len(tables) < len(rows):
            return None
        on, count = pairs_digest(rows[0], split), len(tables[0].label)
        if on not in self._pairs:
            self._pairs[on] = units_of(read_texts(rows[0], split), count)
        thresholds = [table.threshold or 0.0 for table in tables]
        scores = [table.score for table in tables]
        return Drawn(
            self.metric,
            on,
            "pair",
            count,
            hierarchical(scores, tables[0].label, thresholds, self._pairs[on], self.resampling),
        )

    def _of_units(self, rows: Sequence[Row], split: str) -> Drawn | None:
        tables = [table for row in rows if (table := read_units(row, split, self.metric))]
        if len(tables) < len(rows) or not all(tables[0].matches(table) for table in tables):
            return None
        return self.of_units(tables)

    def of_units(self, tables: Sequence[UnitValues]) -> Drawn | None:
        """The resampled mean over tables of the same units, one for each seed."""
        same = next((i for i, u in enumerate(self._units) if u.matches(tables[0])), None)
        if same is None:
            same = len(self._units)
            self._units.append(tables[0])
        result = resampled_units(self.metric, tables, self._units[same].drawn, self.resampling)
        if result is None:
            return None
        return Drawn(self.metric, f"units {same}", tables[0].unit, len(tables[0]), result)
