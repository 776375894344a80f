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
from embft.metrics.power import Design, detectable
from embft.planning.known import CORRELATIONS, difference_variance, resampling, score_variance
from embft.planning.plan import make_plan
from embft.planning.power import sweep_power
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
    assert sweep_power(plan) is None
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(main, ["power", str(spec)])
    assert refused.exit_code == 2
    assert "no trial of this sweep has its values by unit yet" in refused.output

    run_whole(plan)
    found = sweep_power(plan, 0.05)
    assert found is not None
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
    assert of_base is not None
    assert (of_base.basis, of_base.correlations) == ("base model", CORRELATIONS)
    shutil.rmtree(plan.trials[0].folder.path)
    assert sweep_power(plan) is None
    files.measured_file.write_text(sealed({"trials": {}, "baseline": plan.trials[0].key}))
    assert sweep_power(plan) == of_base
    files.measured_file.write_text(sealed({"trials": {}, "baseline": "other"}))
    assert sweep_power(plan) is None


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
