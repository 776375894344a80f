"""A small fixed test of general English: what fine-tuning to one domain costs elsewhere.

The pairs are in `probe_pairs.py`. A fall against the base model's value is what is forgotten; the
leaderboard has both rows and states it as `probe_drop`. 120 pairs show a large loss, not a small
one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from embft.data.pairs import Pairs
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.embed import pair_cosines
from embft.evaluation.probe_pairs import PROBE
from embft.metrics.bootstrap import bootstrap
from embft.metrics.metric import CORRELATION, Metric
from embft.results.units import UnitValues
from embft.spec.evaluators import Evaluator

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Probe(Evaluator):
    """What training cost in general English."""

    declared: ClassVar = (
        Metric(
            "probe_spearman",
            "Probe Spearman",
            "Spearman of cosine and label on 120 pairs of general English "
            "(1 paraphrase, 0.5 same topic, 0 unrelated); 0.94 is the highest possible",
            bounds=CORRELATION,
            source="Spearman (1904)",
            computed_by="probe",
        ),
    )
    needs_pairs: ClassVar = False

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:  # noqa: ARG002
        """probe_spearman, which depends on the model alone; it stands with test."""
        return {"test": probe_metrics(context.model)}


def probe_metrics(model: SentenceTransformer) -> Found:
    """The Spearman correlation of cosine and label over the probe pairs.

    The labels have three values, so that even a perfect model stays below 1, at 0.94.
    """
    pairs = probe_pairs()
    scores = pair_cosines(model, pairs)
    if not np.isfinite(scores).all():
        return {"probe_spearman": "embeddings are not finite numbers"}
    found = bootstrap(scores, pairs.label, 0.0)
    if "spearman" not in found.estimates:
        return {"probe_spearman": "all cosines are equal"}
    interval = found.intervals.get("spearman")
    ends = (interval.low, interval.high) if interval else None
    by_unit = UnitValues(
        "pair", tuple(pairs.text_1), scores, statistic="spearman", labels=pairs.label
    )
    return {"probe_spearman": Estimate(found.estimates["spearman"], ends, by_unit)}


def probe_pairs() -> Pairs:
    """The probe pairs, label 1 for a paraphrase, 0.5 for the same topic, 0 for unrelated texts."""
    first, second, label = zip(*PROBE, strict=True)
    return Pairs(first, second, np.array(label, np.float64))
