"""What `simulate.py` repeats: one function for each question, one repetition a call.

Each returns numbers by name, NaN where a repetition has nothing to say of one; `simulate.py` takes
their means. What is simulated are embft's own functions, called as a sweep's leaderboard calls
them; only the scores are made up (`made_up_scores.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from made_up_scores import (
    METRICS,
    THRESHOLD,
    Kind,
    draw_pairs,
    draw_scores,
    strength_of,
    truth,
)

from embft.leaderboard.axis_effects import axis_p_values, mattering
from embft.leaderboard.compare import group_differences, metric_differences
from embft.leaderboard.contenders import who
from embft.leaderboard.decision import Candidates, choose
from embft.leaderboard.pair_scores import Model, PairScores
from embft.leaderboard.rows import Leaderboard, Row
from embft.metrics.best import Contest, field_of
from embft.metrics.bootstrap import BootstrapResult, fewest_units, hierarchical
from embft.metrics.comparison import difference_variance
from embft.metrics.power import power_of
from embft.metrics.resampling import Resampling, Units
from embft.metrics.weighted import FloatArray
from embft.planning.sweep_power import few_of_label
from embft.spec import Objective
from embft.spec.seeds import SeedsSpec

Rng = np.random.Generator
Outcome = Mapping[str, float]
NAN = float("nan")
SHARED = 0.7  # the correlation of two models' noises
_COMPARED = Resampling(1000, only=("spearman",), intervals=False, linear=True)


@dataclass(frozen=True)
class Cell:
    """One setting. names: what it is, for tables. run: one repetition."""

    study: str
    names: Mapping[str, Any]
    run: Callable[[Rng], Outcome]


def all_cells() -> list[Cell]:
    """The cells of every study."""
    studies = (decisions, best_sets, seeds, intervals, headlines, powers, seed_rounds)
    return [cell for study in studies for cell in study()]


# The recommendation.

TRUTHS = (0.30, 0.55, 0.65, 0.70)


def decisions() -> Iterator[Cell]:
    """Four configurations, the first one the base model, the cheaper the worse."""
    for n in (30, 100, 300):
        yield Cell("decision", {"pairs": n}, lambda rng, n=n: _decision(rng, n))  # type: ignore[misc]


def _decision(rng: Rng, n: int) -> Outcome:
    strengths = np.array([strength_of("spearman", value) for value in TRUTHS])
    contest = _contest(rng, strengths, n)
    costs = [(float(i), 0.0) for i in range(len(TRUTHS))]
    candidates = Candidates(contest, costs, [0] * len(TRUTHS), contest.loss_high)
    choice, loss = choose(candidates, Objective()), max(TRUTHS) - np.array(TRUTHS)
    cheapest = int(np.flatnonzero(contest.in_best_set)[0])
    return {
        "loss": loss[choice.one],
        "leader": loss[contest.leader],
        "more": loss[choice.one] - loss[contest.leader],
        "cheapest": loss[cheapest],
        "worst": float(choice.one == 0),
        "resolved": float(choice.within and choice.better is not False),
        "wrong": float(choice.within and loss[choice.one] > Objective().tolerance),
    }


def _contest(
    rng: Rng, strengths: FloatArray, n: int, resamples: int = 1000, seeds: int = 1
) -> Contest:
    """Models (K, seeds) of these strengths on n pairs, compared as on a leaderboard."""
    label, cluster, units = draw_pairs(Kind(), rng, n)
    while label.sum() in {0.0, float(n)}:
        label, cluster, units = draw_pairs(Kind(), rng, n)
    plan = Resampling(resamples, only=("spearman",), intervals=False, linear=True)
    drawn = draw_scores(Kind(), rng, label, cluster, strengths.reshape(-1), SHARED)
    return Contest(
        field_of(
            [
                hierarchical(list(each), label, [THRESHOLD] * seeds, units, plan)
                for each in drawn.reshape(-1, seeds, n)
            ],
            "spearman",
        )
    )


# The set of the best, and ranks.


def best_sets() -> Iterator[Cell]:
    """All equal; one ahead; and a tenth of them ahead together, the others falling off."""
    for count in (2, 5, 12, 41, 200):
        for name in ("all equal", "one ahead", "falling off"):
            if count == 2 and name == "falling off":
                continue
            yield Cell(
                "best set",
                {"configurations": count, "truth": name},
                lambda rng, count=count, name=name: _best_set(rng, count, name),  # type: ignore[misc]
            )


def _best_set(rng: Rng, count: int, name: str) -> Outcome:
    true = np.full(count, 0.60)
    if name == "one ahead":
        true[0] = 0.63
    if name == "falling off":
        true = 0.63 - 0.15 * np.linspace(0, 1, count).round(1)
    by_value = {value: strength_of("spearman", round(value, 4)) for value in set(true.tolist())}
    strengths = np.array([by_value[value] for value in true.tolist()])
    contest = _contest(rng, strengths, 300, 1000 if count <= 40 else 400)
    best = true == true.max()
    low, high = contest.ranks()
    least, most = _true_ranks(true)
    return {
        "excluded": float(1 - contest.in_best_set[best].mean()),
        "size": float(contest.in_best_set.mean()),
        "ranks": float(((low > most) | (high < least)).any()),
        "losses": float((contest.loss_high < true.max() - true - 1e-9).any()),
    }


def _true_ranks(true: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The first and the last rank that each may be given."""
    above = (true > true[:, None] + 1e-9).sum(axis=1)
    return 1 + above, (true > true[:, None] - 1e-9).sum(axis=1)


