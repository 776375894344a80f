"""The Pareto front of a search with several objectives: who is on it, and what shows it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from embft.leaderboard.export import write_tables
from embft.leaderboard.front import front, front_finding, row_cost
from embft.leaderboard.rows import Leaderboard
from embft.report.charts.front import front_charts
from embft.report.front import front_table
from tests.helpers.leaderboards import lora_lr_plans, make_leaderboard
from tests.helpers.pages import render_report


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return make_leaderboard(
        tmp_path_factory.mktemp("front"),
        lora_lr_plans(seeds=(42, 43)),
        pairs=(60, 60),
        seeds=(42, 43),
        costs=("parameters", "train_seconds"),
    )


def test_none_beats_those_on_the_front_in_every_objective(leaderboard: Leaderboard) -> None:
    """Whoever is not on it is beaten by one that is; the base model competes."""
    found = front(leaderboard)
    assert len(found) == len(leaderboard.groups) + 1
    assert found[0].group.is_base
    assert found[0].costs == {"parameters": 0.0, "train_seconds": 0.0}
    places = [(-w.group.dev_score, *w.costs.values()) for w in found]
    for each, place in zip(found, places, strict=True):
        beaten = [
            other for other in places
            if other != place and all(o <= p for o, p in zip(other, place, strict=True))
        ]  # fmt: skip
        assert each.on_front is not bool(beaten)
    assert 1 < sum(each.on_front for each in found) < len(found)


def test_a_configuration_costs_the_mean_of_its_seeds(leaderboard: Leaderboard) -> None:
    """And its score has an interval over them."""
    each = front(leaderboard)[-1]
    assert len(each.group.rows) == 2
    seconds = [row_cost(leaderboard, row, "train_seconds") for row in each.group.rows]
    assert each.costs["train_seconds"] == pytest.approx(sum(filter(None, seconds)) / 2)
    assert each.interval is not None
    assert each.interval[0] < each.group.dev_score < each.interval[1]


def test_scripts_find_it(leaderboard: Leaderboard) -> None:
    """In a column of each trial, and beside the answer; nothing where the score is all."""
    write_tables(leaderboard)
    on = {row.trial for w in front(leaderboard) if w.on_front for row in w.group.rows}
    with leaderboard.folder.leaderboard_csv.open() as file:
        lines = list(csv.DictReader(file))
    assert {line["trial"] for line in lines if line["on_front"] == "True"} == on
    content = json.loads(leaderboard.folder.leaderboard_json.read_text())
    assert content["objectives"] == ["score", "parameters", "train_seconds"]
    assert {each["trial"] for each in content["front"]} <= on
    names = {"parameters", "train_seconds", "dev_score", "dev_interval"}
    assert names <= content["front"][0].keys()


def test_the_report_shows_it(leaderboard: Leaderboard) -> None:
    """A chart for each cost, dominated ones in grey, with intervals; and a table of the front."""
    found = front(leaderboard)
    charts = front_charts(leaderboard)
    assert [each.key for each in charts] == ["front-parameters", "front-train-seconds"]
    data = charts[0].spec["datasets"]["rows"]
    kinds = {row["kind"] for row in data}
    assert kinds <= {"recommended", "on the front", "dominated"}
    assert all(row["low"] < row["score"] < row["high"] for row in data)
    assert "The base model costs nothing; the " in charts[0].note
    table = front_table(leaderboard)
    assert len(table.lines) == sum(each.on_front for each in found)
    page = render_report(leaderboard, pictures=False)
    assert '<table id="front">' in page
    assert "are on the Pareto front, from" in front_finding(leaderboard, found, "parameters")


def test_a_sweep_with_one_objective_has_none(tmp_path: Path) -> None:
    plain = make_leaderboard(tmp_path, lora_lr_plans()[:2], pairs=(30, 30))
    assert front(plain) == ()
    assert front_charts(plain) == []
    assert '<table id="front">' not in render_report(plain, pictures=False)
