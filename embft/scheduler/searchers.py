"""A spec's space and algorithm -> one of Ray Tune's searchers, seeded.

Each suggestion is a point as a spec has it: every axis of one product of the space under its dotted
path. Two searchers of the same spec that are told the same in the same order suggest the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from embft.scheduler.ray_tune import Searcher, tune
from embft.spec import SweepSpec
from embft.spec.distributions import Domain, Product
from embft.spec.initial import whole_point
from embft.spec.search import PACKAGES

METRIC = "objective"  # what schedulers and searchers know of a trial
_PRODUCT = "product"  # which of the space's products a suggestion is of


def make_searcher(spec: SweepSpec) -> Searcher:
    """The searcher of a spec that proposes its trials. Raises EmbftError where it is missing."""
    return _SEARCHERS[spec.search.algorithm](spec)


def versions(spec: SweepSpec) -> dict[str, str]:
    """The packages that decide what is suggested, with their versions."""
    names = (PACKAGES[spec.search.algorithm], "ray")
    return {name: importlib.metadata.version(name) for name in names}


class RandomSearch(Searcher):
    """Draws each point by itself, by Ray Tune's distributions, with a seed of its own."""

    def __init__(self, spec: SweepSpec) -> None:
        super().__init__(metric=METRIC, mode=spec.objective.mode)
        self.space, self.seed = spec.space, spec.search.seed
        self.initial = [whole_point(spec.space, point)[1] for point in spec.search.initial]

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The suggestion with this number."""
        number = int(trial_id)
        if number < len(self.initial):
            return self.initial[number]
        random = np.random.RandomState([self.seed, number])
        product = self.space[random.randint(len(self.space))]
        return {axis: domain.cast(_drawn(domain, random)) for axis, domain in product.items()}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing is learned from it."""


def _drawn(domain: Domain, random: np.random.RandomState) -> Any:
    """A value by Ray Tune's distribution of this name."""
    if domain.kind == "choice":
        return domain.values[random.randint(len(domain.values))]
    return getattr(tune, domain.kind)(*domain.values).sample(random_state=random)


class TpeSearch(Searcher):
    """Ray Tune's OptunaSearch with Optuna's tree-structured Parzen estimator, multivariate, and in
    groups of axes that occur together, so that LoRA's axes are learned where there is LoRA. Of
    several objectives the costs are lowered; nothing is heard of single evaluations then.
    """

    def __init__(self, spec: SweepSpec) -> None:
        super().__init__(metric=METRIC, mode=spec.objective.mode)
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.names = spec.space, _names(spec.space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # groups are called experimental
            sampler = optuna.samplers.TPESampler(
                seed=spec.search.seed, multivariate=True, group=True
            )
        costs, mode = spec.search.costs, spec.objective.mode
        self.inner = OptunaSearch(
            space=self._define,
            metric=[METRIC, *costs] if costs else METRIC,
            mode=[mode, *("min" for _ in costs)] if costs else mode,
            sampler=sampler,
            points_to_evaluate=[self._as_drawn(point) for point in spec.search.initial],
        )

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next suggestion, under this name."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = self.inner.suggest(trial_id) or {}
        number = drawn.get(_PRODUCT, 0)
        product, names = self.space[number], self.names[number]
        return {axis: _value(domain, drawn.get(names[axis])) for axis, domain in product.items()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An evaluation of the trial."""
        self.inner.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The end of the trial: its score, or none if it was stopped early."""
        self.inner.on_trial_complete(trial_id, result, error)

    def _define(self, trial: Any) -> None:
        """Draw a point by Optuna's interface, axis by axis."""
        several = len(self.space) > 1
        number = trial.suggest_categorical(_PRODUCT, range(len(self.space))) if several else 0
        for axis, domain in self.space[number].items():
            if not domain.constant:
                _SUGGEST[domain.kind](trial, self.names[number][axis], domain)

    def _as_drawn(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A point as Optuna's interface has it."""
        number, point = whole_point(self.space, given)
        drawn: dict[str, Any] = {_PRODUCT: number} if len(self.space) > 1 else {}
        for axis, domain in self.space[number].items():
            if not domain.constant:
                choice = domain.kind == "choice"
                value = domain.values.index(point[axis]) if choice else point[axis]
                drawn[self.names[number][axis]] = value
        return drawn


def _names(space: Sequence[Product]) -> list[dict[str, str]]:
    """What each axis of each product is called: the same where several products have it alike, so
    that what is learned of it in one counts in the others.
    """
    found = []
    for number, product in enumerate(space):
        alike = {
            axis: all(other.get(axis, domain) == domain for other in space)
            for axis, domain in product.items()
        }
        found.append({axis: axis if alike[axis] else f"{axis} ({number})" for axis in product})
    return found


def _value(domain: Domain, drawn: Any) -> Any:
    if domain.constant:
        return domain.values[0]
    return domain.values[drawn] if domain.kind == "choice" else domain.cast(drawn)


def _floats(*, log: bool) -> Callable[[Any, str, Domain], Any]:
    def suggest(trial: Any, name: str, domain: Domain) -> Any:
        low, high = domain.values
        return trial.suggest_float(name, low, high, log=log)

    return suggest


def _whole(*, log: bool) -> Callable[[Any, str, Domain], Any]:
    def suggest(trial: Any, name: str, domain: Domain) -> Any:
        low, high = domain.values
        return trial.suggest_int(name, low, high - 1, log=log)

    return suggest


def _quantized(trial: Any, name: str, domain: Domain) -> Any:
    low, high, step = domain.values
    return trial.suggest_float(name, low, high, step=step)


def _choice(trial: Any, name: str, domain: Domain) -> Any:
    # By place: a value may be a mapping, which Optuna does not take.
    return trial.suggest_categorical(name, range(len(domain.values)))


_SUGGEST: dict[str, Callable[[Any, str, Domain], Any]] = {
    "choice": _choice,
    "uniform": _floats(log=False),
    "loguniform": _floats(log=True),
    "quniform": _quantized,
    "randint": _whole(log=False),
    "lograndint": _whole(log=True),
}

_SEARCHERS: dict[str, Callable[[SweepSpec], Searcher]] = {
    "random": RandomSearch,
    "tpe": TpeSearch,
}
