"""What configurations come to in service: score against an index's bytes and the time of a text.

Reads what a sweep has measured for `serving:` in its spec; chooses among it by dev.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from embft.leaderboard.front import pareto_front
from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.results.serving import Serving, Variant, known_serving, smallest

_MOST = 12  # configurations that are looked at, from the best


@dataclass(frozen=True)
class Served:
    """One configuration's embeddings in one form.

    on_front: whether no other of any configuration is at most as large and better on dev. chosen:
    whether it is the smallest of the recommended configuration that is not worse than its whole.
    """

    group: Group
    variant: Variant
    serving: Serving
    on_front: bool = False
    chosen: bool = False


def fronted(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """The variants, those on the front marked: none is at most as large and loses less."""
    marks = pareto_front([-v.dev.loss for v in variants], [(v.bytes,) for v in variants])
    return tuple(replace(v, on_front=mark) for v, mark in zip(variants, marks, strict=True))


def served(leaderboard: Leaderboard) -> tuple[Served, ...]:
    """The forms of the best configurations and of the base models that have a score, the Pareto
    front and the choice marked.
    """
    shown = (*leaderboard.bases, *leaderboard.groups[:_MOST])
    tolerance = leaderboard.decision.objective.tolerance if leaderboard.decision else 0.0
    found = [each for group in shown for each in _of_group(group, tolerance)]
    return _marked(found, [each.variant.bytes for each in found])


def by_speed(found: Sequence[Served]) -> tuple[Served, ...]:
    """Whole embeddings in float32 alone, the front by the time that one text takes."""
    whole = [each for each in found if each.variant is each.serving.variants[0]]
    return _marked(whole, [each.serving.speed.p50 for each in whole])


def _marked(found: Sequence[Served], costs: Sequence[float]) -> tuple[Served, ...]:
    scores = [each.variant.dev.score for each in found]
    marks = pareto_front(scores, [(cost,) for cost in costs])
    return tuple(replace(each, on_front=mark) for each, mark in zip(found, marks, strict=True))


def serving_finding(found: Sequence[Served]) -> str:
    """What the smallest index of the recommended configuration saves, and costs."""
    chosen = next((each for each in found if each.chosen), None)
    if chosen is None:
        return "What smaller embeddings cost in score and save in bytes"
    variant, whole = chosen.variant, chosen.serving.variants[0]
    if variant is whole:
        return "No smaller index is shown to be as good as the recommended model's whole embeddings"
    return (
        f"In {variant.dimensions} dimensions, {variant.kind}, the recommended model's index is "
        f"{whole.bytes / variant.bytes:.3g} times smaller and loses {number(variant.test.loss)} in "
        f"{metric_label(chosen.serving.metric)}"
    )


def _of_group(group: Group, tolerance: float) -> Iterator[Served]:
    found = known_serving(group.best.folder)
    if found is None:
        return
    chosen = smallest(found.variants, tolerance) if group.recommended else None
    for variant in found.variants:
        if isfinite(variant.dev.score) and isfinite(variant.test.score):
            yield Served(group, variant, found, chosen=variant is chosen)


def chosen_index(row: Row, tolerance: float) -> tuple[Variant, Serving] | None:
    """A trial's smallest index within the tolerance; None where it was not measured."""
    found = known_serving(row.folder)
    return None if found is None else (smallest(found.variants, tolerance), found)
