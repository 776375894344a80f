"""What `embft power` says where the objective is an evaluator's metric: by its units' values."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.cli.power import lines
from embft.metrics.comparison import difference_variance
from embft.metrics.power import Design, detectable
from embft.planning.known import (
    CORRELATIONS,
    correlated,
    resampling,
    score_variance,
)
from embft.planning.plan import make_plan
from embft.planning.sweep_power import sweep_power
from embft.planning.unit_power import SPREADS
from embft.results.units import UnitValues, load_units, resampled_units
from embft.spec import parse_spec
from embft.storage.seal import sealed
from tests.helpers.trials import run_whole

OBJECTIVE = "evaluators: [retrieval]\nobjective: {metric: mrr}\n"


def test_the_units_of_trained_trials_say_it_else_the_base_models(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tiny_spec.replace("rank: [2, 4]", "rank: [2]").replace("[1e-3, 1e-2]", "[1e-3]")
    spec = tmp_path / "tiny.yaml"
    spec.write_text(text + OBJECTIVE)
    plan = make_plan(parse_spec(text + OBJECTIVE), tmp_path / "results")
    nothing = sweep_power(plan)
    assert (nothing.basis, nothing.correlations) == ("assumed scores", CORRELATIONS)
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(main, ["power", str(spec)])
    assert asked.exit_code == 0
    queries = nothing.splits[0].pairs
    assert f"dev, {queries} queries: " in asked.output
    assert "values by query with a standard deviation of 0.15 to 0.5" in " ".join(
        asked.output.split()
    )

    run_whole(plan)
    found = sweep_power(plan, 0.05)
    assert found.splits[0].pairs == queries
    assert (found.basis, found.correlations) == ("trained trials", None)
    assert [split.split for split in found.splits] == ["dev", "test"]
    values = [load_units(trial.folder.units_file)["dev"]["mrr"] for trial in plan.trials]
    assert found.splits[0].pairs == len(values[0])
    assert found.splits[0].unit == "query"
    said = "\n".join(lines(found))
    assert f"dev, {len(values[0])} queries" in said
    assert f"(there are {len(values[0])})" in said

    files = plan.folder
    shutil.copy(plan.trials[0].folder.units_file, files.measured_units)
    for trial in plan.trials[1:]:
        shutil.rmtree(trial.folder.path)
    of_base = sweep_power(plan)
    assert (of_base.basis, of_base.correlations) == ("base model", CORRELATIONS)
    shutil.rmtree(plan.trials[0].folder.path)
    assert sweep_power(plan) == nothing
    files.measured_file.write_text(sealed({"trials": {}, "baseline": plan.trials[0].key}))
    assert sweep_power(plan) == of_base
    files.measured_file.write_text(sealed({"trials": {}, "baseline": "other"}))
    assert sweep_power(plan) == nothing


def test_nothing_is_said_of_units_that_nobody_has_counted(tmp_path: Path, tiny_spec: str) -> None:
    """The command is of use before a sweep: it ends well and says what would tell it."""
    texts = tmp_path / "labelled.csv"
    texts.write_text("text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(40)))
    spec = tmp_path / "tiny.yaml"
    spec.write_text(
        f"{tiny_spec}evaluators: [{{classification: {{data: {texts}, dev: {texts}}}}}]\n"
        "objective: {metric: classification_accuracy}\n"
    )
    asked = CliRunner().invoke(main, ["power", str(spec), "--results", str(tmp_path / "results")])
    assert asked.exit_code == 0, asked.output
    assert "is not known before a model is scored: `embft plan --measure`" in " ".join(
        asked.output.split()
    )


def test_what_is_foreseen_of_queries_is_wide_enough() -> None:
    """Pairs of rankers whose values by query vary and correlate as assumed lie in the range."""
    rng = np.random.default_rng(3)
    low, high = (spread**2 / 300 for spread in SPREADS)
    narrow, wide = map(detectable, correlated(low, high, 300, 300, 1))
    one = rng.random(300) ** 0.5
    other = np.clip(one + rng.normal(0, 0.2, 300), 0, 1)
    own = np.var(one - other, ddof=1) / 300
    assert narrow < detectable(Design(300, 300, float(own))) < wide


def test_a_mean_over_units_has_the_variance_of_a_mean() -> None:
    """What is detectable of two models is that of the paired t-test of their queries."""
    rng = np.random.default_rng(0)
    ids = tuple(map(str, range(200)))
    one = UnitValues("query", ids, rng.random(200))
    other = replace(one, values=one.values + 0.1 * rng.normal(size=200))
    results = [
        resampled_units("mrr", [each], one.drawn, resampling("mrr")) for each in (one, other)
    ]
    first, second = results
    assert first is not None
    assert second is not None
    expected = np.var(other.values - one.values) / 200
    variance = difference_variance(first, second, "mrr")
    assert variance == pytest.approx(expected, rel=0.15)
    assert score_variance(first, "mrr") == pytest.approx(np.var(one.values) / 200, rel=0.15)
    assert detectable(Design(200, 200, variance)) == pytest.approx(2.81 * expected**0.5, rel=0.1)
    undefined = replace(one, values=np.full(200, np.nan))
    assert resampled_units("mrr", [undefined], one.drawn, resampling("mrr")) is None