# Seeds.


def seeds() -> Iterator[Cell]:
    """Equal recipes, of which each seed is a model of its own."""
    for count, number in itertools.product((12, 50), (2, 3)):
        yield Cell(
            "seeds",
            {"configurations": count, "seeds": number},
            lambda rng, count=count, number=number: _seeds(rng, count, number),  # type: ignore[misc]
        )


def _seeds(rng: Rng, count: int, number: int) -> Outcome:
    """Seeds that move Spearman by about 0.012, beside pairs that move a difference by 0.02."""
    strengths = strength_of("spearman", 0.6) + 0.12 * rng.standard_normal((count, number))
    contest = _contest(rng, strengths, 300, 1000 if count <= 40 else 400, number)
    against = contest.against(0)
    alone = contest.each_against(0)
    low, _ = contest.ranks()
    return {
        "excluded": float(1 - contest.in_best_set.mean()),
        "ranks": float((low > 1).any()),
        "different": float(min(each.p_adjusted or 1.0 for each in against[1:]) < 0.05),
        "alone": float(np.mean([each.p_value < 0.05 for each in alone[1:]])),
    }


# Rounds of more seeds.


def seed_rounds() -> Iterator[Cell]:
    """Equal recipes that get more seeds round by round, and are compared in each."""
    for count, start, most, spread in (
        (2, 1, 5, 0.12), (5, 1, 5, 0.12), (12, 1, 5, 0.12), (12, 2, 5, 0.12), (12, 1, 5, 0.6),
    ):  # fmt: skip
        names = {"configurations": count, "start": start, "most": most, "spread": spread / 10}
        given = SeedsSpec(start=start, most=most)
        yield Cell("rounds", names, partial(_seed_rounds, count=count, given=given, spread=spread))


def _seed_rounds(rng: Rng, count: int, given: SeedsSpec, spread: float) -> Outcome:
    """spread: of the strength, between seeds: a tenth of it is that of Spearman."""
    strengths = strength_of("spearman", 0.6) + spread * rng.standard_normal((count, given.most))
    label, cluster, units = draw_pairs(Kind(), rng, 300)
    drawn = draw_scores(Kind(), rng, label, cluster, strengths.reshape(-1), SHARED)
    scores = drawn.reshape(count, given.most, len(label))
    have = np.full(count, given.start)
    for number in range(given.rounds + 1):
        results = [
            hierarchical(list(each[:n]), label, [THRESHOLD] * n, units, _COMPARED)
            for each, n in zip(scores, have, strict=True)
        ]
        seeds = [range(n) for n in have]
        contest = Contest(field_of(results, "spearman", seeds=seeds), looks=given.looks)
        known = contest.scope == "configurations"
        resolved = contest.loss_high[contest.leader] <= Objective().tolerance
        if number == given.rounds or (known and resolved):
            break
        order = np.argsort(-contest.field.scores)
        further = order[who(contest.in_best_set[order].tolist(), known=known)]
        have[further] = given.start + number + 1
    against = contest.against(0)
    return {
        "excluded": float(1 - contest.in_best_set.mean()),
        "different": float(min(each.p_adjusted or 1.0 for each in against[1:]) < 0.05),
        "trainings": float(have.sum() / (count * given.most)),
    }


