"""The decoder study's specs: all of them expand; the small one runs, and training helps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SHARED_DATA

from embft.leaderboard.build import build_leaderboard
from embft.spec import load_spec


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("decoder_zero_shot", 2 * 4 * 9),  # models, poolings, templates
        ("decoder_contrastive", 2 * 4 * 2 * 3),  # data, templates, poolings, seeds
        ("decoder_tiny", 2 * 2 + 2 * 2),  # untrained and trained: poolings, templates
    ],
)
def test_each_spec_is_the_grid_that_it_says(name: str, trials: int) -> None:
    """None of the axes collapses, none of the fields is refused."""
    spec = load_spec(ROOT / "sweeps" / f"{name}.yaml")
    assert sum(1 for _ in spec.trials()) == trials


@pytest.mark.long
def test_training_a_tiny_decoder_raises_its_clustering_score(tmp_path: Path) -> None:
    """From spec to report with one command; for each pooling and template the trained decoder
    clusters the titles of the topics it was trained on better than the untrained one.
    """
    if not (SHARED_DATA / "stackoverflow").is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    command = [str(Path(sys.executable).with_name("embft")), "sweep", "sweeps/decoder_tiny.yaml"]
    ran = subprocess.run(
        [*command, "--results", str(tmp_path)], cwd=ROOT, check=False, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr.decode()
    folder = tmp_path / "decoder-tiny"
    assert (folder / "report.html").exists()
    axes = ("model.pooling", "model.template", "train.method")
    scores = {
        tuple(row.params[axis] for axis in axes): row.test["trained_v_measure"]
        for row in build_leaderboard(folder).rows
    }
    ways = {way[:2] for way in scores}
    assert len(ways) == 4
    for way in ways:
        assert scores[(*way, "full")] > scores[(*way, "none")] + 0.1
