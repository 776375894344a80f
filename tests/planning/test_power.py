"""What `embft power` says before and after trials are scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import brentq

from embft.cli.main import main
from embft.cli.power import lines
from embft.metrics.bootstrap import BootstrapResult, hierarchical
from embft.metrics.comparison import compare, difference_variance
from embft.metrics.pairs import pair_metrics
from embft.metrics.power import Design, detectable
from embft.metrics.resampling import Resampling
from embft.metrics.weighted import FloatArray
from embft.planning.known import CORRELATIONS
from embft.planning.plan import make_plan
from embft.planning.sweep_power import sweep_power
from embft.results.scores import write_scores
from embft.spec import parse_spec
from embft.storage.seal import sealed


def test_before_any_score_there_is_a_range_over_stated_correlations(
    tmp_path: Path, tiny_spec: str
) -> None:
    found = sweep_power(make_plan(parse_spec(tiny_spec), tmp_path), 0.2)
    assert found.basis == "assumed scores"
    assert found.correlations == CORRELATIONS
    assert found.configurations == 4
    assert [split.split for split in found.splits] == ["dev", "test"]
    for split in found.splits:
        assert split.detectable is not None
        assert split.corrected is not None
        assert split.needed_pairs is not None
        low, high = split.detectable
        assert 0 < low < high
        assert split.corrected[0] > low
        fewest, most = split.needed_pairs
        assert fewest is not None
        assert most is not None
        # About 1 / n, from what is detectable on the pairs that there are.
        assert fewest == pytest.approx(split.pairs * (low / 0.2) ** 2, rel=0.5)
        assert most == pytest.approx(split.pairs * (high / 0.2) ** 2, rel=0.5)
        assert split.needed_seeds == (None, None)


def test_the_base_models_scores_replace_what_was_assumed(tmp_path: Path, tiny_spec: str) -> None:
    """Those that `plan --measure` leaves; of other data they are not taken."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    splits = next(iter(plan.data.values()))
    plan.folder.path.mkdir(parents=True)
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=len(splits[name])) for name in ("dev", "test")}
    write_scores(plan.folder.measured_scores, splits, scores)
    plan.folder.measured_file.write_text(sealed({"trials": {}, "baseline": plan.trials[0].key}))
    found = sweep_power(plan)
    assert found.basis == "base model"
    plan.folder.measured_file.write_text(sealed({"trials": {}, "baseline": "other"}))
    again = sweep_power(plan)
    assert again.basis == "assumed scores"


def test_the_command_says_it_and_refuses_what_it_cannot_say(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "tiny.yaml"
    spec.write_text(tiny_spec)
    said = CliRunner().invoke(main, ["power", str(spec), "--difference", "0.05"])
    assert said.exit_code == 0, said.output
    assert "80 % power at the 5 % level; in brackets for all 4 at once" in said.output
    assert "dev, 24 pairs (worth " in said.output
    assert "correlate by 0.95 to 0.5" in said.output
    assert "how many seeds is not known before two have run" in said.output
    assert "dev has fewer than 20 independent units (" in said.output
    assert "what it can show is uncertain" in said.output
    written = CliRunner().invoke(main, ["power", str(spec), "--format", "json"])
    assert json.loads(written.output)["basis"] == "assumed scores"
    refused = CliRunner().invoke(main, ["power", str(spec), "--difference", "0"])
    assert refused.exit_code == 2


@pytest.mark.parametrize(("every", "few"), [(10, True), (4, False)])
def test_a_rare_label_leaves_open_what_can_be_shown(
    tmp_path: Path, tiny_spec: str, every: int, few: bool
) -> None:
    """Of 300 pairs 30 are too few, 75 are not; simulated, power was up to 8 points off."""
    for name in ("train", "dev", "test"):
        rows = [
            {"text_1": f"{name} one {i}", "text_2": f"{name} two {i}", "label": int(i % every == 0)}
            for i in range(300)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    data = ", ".join(f"{name}: {tmp_path / name}.jsonl" for name in ("train", "dev", "test"))
    base = next(line for line in tiny_spec.splitlines() if line.startswith("model:"))
    spec = parse_spec(f"name: rare\ndata: {{{data}}}\n{base}\n")
    found = sweep_power(make_plan(spec, tmp_path))
    assert [split.uncertain is not None for split in found.splits] == [few, few]
    said = "\n".join(lines(found))
    assert ("dev has fewer than 60 pairs of the rarer label (30): what" in said) == few


def _draw(rng: np.random.Generator, n: int, strength: float) -> tuple[FloatArray, ...]:
    """Labels and the scores of two models alike, the second one of this strength."""
    label = (rng.random(n) < 0.5).astype(np.float64)
    shared, own = 0.97 * rng.normal(size=n), np.sqrt(1 - 0.97**2)
    one, other = (d * label + shared + own * rng.normal(size=n) for d in (1.5, strength))
    return label, one, other


def _two(seed: int, strength: float) -> tuple[BootstrapResult, BootstrapResult]:
    label, one, other = _draw(np.random.default_rng([1, seed]), 300, strength)
    plan = Resampling(only=("spearman",), intervals=False, linear=True)
    first, second = (hierarchical([s], label, [0.5], None, plan) for s in (one, other))
    return first, second


@pytest.mark.slow
def test_what_trained_scores_call_detectable_is_found_in_80_percent() -> None:
    """The difference that two models' own scores call detectable, made true, is significant so
    often. 400 simulations of a true 80 % stray by 2 points (standard error).
    """
    said = [
        detectable(Design(300, 300, difference_variance(*_two(10_000 + i, 1.5), "spearman")))
        for i in range(60)
    ]

    def beyond(strength: float) -> float:
        label, one, other = _draw(np.random.default_rng(0), 400_000, strength)
        first, second = (pair_metrics(s, label, 0.5)["spearman"] for s in (one, other))
        return second - first - float(np.mean(said))

    strength = brentq(beyond, 1.5, 2.5, xtol=1e-4)
    found = 0
    for i in range(400):
        one, other = _two(i, strength)
        comparison = compare(other, one, "spearman")
        assert comparison is not None
        found += comparison.p_value < 0.05
    assert found / 400 == pytest.approx(0.8, abs=0.05)
