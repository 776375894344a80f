"""Smaller embeddings: what each form does to cosines, and which index is chosen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.evaluation.embed import Embedded, cosines
from embft.leaderboard.serving import fronted
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.results.serving import Loss, Variant, smallest
from embft.shipping import speed
from embft.shipping.compress import stored_cosines


@pytest.fixture
def embedded() -> Embedded:
    """Pairs whose second text is the first with noise, in 64 dimensions of unlike ranges."""
    draw = np.random.default_rng(3)
    scales = np.linspace(0.2, 3, 64)
    first = draw.normal(0.3, 1, (200, 64)) * scales
    second = first + draw.normal(0, 1, (200, 64)) * draw.uniform(0, 3, (200, 1))
    return Embedded(first.astype(np.float32), second.astype(np.float32))


def test_each_kind_is_what_it_says(embedded: Embedded) -> None:
    """float32 is the cosine of what is left; int8 has 256 steps; bits count what differs."""
    first, second = embedded.first, embedded.second
    known = np.concatenate([first, second])
    whole = stored_cosines(embedded, 64, "float32", known)
    assert whole == pytest.approx(cosines(embedded), abs=1e-6)
    cut = stored_cosines(embedded, 16, "float32", known)
    assert cut == pytest.approx(cosines(Embedded(first[:, :16], second[:, :16])), abs=1e-6)
    eight = stored_cosines(embedded, 64, "int8", known)
    assert 0 < np.abs(eight - whole).max() < 0.05
    bits = stored_cosines(embedded, 64, "binary", known)
    differ = ((first > 0) != (second > 0)).mean(axis=1)
    assert bits == pytest.approx(1 - 2 * differ, abs=1e-6)
    rescored = stored_cosines(embedded, 64, "binary, rescored", known)
    signs = np.where(second > 0, 1.0, -1.0)
    lengths = np.linalg.norm(first, axis=1) * 8
    assert rescored == pytest.approx((first * signs).sum(axis=1) / lengths, abs=1e-5)
    errors = [np.corrcoef(found, whole)[0, 1] for found in (eight, rescored, bits)]
    assert errors == sorted(errors, reverse=True)


def _variant(size: int, loss: float, most: float) -> Variant:
    found = Loss(0.8 - loss, loss, (loss - 0.01, most))
    return Variant(size, "float32", size, found, found)


def test_the_smallest_that_is_shown_to_be_as_good_is_chosen() -> None:
    """By the end of its interval, not by its loss; the whole embeddings where none is shown."""
    whole, middle, small = _variant(9, 0, 0), _variant(5, 0.0, 0.01), _variant(1, 0.0, 0.02)
    assert smallest([whole, middle, small], 0.01) is middle
    assert smallest([whole, middle, small], 0.02) is small
    worse = _variant(5, 0.1, 0.2)
    assert smallest([whole, worse], 0.01) is whole
    assert [v.on_front for v in fronted([whole, worse, small])] == [False, False, True]
    lossy = _variant(1, 0.05, 0.1)
    assert [v.on_front for v in fronted([whole, worse, lossy])] == [True, False, True]


def test_compress_of_a_trial(sweep: dict[str, TrialDir], monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole embeddings score as the record says; sizes, losses and speed are there."""
    monkeypatch.setattr(speed, "_ROUND_SECONDS", 0.05)
    monkeypatch.setattr(speed, "_ALONE_SECONDS", 0.05)
    trial = sweep["full"]
    arguments = ["compress", trial.short, "--results", str(trial.sweep.path.parent)]
    before = {path: path.stat().st_mtime_ns for path in trial.sweep.path.rglob("*")}
    arguments += ["--dimensions", "16"]
    ran = CliRunner().invoke(main, [*arguments, "--format", "json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.output[ran.output.index("{") :])
    assert {path: path.stat().st_mtime_ns for path in trial.sweep.path.rglob("*")} == before
    variants = {(v["dimensions"], v["kind"]): v for v in found["variants"]}
    assert len(variants) == 8
    assert variants[32, "float32"]["bytes"] == 128_000_000
    assert variants[16, "binary"]["bytes"] == 2_000_000
    recorded = trial.result()
    assert isinstance(recorded, Completed)
    whole = variants[32, "float32"]
    assert whole["test"]["score"] == pytest.approx(recorded.test["spearman"], abs=1e-3)
    assert whole["test"]["loss"] == 0
    assert found["speed"]["texts"] > 0
    assert found["speed"]["p50"] <= found["speed"]["p95"]
    text = CliRunner().invoke(main, [*arguments, "--tolerance", "2"]).output
    assert "The smallest index that is not worse than 2" in text
    assert "16 dimensions, binary" in text