# Intervals.

ONES = {"50/50": 0.5, "20/80": 0.2, "5/95": 0.05}
AUCS = (0.75, 0.95, 0.995)
SIZES = (30, 100, 300, 1000)
UNITS = {
    "single pairs": (0, False),
    "ties": (0, False),
    "12 clusters": (12, False),
    "20 clusters": (20, False),
    "50 clusters": (50, False),
    "Zipf": (200, True),
}
COLLAPSE = "one seed in ten collapses"
_SEED_SPREAD = 0.12  # of the strength


def intervals() -> Iterator[Cell]:
    """The grid: labels, AUC, pairs, units and seeds."""
    grid = itertools.product(UNITS, ONES, AUCS, SIZES)
    for units, ones, auc, n in grid:
        clusters, zipf = UNITS[units]
        if not zipf and clusters * 2 > n:
            continue
        kind = Kind(ONES[ones], units == "ties", clusters, zipf)
        yield _interval_cell(units, ones, auc, n, kind, 1)
    for number, ones, auc, n in itertools.product((2, 3, 5), ("50/50", "5/95"), AUCS, (100, 300)):
        yield _interval_cell("single pairs", ones, auc, n, Kind(ONES[ones]), number)
    yield _interval_cell(COLLAPSE, "50/50", 0.95, 300, Kind(), 3, collapse=0.1)


def _interval_cell(  # noqa: PLR0913, PLR0917 - the grid's axes
    units: str, ones: str, auc: float, n: int, kind: Kind, number: int, collapse: float = 0.0
) -> Cell:
    names = {"units": units, "labels": ones, "AUC": auc, "pairs": n, "seeds": number}
    strength = strength_of("auc", auc)
    return Cell("interval", names, lambda rng: _interval(rng, kind, strength, n, number, collapse))


def _interval(  # noqa: PLR0913, PLR0917 - one cell of the grid
    rng: Rng, kind: Kind, strength: float, n: int, number: int, collapse: float
) -> Outcome:
    """For each metric whether its interval is given, is given with a warning, and holds."""
    label, cluster, units = draw_pairs(kind, rng, n)
    spread = _SEED_SPREAD if number > 1 else 0.0
    strengths = strength + spread * rng.standard_normal(number)
    strengths = np.where(rng.random(number) < collapse, 0.0, strengths)
    drawn = draw_scores(kind, rng, label, cluster, strengths, 0.8)
    plan = Resampling(only=METRICS, seed=int(rng.integers(1 << 30)))
    found = hierarchical(list(drawn), label, [THRESHOLD] * number, units, plan)
    true = _mean_truth(kind, strength, spread, collapse)
    outcome: dict[str, float] = {}
    for name in METRICS:
        outcome |= _held(found, name, true[name])
    return outcome


def _held(found: BootstrapResult, name: str, true: float) -> Outcome:
    ends = found.intervals.get(name)
    warned = ends is not None and found.carried_by[name] < fewest_units(name)
    holds = NAN if ends is None else float(ends.low <= true <= ends.high)
    return {
        f"{name} given": float(ends is not None),
        f"{name} warned": float(warned),
        f"{name} held": NAN if warned else holds,
        f"{name} held, warned": holds if warned else NAN,
    }


def _mean_truth(kind: Kind, strength: float, spread: float, collapse: float) -> dict[str, float]:
    """The mean over seeds of the true metrics: Gauss and Hermite's five points."""
    places, weights = np.polynomial.hermite_e.hermegauss(5 if spread else 1)
    plain = Kind(kind.ones, kind.ties)
    found = [truth(plain, round(strength + spread * place, 6)) for place in places]
    means = {
        name: float(weights @ [each[name] for each in found] / weights.sum()) for name in METRICS
    }
    if not collapse:
        return means
    nothing = truth(plain, 0.0)
    return {name: (1 - collapse) * means[name] + collapse * nothing[name] for name in METRICS}


# What noise can make charts and comparisons say.


