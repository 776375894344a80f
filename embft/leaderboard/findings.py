"""What a chart shows, in one sentence made from the numbers.

Each function returns the title of one chart. Claims no cause, and says less when the data does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from embft.leaderboard.agreement import Agreement
from embft.leaderboard.association import Association
from embft.leaderboard.axes import best_per_value, swings
from embft.leaderboard.axis_effects import SIGNIFICANCE, mattering
from embft.leaderboard.before_after import overlap
from embft.leaderboard.compare import Difference
from embft.leaderboard.curves import (
    CostPoint,
    by_steps,
    chance_of_last,
    chosen_epochs,
    cost_points,
)
from embft.leaderboard.labels import (
    axis_title,
    metric_label,
    number,
    percent,
    sentence_case,
)
from embft.leaderboard.learning_curve import LearningCurve
from embft.leaderboard.maps import PairMap
from embft.leaderboard.pair_scores import Model
from embft.leaderboard.rows import Leaderboard, Row
from embft.metrics.contrast import Contrast
from embft.metrics.pairs import GroupRow
from embft.spec.names import one_line


def heatmap_finding(leaderboard: Leaderboard, vertical: str, horizontal: str) -> str:
    """Which of two axes moves the score more, where that is significant."""
    found = {swing.axis: swing for swing in swings(leaderboard)}
    pair = [found[axis] for axis in (vertical, horizontal) if axis in found]
    if len(pair) < 2:
        return f"Score by {axis_title(vertical)} and {axis_title(horizontal)}"
    more = mattering(leaderboard, vertical, horizontal)
    first, second = sorted(pair, key=lambda swing: swing.axis != more)
    moves = [number(swing.mean, 2) for swing in (first, second)]
    if more == first.axis:
        return (
            f"{sentence_case(axis_title(first.axis))} matters more than {axis_title(second.axis)}: "
            f"on its own it moves the score by {moves[0]} on average, against {moves[1]}"
        )
    names = f"{sentence_case(axis_title(first.axis))} and {axis_title(second.axis)}"
    if more is None:
        return f"{names}: too few configurations to test which of them matters more"
    return (
        f"{names}: no significant difference in how far each moves the score on its own, "
        f"{moves[0]} and {moves[1]} on average"
    )


def learning_finding(leaderboard: Leaderboard, curve: LearningCurve) -> str:
    """What more training data would bring to one setting, or why that cannot be said."""
    of = f" of {curve.label}" if curve.label else ""
    if curve.gain is None:
        return f"What more rows of train would bring{of} cannot be said: {curve.reason}"
    more, rises = curve.gain.factor * curve.most.rows, leaderboard.mode == "max"
    return (
        f"With {more:,.0f} rows of train instead of {curve.most.rows:,} the "
        f"{metric_label(leaderboard.metric)}{of} would {'rise' if rises else 'fall'} by "
        f"{number(curve.gain.value)} ({number(curve.gain.low)} to {number(curve.gain.high)})"
    )


def axis_finding(leaderboard: Leaderboard, axis: str, p_values: Mapping[str, float]) -> str:
    """How far an axis moves the score on its own, if significantly, and its highest score.

    p_values: from `axis_p_values`.
    """
    found, title = best_per_value(leaderboard, axis), axis_title(axis)
    if len(found) < 2:
        return f"Score by {title}"
    sign = 1 if leaderboard.mode == "max" else -1
    best = max(found, key=lambda point: sign * float(point["score"]))
    top = f"highest score: {best['text']}" if sign > 0 else f"lowest score: {best['text']}"
    swing = next((swing for swing in swings(leaderboard) if swing.axis == axis), None)
    if swing is None:
        return f"{sentence_case(title)}, {top}"
    p_value, moves = p_values.get(axis), number(swing.mean, 2)
    if p_value is None:
        return f"{sentence_case(title)}: too few configurations to test whether it matters; {top}"
    if p_value < SIGNIFICANCE:
        return f"Changing only the {title} moves the score by {moves} on average; {top}"
    return f"Changing only the {title} has no significant effect ({moves} on average); {top}"


def epochs_finding(leaderboard: Leaderboard) -> str:
    """Whether the trials had stopped improving when they ended, where that is no chance."""
    found = chosen_epochs(leaderboard)
    if not found:
        return "No trial has completed: the curves end where they were broken off"
    last = sum(best == end for best, end in found)
    trials = f"{last} of {len(found)} trials" if len(found) > 1 else "the one trial"
    steps = by_steps(epoch.epoch for row in leaderboard.rows for epoch in row.epochs)
    one, more = ("evaluation", "training") if steps else ("epoch", "epochs")
    fewer, as_many = chance_of_last(leaderboard, last)
    if last * 2 > len(found):
        hope = f": more {more} may still help" if as_many < SIGNIFICANCE else ""
        return f"The last {one} was the best one in {trials}{hope}"
    if last:
        return f"Most trials were best before their last {one}; {trials} at the last one"
    longer = "; training longer did not help" if fewer < SIGNIFICANCE else ""
    return f"Every trial was best before its last {one}{longer}"


def cost_finding(leaderboard: Leaderboard) -> str:
    """What the last bit of score costs."""
    points = cost_points(leaderboard)
    if not points:
        return "No trial has completed, so there is no cost to compare"
    sign = 1 if leaderboard.mode == "max" else -1
    best = max(points, key=lambda point: sign * point.score)
    shipped = next((p for p in points if p.recommended), best)
    if shipped is not best and shipped.parameters < best.parameters:
        return _near_best(shipped, best)
    small = [p for p in points if p.on_parameters_front and p.parameters < best.parameters]
    if not small:
        return f"{best.label} scores highest ({number(best.score)}) and trains the fewest weights"
    near = max(small, key=lambda point: sign * point.score)
    return _near_best(near, best)


def _near_best(near: CostPoint, best: CostPoint) -> str:
    return (
        f"{near.label} comes within {number(abs(near.score - best.score))} of the highest score "
        f"with {percent(near.parameters / best.parameters)} of the trained weights"
    )


def association_finding(found: Sequence[Association]) -> str:
    """The axis with which most of the variance goes."""
    first = found[0]
    title = sentence_case(axis_title(first.axis))
    between = f"{100 * first.low:.0f} to {100 * first.high:.0f} %"
    return f"{title} goes with {100 * first.share:.0f} % of the scores' variance ({between})"


def time_finding(leaderboard: Leaderboard) -> str:
    """How long the fastest and the best train."""
    points = cost_points(leaderboard)
    if len(points) < 2:
        return "Score against training time"
    sign = 1 if leaderboard.mode == "max" else -1
    best, fastest = max(points, key=lambda p: sign * p.score), min(points, key=lambda p: p.seconds)
    if best is fastest:
        return f"The highest score is also the fastest to train: {best.seconds:.0f} s"
    return (
        f"The highest score ({number(best.score)}) took {best.seconds:.0f} s to train, the fastest "
        f"trial ({number(fastest.score)}) {fastest.seconds:.0f} s"
    )


def distribution_finding(before: Model | None, after: Model) -> str:
    """How well a single cut parts the two kinds of pairs."""
    wrong = f"{percent(overlap(after))} of pairs lie on the wrong side of the best cut"
    if before is None:
        return f"Cosines by label: {wrong}"
    return f"{wrong}, {percent(overlap(before))} before fine-tuning"


def change_finding(
    metric: str, before: Row | None, after: Row, difference: Difference | None = None
) -> str:
    """One test metric of one trial, before and after; a direction only where it is significant.

    difference: after minus before, tested on the same pairs, where their scores are on disk.
    """
    name, now = metric_label(metric), after.test.get(metric)
    if now is None:
        return name
    was = before.test.get(metric) if before else None
    if was is None:
        return f"{name}: {number(now)}"
    if difference is None:
        return f"{name}: {number(now)}, {number(was)} before fine-tuning"
    return _changed(name, was, now, significant=difference.better != 0)


def _changed(name: str, was: float, now: float, *, significant: bool) -> str:
    if not significant:
        return f"{name} {number(now)}: no significant change from {number(was)}"
    return f"{name} {'rises' if now > was else 'falls'} from {number(was)} to {number(now)}"


def weakest_group_finding(column: str, rows: Sequence[GroupRow], differ: bool | None = None) -> str:
    """The group whose labels lie closest together, where that differs significantly.

    differ: whether the closest and the furthest do, None where that cannot be tested.
    """
    found = [(row.margin, row.group) for row in rows if row.margin is not None]
    title = axis_title(column)
    if len(found) < 2:
        return f"Margin by {title}"
    low, high = min(found), max(found)
    if not differ:
        untested = ", too few pairs to compare them" if differ is None else ", none significant"
        return f"Margin by {title}: differences of up to {number(high[0] - low[0], 2)}{untested}"
    closest = f"{one_line(low[1])} (margin {number(low[0], 2)})"
    furthest = f"{one_line(high[1])} ({number(high[0], 2)})"
    return f"By {title}, the labels are closest in {closest} and furthest apart in {furthest}"


def false_positives_finding(column: str, before: int | None, rows: Sequence[GroupRow]) -> str:
    """How many pairs of label 0 pass for matches, and where most of them are."""
    total = sum(row.false_positives for row in rows)
    was = "" if before is None else f", {before} before"
    if not total:
        return f"No false positive at the threshold{was}"
    worst = max(rows, key=lambda row: row.false_positives)
    return (
        f"{total} false positives at the threshold{was}; {worst.false_positives} of them are "
        f"{one_line(worst.group)} ({axis_title(column)})"
    )


def map_finding(before: PairMap | None, after: PairMap) -> str:
    """Whether pairs of one label lie together."""
    if after.purity is None:
        return "On the map of the pairs no clusters stand out"
    now = f"clusters of pairs on the map are {percent(after.purity)} of one label"
    if before is None or before.purity is None:
        return sentence_case(now)
    return f"{sentence_case(now)}, {percent(before.purity)} before fine-tuning"


def purity_finding(
    before: PairMap | None, after: PairMap, change: float | str | None = None
) -> str:
    """Cluster purity before and after, with the number of clusters. change: see `purity_change`."""
    if after.purity is None:
        return "Cluster purity is undefined: HDBSCAN found no cluster"
    now = f"{number(after.purity)} in {after.clusters} clusters"
    if before is None or before.purity is None:
        return f"Cluster purity: {now}"
    was = f"{number(before.purity)} in {before.clusters} clusters"
    if isinstance(change, float) and change * (after.purity - before.purity) > 0:
        return f"Cluster purity {'rises' if change > 0 else 'falls'} from {was} to {now}"
    tested = ", no significant change" if change is not None else ""
    return f"Cluster purity: {now}, {was} before fine-tuning{tested}"


def calibration_finding(before: float | None, after: float, change: Contrast | None = None) -> str:
    """How far the probabilities are from what held; lower is better. change: after minus before."""
    if before is None or change is None:
        was = "" if before is None else f", {number(before)} before fine-tuning"
        return f"Brier score of the calibrated cosines: {number(after)}{was} (lower is better)"
    text = _changed("Brier score", before, after, significant=change.sign != 0)
    return f"{text} (lower is better)"


def mistakes_finding(counts: tuple[int, int] | None) -> str:
    """How many mistakes there are at the threshold."""
    if counts is None:
        return "The pairs whose order is furthest from their labels' order"
    high, low = counts
    return f"{high} false positives and {low} false negatives at the threshold that dev chose"


def agreement_finding(found: Sequence[Agreement]) -> str:
    """How many metrics put the same configuration first."""
    if len(found) < 2:
        return "There is one metric only"
    goal = found[0]
    same = sum(item.first_trial == goal.first_trial for item in found[1:])
    others = len(found) - 1
    name = metric_label(goal.metric)
    if same == others:
        return f"All {others} other metrics put the same configuration first as {name}"
    return f"{same} of {others} other metrics put the same configuration first as {name}"


def leader_finding(leaderboard: Leaderboard) -> str:
    """How many may be the best on dev."""
    decision = leaderboard.decision
    if not leaderboard.groups:
        return "No configuration has completed yet"
    if decision is None or decision.compared < 2:
        return (
            "One configuration has completed" if len(leaderboard.groups) == 1 else "Ranked on dev"
        )
    what = "models" if decision.scope == "trained models" else "configurations"
    if decision.best_set == 1:
        return f"One of the {decision.compared} {what} compared is significantly the best on dev"
    return f"{decision.best_set} of the {decision.compared} {what} compared may be the best"
