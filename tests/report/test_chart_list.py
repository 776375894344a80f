"""One list of charts: page and export walk it, and what a chart draws is found by its name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import embft.report.charts
from embft.leaderboard.rows import Leaderboard
from embft.report import chart_list
from embft.report.chart import Chart
from embft.report.chart_list import Section, declared
from embft.report.export import all_charts
from tests.helpers.leaderboards import lora_lr_plans, make_leaderboard
from tests.helpers.pages import render_report

NAMES = [module.name for module in pkgutil.iter_modules(embft.report.charts.__path__)]

NEW = '''\
"""A chart that draws nothing of interest."""

from embft.leaderboard.rows import Leaderboard
from embft.report.chart import Chart
from embft.report.chart_list import Section, chart


@chart(Section.EPOCHS, 5)
def extra(leaderboard: Leaderboard) -> Chart:
    spec = {"mark": "point", "data": {"values": [{"x": 1}]}}
    return Chart(key="extra", title=f"Extra of {leaderboard.name}", note="", spec=spec)
'''


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return make_leaderboard(tmp_path_factory.mktemp("charts"), lora_lr_plans(), pairs=(60, 60))


def _on_page(leaderboard: Leaderboard) -> list[str]:
    return re.findall(r'data-chart="([^"]+)"', render_report(leaderboard, pictures=False))


def test_the_page_and_the_export_have_the_same_charts(leaderboard: Leaderboard) -> None:
    """None is forgotten by either."""
    exported = [chart.key for chart in all_charts(leaderboard)]
    assert len(exported) == len(set(exported)) > 10
    assert sorted(_on_page(leaderboard)) == sorted(exported)


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_draws_what_the_module_of_its_name_computes(name: str) -> None:
    """`report/charts/X.py` imports from `leaderboard/X.py`, and declares a chart."""
    assert importlib.util.find_spec(f"embft.leaderboard.{name}")
    path = Path(str(importlib.import_module(f"embft.report.charts.{name}").__file__))
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert f"embft.leaderboard.{name}" in imported
    modules = {each.draw.__module__ for each in declared()}
    assert f"embft.report.charts.{name}" in modules


def test_no_two_stand_in_one_place() -> None:
    """The order of the page does not hang on the order of imports."""
    places = [(each.section, each.place) for each in declared()]
    assert len(places) == len(set(places))
    assert {section for section, _ in places} == set(Section)


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module more in the package of charts."""
    (tmp_path / "extra.py").write_text(NEW)
    before = list(chart_list._DECLARED)
    monkeypatch.setattr(
        embft.report.charts, "__path__", [*embft.report.charts.__path__, str(tmp_path)]
    )
    declared.cache_clear()
    yield
    chart_list._DECLARED[:] = before
    declared.cache_clear()


@pytest.mark.usefixtures("another")
def test_a_new_chart_is_a_file(leaderboard: Leaderboard) -> None:
    """It stands on the page, in its place, and is exported, without being listed anywhere."""
    keys = _on_page(leaderboard)
    assert keys.index("extra") == keys.index("epochs") - 1
    found: dict[str, Chart] = {chart.key: chart for chart in all_charts(leaderboard)}
    assert found["extra"].title == f"Extra of {leaderboard.name}"
