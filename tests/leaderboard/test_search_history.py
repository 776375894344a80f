"""The order of a search's trials, the best so far, and what was stopped early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.curves import curve_points, curve_rows
from embft.leaderboard.search_history import history_finding, search_history
from embft.report.charts.search_history import history_chart
from embft.results.records import Status
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
