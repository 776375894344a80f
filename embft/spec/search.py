"""How a sweep chooses its trials, stops those that fall behind, and ends before its last trial.

None of this is part of a trial's key: it decides which trials run and how far, not what one that
completes comes to.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from embft.spec.base import Fields, as_tuple
from embft.spec.resources import Duration

Algorithm = Literal["grid", "random", "tpe"]
# What decides, beside Ray Tune, what an algorithm proposes.
PACKAGES: dict[Algorithm, str] = {"random": "numpy", "tpe": "optuna"}
SchedulerName = Literal["asha", "hyperband", "median"]
Cost = Literal["parameters", "training", "train_seconds", "serving", "latency_p50"]
SCORE: Literal["score"] = "score"


def _with_the_score(value: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError, worded for the user, for objectives that are none together."""
    if not value:
        raise ValueError("is empty: name the score, and costs beside it, or leave it out")
    twice = next((name for name in value if value.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands twice in {list(value)}: name each objective once")
    if SCORE not in value:
        raise ValueError(
            f"{list(value)} has no score, and by its cost alone the cheapest model is the best: "
            f"write [{', '.join((SCORE, *value))}]"
        )
    return value


class Search(Fields):
    """Who proposes the trials. trials: how many different ones. initial: points to begin with.

    objectives: what is searched for: the score, which is `objective.metric` on dev, and costs to
    keep low beside it (see `costs.py`).
    """

    algorithm: Algorithm = "grid"
    trials: int | None = Field(default=None, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**32)
    initial: Annotated[
        tuple[dict[str, Any], ...],
        BeforeValidator(as_tuple, json_schema_input_type=tuple[dict[str, Any], ...]),
    ] = ()
    objectives: Annotated[
        tuple[Literal["score"] | Cost, ...],
        BeforeValidator(as_tuple, json_schema_input_type=tuple[Literal["score"] | Cost, ...]),
        AfterValidator(_with_the_score),
    ] = (SCORE,)

    @property
    def costs(self) -> tuple[Cost, ...]:
        """The objectives beside the score, in the order in which they are written."""
        return tuple(name for name in self.objectives if name != SCORE)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what is proposed, but the budget; as before there were objectives where
        there is one.
        """
        unsaid = {"trials"} if self.costs else {"trials", "objectives"}
        return self.model_dump(mode="json", exclude=unsaid)

    @property
    def by_service(self) -> bool:
        """Whether an objective is known only once a trial's model was measured in service."""
        return bool({"serving", "latency_p50"} & {*self.costs})

    @property
    def proposes(self) -> bool:
        """Whether the trials are not known beforehand."""
        return self.algorithm != "grid"

    @model_validator(mode="after")
    def _a_budget_where_one_is_needed(self) -> Search:
        if self.proposes and self.trials is None:
            raise ValueError(
                f"{self.algorithm} proposes trials without end: say how many it may, `trials: 40`"
            )
        given = {"trials": self.trials, "initial": self.initial, "objectives": self.costs}
        unused = [name for name, value in given.items() if value]
        if not self.proposes and unused:
            raise ValueError(
                f"a grid runs all of its points and has no {unused[0]}: remove it, or set "
                "`algorithm: tpe` or `random`"
            )
        return self


class Scheduler(Fields):
    """Which of Ray Tune's schedulers stops trials early; it counts the evaluations on dev.

    grace: evaluations before the first decision (asha, median). reduction_factor: of the trials
    that reach a decision, one in so many goes on (asha, hyperband).
    """

    algorithm: SchedulerName
    grace: int = Field(default=1, ge=1, le=10_000)
    reduction_factor: float = Field(default=3, gt=1, le=100)


class Stop(Fields):
    """When a sweep ends before its last trial. time: seconds of this command. score: of the
    objective on dev. no_better_for: trials in a row without a better one. resolved: as soon as the
    recommendation is.
    """

    time: Duration | None = None
    score: float | None = Field(default=None, allow_inf_nan=False)
    no_better_for: int | None = Field(default=None, ge=1)
    resolved: bool = False

    @property
    def is_set(self) -> bool:
        """Whether anything ends the sweep before its last trial."""
        return self != Stop()


def _named(value: Any) -> Any:
    return {"algorithm": value} if isinstance(value, str) else value


ShortSearch = Annotated[Search, BeforeValidator(_named, json_schema_input_type=Algorithm | Search)]
ShortScheduler = Annotated[
    Scheduler | None,
    BeforeValidator(_named, json_schema_input_type=SchedulerName | Scheduler | None),
]
