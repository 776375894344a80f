"""Which metrics an objective may name: those of the dev split, pairs' or an evaluator's."""

from __future__ import annotations

from collections.abc import Sequence

from embft.errors import nearest
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.spec.evaluators import EvaluatorSpec

PAIR_OBJECTIVES = tuple(name for name, metric in PAIR_METRICS.items() if metric.objective)


def giving(metric: str, evaluators: Sequence[EvaluatorSpec]) -> EvaluatorSpec | None:
    """The evaluator that gives this metric on dev, or None where the pairs do.

    A user's function whose metrics the spec does not name may give any; it is taken for the one
    where no other is known to. Raises ValueError when nothing in the spec gives the metric.
    """
    if metric in PAIR_OBJECTIVES:
        return None
    for entry in evaluators:
        if metric in (entry.dev_metrics() or ()):
            return entry
    users = [entry for entry in evaluators if entry.dev_metrics() is None]
    if users:
        return users[0]
    known = {name for entry in evaluators for name in entry.dev_metrics() or ()}
    raise ValueError(
        f"{nearest(metric, {*PAIR_OBJECTIVES, *known})}, or a metric that one of the spec's "
        "evaluators has on dev (an evaluator of labelled texts has them with its own `dev` file)"
    )
