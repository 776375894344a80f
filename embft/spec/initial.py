"""What a search needs beyond its fields: something that varies, one seed, points to begin with; and
a scheduler, trials that it can stop.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

from embft.errors import SpecError, nearest
from embft.metrics import registry
from embft.spec.distributions import Product
from embft.spec.search import PACKAGES, Scheduler, Search, Stop
from embft.spec.seeds import SeedsSpec, at_first
from embft.spec.source import Source, Where
from embft.spec.space import Point
from embft.spec.train import TrainSpec


def check_search(
    source: Source,
    search: Search,
    seeds: Sequence[int] | SeedsSpec,
    axes: Sequence[tuple[Where, Product]],
) -> None:
    """Raise SpecError, with file and line, where a search cannot begin."""
    space = [product for _, product in axes]
    if len(space) < 2 and all(domain.constant for product in space for domain in product.values()):
        raise SpecError(
            f"{source.at(('space',))}: nothing in the space varies, so that {search.algorithm} has "
            "nothing to propose: give an axis several values or a distribution"
        )
    count = len(at_first(seeds))
    if count > 1:
        most = seeds.most if isinstance(seeds, SeedsSpec) else count
        raise SpecError(
            f"{source.at(('seeds',))}: {count} seeds for every trial, and a search runs each trial "
            "that it proposes with one: give one, or let those that may be the best get more when "
            f"the search has ended: `seeds: {{start: 1, most: {most}}}`"
        )
    name = search.algorithm
    package = PACKAGES.get(name, "numpy")
    if importlib.util.find_spec(package) is None:
        whose = package.capitalize()
        raise SpecError(
            f"{source.at(('search', 'algorithm'))}: search.algorithm is {name}, which is "
            f"{whose}'s, and {whose} is not installed: pip install 'embft[search]', or use random"
        )
    for i, given in enumerate(search.initial):
        try:
            whole_point(space, given)
        except ValueError as error:
            raise SpecError(f"{source.at(('search', 'initial', i))}: {error}") from None


def check_scheduler(source: Source, scheduler: Scheduler, trainings: Sequence[TrainSpec]) -> None:
    """Raise SpecError, with file and line, where every training is over before it could be stopped,
    as far as that is known without the data.
    """
    trained = [each for each in trainings if each.method != "none"]
    most = max((math.inf if t.evaluation_steps else t.epochs for t in trained), default=0)
    reason = nothing_to_stop(scheduler, most)
    if reason is not None:
        raise SpecError(f"{source.at(('scheduler',))}: {reason}")


def check_stop(source: Source, stop: Stop, metric: str) -> None:
    """Raise SpecError, with file and line, for a score that no trial can have, or every one has."""
    known = registry.metric(metric)
    low, high = known.bounds
    beyond = stop.score is not None and (
        (low is not None and stop.score < low) or (high is not None and stop.score > high)
    )
    if stop.score is None or not beyond:
        return
    named = {"at least": low, "at most": high}
    ends = [f"{what} {end:g}" for what, end in named.items() if end is not None]
    raise SpecError(
        f"{source.at(('stop', 'score'))}: stop.score is {stop.score:g}, and the "
        f"{known.label} of a trial is {' and '.join(ends)}: give a score that a trial may reach"
    )


def nothing_to_stop(scheduler: Scheduler, most: float) -> str | None:
    """Why the scheduler could stop no trial, and what to do. most: evaluations of the longest."""
    if most < 2:
        return (
            f"scheduler.algorithm is {scheduler.algorithm}, which stops trials between evaluations "
            f"on dev, and every trial of this sweep has {most or 'none'}: set train.epochs to 2 or "
            "more, or train.evaluation_steps, or remove scheduler"
        )
    if scheduler.algorithm != "hyperband" and scheduler.grace >= most:
        return (
            f"scheduler.grace is {scheduler.grace}, and no trial has more than {most} evaluations, "
            f"so that nothing would ever be stopped: set it to {most - 1} or less"
        )
    return None


def whole_point(space: Sequence[Product], given: Point) -> tuple[int, dict[str, Any]]:
    """Which product a point belongs to, and the point with the axes that have a single value.

    Raises ValueError, worded for the user, where none has it.
    """
    reasons = []
    for number, product in enumerate(space):
        reason = _unfit(product, given)
        if reason is None:
            fixed = {axis: domain.values[0] for axis, domain in product.items() if domain.constant}
            point = {**fixed, **given}
            return number, {axis: domain.cast(point[axis]) for axis, domain in product.items()}
        reasons.append(reason)
    # Of several products the one that has most of the point's values is the one that was meant.
    fitting = [sum(a in p and p[a].holds(v) for a, v in given.items()) for p in space]
    best = fitting.index(max(fitting))
    raise ValueError(f"no point of the space: {reasons[best]}")


def _unfit(product: Product, given: Point) -> str | None:
    """Why the product does not have the point; None where it does."""
    for axis, value in given.items():
        if axis not in product:
            return f"no axis is called {axis!r}: {nearest(axis, product)}"
        if not product[axis].holds(value):
            return f"{axis} is {value!r}, and may be {product[axis].text()}"
    missing = [a for a, domain in product.items() if not domain.constant and a not in given]
    return f"{missing[0]} is missing" if missing else None
