"""Semantic textual similarity: pairs of their own with graded labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import model_validator

from embft.data.files import Given
from embft.data.pairs import Pairs
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.embed import pair_cosines
from embft.evaluation.labelled import OnFiles, by_split
from embft.metrics.bootstrap import bootstrap
from embft.metrics.metric import CORRELATION, Metric
from embft.metrics.pairs import pair_metrics
from embft.metrics.resampling import sampling_units, text_numbers
from embft.results.units import UnitValues
from embft.spec.base import ColumnsSpec


class Sts(OnFiles):
    """Pairs with graded labels: correlation of cosine and label."""

    columns: ColumnsSpec = ColumnsSpec()
    label_range: tuple[float, float] = (0.0, 5.0)

    declared: ClassVar = (
        Metric(
            "sts_spearman",
            "STS Spearman",
            "Spearman correlation of cosine and graded label on pairs of their own",
            bounds=CORRELATION,
            source="Spearman (1904)",
            computed_by="sts",
            objective=True,
        ),
        Metric(
            "sts_pearson",
            "STS Pearson",
            "Pearson correlation of cosine and graded label on pairs of their own",
            bounds=CORRELATION,
            source="Pearson (1895)",
            computed_by="sts",
            objective=True,
        ),
    )

    @model_validator(mode="after")
    def _labelled_pairs(self) -> Sts:
        if self.columns.label is None:
            raise ValueError("pairs with a graded label are needed: columns.label must be a column")
        return self

    def read_table(self, path: Given) -> Pairs:
        """Read pairs with their labels."""
        from embft.data.load import Columns, load_pairs

        names = Columns(self.columns.text_1, self.columns.text_2, self.columns.label)
        return load_pairs(path, names, (), self.label_range)

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:
        """sts_spearman and sts_pearson of cosine and label, of each file that is asked for."""
        return by_split(lambda path: _score(Pairs.read(path), context), folder, context)


def _score(pairs: Pairs, context: Context) -> Found:
    alike = replace(pairs, sides=("query", "query", "query"))  # neither text answers the other
    cosines = pair_cosines(context.model, alike)
    if not np.isfinite(cosines).all():
        return {"sts_spearman": "embeddings are not finite numbers"}
    units = sampling_units(pairs.text_1, pairs.text_2)
    values = pair_metrics(cosines, pairs.label, 0.0)
    intervals = bootstrap(cosines, pairs.label, 0.0, units).intervals
    ids, ends = tuple(map(str, range(len(pairs)))), text_numbers(pairs.text_1, pairs.text_2)
    found: Found = {}
    for name in ("spearman", "pearson"):
        interval = intervals.get(name)
        between = (interval.low, interval.high) if interval else None
        by_pair = UnitValues("pair", ids, cosines, statistic=name, labels=pairs.label, ends=ends)
        found[f"sts_{name}"] = (
            Estimate(values[name], between, by_pair)
            if name in values
            else "cosines or labels are equal"
        )
    return found
