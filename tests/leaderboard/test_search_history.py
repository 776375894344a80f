"""The order of a search's trials, the best so far, and what was stopped early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.curves import curve_points, curve_rows
from embft.leaderboard.search_history import history_finding, search_history
from embft.leaderboard.search_slices import search_slices
from embft.report.charts.axes import axis_charts, heatmaps
from embft.report.charts.search_history import history_chart
from embft.report.charts.search_slices import slice_charts
from embft.results.records import Status
from embft.results.search_log import write_next
from tests.helpers.searches import finish, proposals, search_plan

SEARCH = "{algorithm: random, trials: 4, seed: 3}"


def test_the_history_of_a_search(tmp_path: Path, tiny_spec: str) -> None:
    """Trials in the order of proposal; one that was stopped early is never the best so far."""
    plan = search_plan(tmp_path, tiny_spec, SEARCH, "scheduler: asha\n")
    asked, number = proposals(plan), 0
    while isinstance(asked.suggest("a"), dict):
        finish(asked.running["a"][1], pruned=number == 1)
        asked.on_trial_complete("a")
        number += 1
    leaderboard = build_leaderboard(plan.folder.path)
    history = search_history(leaderboard)
    assert [each.number for each in history] == [1, 2, 3, 4]
    assert [each.status for each in history].index(Status.PRUNED) == 1
    completed = [each.score for each in history if each.status == Status.COMPLETED]
    best: list[Any] = [max(completed[: i + 1]) for i in range(3)]  # type: ignore[type-var]
    assert [each.best for each in history] == [best[0], best[0], best[1], best[2]]
    assert history_finding(history).endswith("1 of them stopped early")
    drawn = history_chart(leaderboard)
    assert drawn is not None
    assert [row["pruned"] for row in drawn.spec["datasets"]["rows"]].count(True) == 1
    points = curve_points(leaderboard, curve_rows(leaderboard))
    assert {point.trial for point in points if point.pruned} == {history[1].trial}
    ranked = {row.trial for group in leaderboard.groups for row in group.rows}
    assert history[1].trial not in ranked


def test_slices_show_where_a_search_has_looked(tmp_path: Path, tiny_spec: str) -> None:
    """Points over a log axis with the density of suggestions and what would be tried next, in the
    place of heatmaps and of a line through values that come once.
    """
    plan = search_plan(tmp_path, tiny_spec, SEARCH, "scheduler: asha\n")
    asked, number = proposals(plan), 0
    while isinstance(asked.suggest("a"), dict):
        finish(asked.running["a"][1], pruned=number == 1)
        asked.on_trial_complete("a")
        number += 1
    ahead = asked.suggestions.ahead(2)
    write_next(plan.folder, ahead)
    leaderboard = build_leaderboard(plan.folder.path)
    assert leaderboard.continuous == ("train.lora.rank", "train.learning_rate")
    assert leaderboard.axes == ("train.method", *leaderboard.continuous), "in the spec's order"
    assert leaderboard.logarithmic == ("train.learning_rate",)
    rates = next(s for s in search_slices(leaderboard) if s.axis == "train.learning_rate")
    assert rates.log
    assert sum(rates.counts) == len(rates.tried) == 4
    assert rates.next == tuple(point["train.learning_rate"] for point in ahead)
    assert rates.low <= min(each.value for each in rates.tried) <= rates.high
    assert sum(each.status == Status.PRUNED for each in rates.tried) == 1
    charts = slice_charts(leaderboard)
    drawn = next(each for each in charts if each.key.endswith("rate"))
    assert len(drawn.spec["datasets"]["next"]) == 2
    assert rates.kinds == ["LoRA", "full"], "of each its colour"
    assert {row["kind"] for row in drawn.spec["datasets"]["rows"]} == {"LoRA", "full"}
    ranks = next(s for s in search_slices(leaderboard) if s.axis == "train.lora.rank")
    assert not ranks.log
    assert not ranks.kinds
    whole = replace(leaderboard, logarithmic=leaderboard.continuous)
    assert next(s for s in search_slices(whole) if s.axis == "train.lora.rank").log
    history = history_chart(leaderboard)
    assert history is not None
    assert "Next the searcher would try " in history.note
    assert history.note.count("lr ") == len(ahead)
    assert not heatmaps(leaderboard)
    assert all("rate" not in each.key for each in axis_charts(leaderboard))
    assert [event.number for event in asked.suggestions.log.suggested] == [0, 1, 2, 3]
