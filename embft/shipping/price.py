"""What other embeddings of the same pairs cost in score, with a paired interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embft.data.pairs import Pairs
from embft.evaluation.embed import Embedded, Embeddings, Scores
from embft.metrics.bootstrap import bootstrap
from embft.metrics.comparison import compare
from embft.metrics.registry import metric as known_metric
from embft.metrics.resampling import Resampling, sampling_units
from embft.spec.objective import PAIR_OBJECTIVES

Interval = tuple[float, float]

MOST_PAIRS = 1000
_BATCH = 16


@dataclass(frozen=True)
class Price:
    """A score of other embeddings beside the model's own, on the same pairs.

    loss: own less other, turned so that above 0 the model's own is better, with its 95 % interval;
    None where the metric is undefined for one of them.
    """

    metric: str
    pairs: int
    own: float
    other: float
    loss: float
    interval: Interval | None

    def is_within(self, tolerance: float) -> bool:
        """Whether the loss is shown to be no more than so much."""
        return self.interval is not None and self.interval[1] <= tolerance


def price(
    metric: str, pairs: Pairs, own: Scores, other: Scores, threshold: float | None
) -> Price | None:
    """The difference of two sets of cosines of the same pairs, shape (n,) each.

    threshold: from which a pair counts as positive. None where the metric is undefined.
    """
    units = sampling_units(pairs.text_1, pairs.text_2)
    only = Resampling(only=(metric,), intervals=False)
    first, second = (
        bootstrap(values, pairs.label, 0.5 if threshold is None else threshold, units, only)
        for values in (own, other)
    )
    higher = known_metric(metric).higher_is_better
    found = compare(first, second, metric, higher_is_better=higher)
    if metric not in first.estimates or metric not in second.estimates:
        return None
    values = first.estimates[metric], second.estimates[metric]
    loss = (values[0] - values[1]) * (1 if higher else -1)
    interval = (found.low, found.high) if found else None
    return Price(metric, len(pairs), *values, loss, interval)


def price_metric(objective: str) -> str:
    """The metric that a price is given in: the objective, where pairs give it."""
    return objective if objective in PAIR_OBJECTIVES else "spearman"


def some_pairs(pairs: Pairs, most: int = MOST_PAIRS) -> Pairs:
    """The pairs, or so many of them spread evenly over the file."""
    if len(pairs) <= most:
        return pairs
    return pairs.take(np.linspace(0, len(pairs) - 1, most).astype(np.int64))


def embed_in_batches(embed: Callable[[Sequence[str]], Embeddings], pairs: Pairs) -> Embedded:
    """The pairs' embeddings, each different text asked for once, in batches of mixed length."""
    texts = list(dict.fromkeys([*pairs.text_1, *pairs.text_2]))
    parts = [embed(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
    place = {text: i for i, text in enumerate(texts)}
    found = np.concatenate(parts)
    first, second = (found[[place[t] for t in side]] for side in (pairs.text_1, pairs.text_2))
    return Embedded(first, second)