def headlines() -> Iterator[Cell]:
    """Boards on which nothing matters, and models that are equal."""
    for number in (1, 3):
        yield Cell(
            "headline", {"what": f"an axis of a 5 x 2 grid, seeds: {number}"},
            lambda rng, number=number: _grid(rng, number),  # type: ignore[misc]
        )  # fmt: skip
    yield Cell("headline", {"what": "two equal models, 300 pairs: any metric"}, _couple)
    yield Cell("headline", {"what": "two equal models, 15 clusters: any of 5 groups"}, _groups)


def _grid(rng: Rng, number: int) -> Outcome:
    """Whether any axis is called significant, or one said to matter more; scores skewed."""
    points = [*itertools.product((4, 8), range(5), range(number))]
    table = 0.8 - 0.01 * rng.gamma(2.0, size=len(points))
    rows = [
        SimpleNamespace(
            params={"train.lora.rank": rank, "train.learning_rate": rate},
            test={"spearman": float(score)},
            is_baseline=False,
        )
        for (rank, rate, _), score in zip(points, table, strict=True)
    ]
    axes = ("train.lora.rank", "train.learning_rate")
    made = SimpleNamespace(
        metric="spearman", mode="max", axes=axes, rows=rows, groups=[SimpleNamespace(rows=rows)]
    )
    leaderboard = cast("Leaderboard", made)
    significant = min(axis_p_values(leaderboard).values(), default=1.0) < 0.05
    more = mattering(leaderboard, *axes)
    return {"said": float(significant), "more": float(more in axes)}


def _couple(rng: Rng) -> Outcome:
    label, _, units, pair = _equals(rng, Kind(), 300)
    one, two = (
        hierarchical([score], label, [THRESHOLD], units, Resampling(resamples=500))
        for score in pair
    )
    return {"said": float(any(each.better for each in metric_differences(one, two)))}


def _groups(rng: Rng) -> Outcome:
    label, _, units, pair = _equals(rng, Kind(clusters=15), 600)
    values = [f"group {i}" for i in rng.integers(0, 5, len(label))]
    models = [
        Model("", "", cast("Row", None), None, PairScores(label, score, THRESHOLD))
        for score in pair
    ]
    found = group_differences(models[0], models[1], values, units)
    return {"said": float(any(each.better for each in found))}


def _equals(rng: Rng, kind: Kind, n: int) -> tuple[FloatArray, Any, Units, FloatArray]:
    label, cluster, units = draw_pairs(kind, rng, n)
    strength = strength_of("auc", 0.85)
    return (
        label, cluster, units,
        draw_scores(kind, rng, label, cluster, np.array([strength, strength]), SHARED),
    )  # fmt: skip


# Power.


def powers() -> Iterator[Cell]:
    """The power foreseen for a true difference, and how often it comes out significant."""
    cases: Sequence[tuple[str, Kind, float]] = (
        ("single pairs", Kind(), 1.0),
        ("5 % label 1", Kind(0.05), 2.5),
        ("50 clusters", Kind(clusters=50), 1.0),
    )
    sizes = ((300, 0.25), (300, 0.4), (1000, 0.15), (1000, 0.22))
    for (units, kind, times), (n, small) in itertools.product(cases, sizes):
        apart = times * small
        yield Cell(
            "power",
            {"units": units, "pairs": n, "strength": apart},
            lambda rng, kind=kind, n=n, apart=apart: _power(rng, kind, n, apart),  # type: ignore[misc]
        )


def _power(rng: Rng, kind: Kind, n: int, apart: float) -> Outcome:
    label, cluster, units = draw_pairs(kind, rng, n)
    weak = strength_of("auc", 0.8)
    strengths = np.array([weak, weak + apart])
    drawn = draw_scores(kind, rng, label, cluster, strengths, 0.9)
    results = [hierarchical([score], label, [THRESHOLD], units, _COMPARED) for score in drawn]
    plain = Kind(kind.ones)
    true = [truth(plain, round(float(s), 6))["spearman"] for s in strengths]
    variance = difference_variance(results[1], results[0], "spearman")
    freedom = max(units.effective - 1, 1.0)
    seen = Contest(field_of(results, "spearman")).each_against(0)[1]
    return {
        "difference": true[1] - true[0],
        "foreseen": power_of(true[1] - true[0], float(np.sqrt(variance)), freedom),
        "significant": float(seen.p_value < 0.05),
        "warned": float(few_of_label(label) is not None),
    }
