"""The short form of `make simulate`: a few cells in seconds, and every table of its page."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
SECONDS = 0.15


@pytest.fixture(scope="module")
def simulate() -> Iterator[Any]:
    """The benchmark as a module."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("simulate")
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def found(simulate: Any) -> list[Any]:
    """The smallest cells of each study."""
    cells = simulate.all_cells()

    def wanted(cell: Any) -> bool:
        names = cell.names
        few = names.get("configurations", 2) <= 5 or names.get("configurations") == 12
        kind = names.get("units", "single pairs") == "single pairs" and names.get("seeds", 1) <= 2
        middle = names.get("AUC", 0.95) == 0.95 and names.get("labels", "50/50") == "50/50"
        return bool(few and kind and middle and names.get("pairs", 100) == 100)

    return [
        simulate.summary(cell, simulate.repeated(i, SECONDS))
        for i, cell in enumerate(cells)
        if wanted(cell)
    ]


@pytest.mark.slow
def test_what_is_promised_holds_in_the_short_form(found: list[Any]) -> None:
    """By three standard errors: the page has the exact figures."""
    assert {each.study for each in found} >= {"decision", "best set", "seeds", "interval"}
    for each in found:
        slack = {name: 3 * error + 3 / each.repetitions for name, error in each.error.items()}
        if each.study == "decision":
            assert each.mean["more"] <= slack["more"]
        if each.study in {"best set", "seeds"}:
            assert each.mean["excluded"] <= 0.06 + slack["excluded"]
            assert each.mean["ranks"] <= 0.06 + slack["ranks"]
        if each.study == "interval":
            assert each.mean["auc given"] == 1.0
            held = (each.mean[f"auc held{end}"] for end in ("", ", warned"))
            for share in (value for value in held if np.isfinite(value)):
                assert share >= 0.85


def test_each_table_has_its_place_on_the_page(simulate: Any, found: list[Any]) -> None:
    page = simulate.PAGE.read_text()
    for name, section in simulate.SECTIONS.items():
        filled = simulate.filled(page, name, section(found))
        assert f"<!-- {name} -->\n|" in filled
    assert re.search(r"<!-- run -->\n(- .+ repetitions.+\n)+<!-- end run -->", page)


def test_some_studies_leave_the_others_as_they_were(
    simulate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tables, their figures, and what run they are of."""
    page = tmp_path / "statistics.md"
    page.write_text(simulate.PAGE.read_text())
    (tmp_path / "simulate.json").write_text((simulate.FIGURES / "simulate.json").read_text())
    before = json.loads((tmp_path / "simulate.json").read_text())
    monkeypatch.setattr(simulate, "PAGE", page)
    monkeypatch.setattr(simulate, "FIGURES", tmp_path)
    cells = list(enumerate(simulate.all_cells()))
    number, cell = next((i, each) for i, each in cells if each.study == "power")
    power = [simulate.summary(cell, simulate.repeated(number, 0.0))]
    simulate.publish(power, {"power": simulate.power_section(power)})
    after = json.loads((tmp_path / "simulate.json").read_text())
    assert sum("power" in run["studies"] for run in after["runs"]) == 1
    assert after["runs"][-1]["studies"] == ["power"]
    others = [[c for c in each["cells"] if c["study"] != "power"] for each in (before, after)]
    assert others[0] == others[1]
    assert sum(cell["study"] == "power" for cell in after["cells"]) == len(power)
    assert "- power: `" in page.read_text()


def test_a_cell_that_falls_short_is_named(simulate: Any) -> None:
    names = {"units": "20 clusters", "labels": "5/95", "AUC": 0.95, "pairs": 300, "seeds": 1}
    mean = {
        f"{metric} {name}": value
        for metric in simulate.METRICS
        for name, value in (("given", 1.0), ("warned", 0.0), ("held", 0.95), ("held, warned", 0.9))
    }
    error = dict.fromkeys(mean, 0.01)
    low = simulate.Found("interval", names, 400, mean | {"auc held": 0.80}, error)
    said = list(simulate._short([low]))
    assert said == ["- AUC: 20 clusters, labels 5/95, AUC 0.95, pairs 300, seeds 1: 80.0 ± 1.0 %"]
    assert "**80**" in simulate.interval_section([low])
