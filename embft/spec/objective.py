"""What "better" means, what of equally good configurations is recommended, and which metrics an
objective may name: those of the dev split, pairs' or an evaluator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from embft.errors import nearest
from embft.metrics.metric import BORDA
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.spec.base import Fields, Text
from embft.spec.evaluators import EvaluatorSpec

RANKING = "ndcg_at_10"
"""What is chosen by where the data are judged queries and the spec names no metric."""

PAIR_OBJECTIVES = tuple(name for name, metric in PAIR_METRICS.items() if metric.objective)


class Goal(Fields):
    """What "better" means: a metric of the dev split (see `objective.py`), and its direction."""

    metric: Text = "spearman"
    mode: Literal["min", "max"] = "max"


Preference = Literal["parameters", "training", "serving", "none"]


class Objective(Goal):
    """The goal, and how a sweep's results become a recommendation. That is asked of the results and
    changes none of them, so a trial knows the goal alone.

    tolerance: how much worse than the best, in the metric's own unit, is as good. prefer: what
    makes one of those cheaper than another: fewer trainable parameters, fewer rows trained on, a
    smaller index of a faster model, or nothing, so that the highest score is taken. tasks: metrics
    that are the objective together, by the Borda score over them; `metric` then says which epoch
    of a training is kept, the first task where it is not given.
    """

    tolerance: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    prefer: Preference = "parameters"
    tasks: tuple[Text, ...] = ()

    @property
    def goal(self) -> Goal:
        """The metric and the direction, which is all that a trial needs of an objective."""
        return Goal(metric=self.metric, mode=self.mode)

    @property
    def ranked_by(self) -> Goal:
        """What configurations are ranked by: the goal, or the Borda score over several tasks."""
        return Goal(metric=BORDA) if self.tasks else self.goal

    @model_validator(mode="after")
    def _several(self) -> Self:
        if self.tasks and len(set(self.tasks)) < max(len(self.tasks), 2):
            raise ValueError(
                f"tasks is {list(self.tasks)}: name two metrics or more, each once; a single one "
                "is `metric`"
            )
        return self


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


def with_retrieval(entries: list[EvaluatorSpec], metric: str) -> list[EvaluatorSpec]:
    """The entries of a spec whose data are judged queries, with one that ranks their corpus.

    It has the cut-off of the objective too.
    """
    if any(entry.kind == "retrieval" and not entry.files for entry in entries):
        return entries
    plain = EvaluatorSpec.of("retrieval")
    known = plain.dev_metrics() or frozenset()
    if metric in known or "_at_" not in metric or plain.metric(metric) is None:
        return [*entries, plain]
    usual = plain.fields.model_dump()["k"]
    cutoff = int(metric.rpartition("_at_")[2])
    return [*entries, EvaluatorSpec.of({"retrieval": {"k": [*usual, cutoff]}})]
