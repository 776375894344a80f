"""A small finished sweep, for the tests of what is done with its models."""

from __future__ import annotations

from pathlib import Path

import pytest

from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.folders import TrialDir
from embft.spec import parse_spec


@pytest.fixture(scope="session")
def sweep(
    tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TrialDir]:
    """Its trials by method: `none` the base model, `full`, and `lora` with a template."""
    spec = parse_spec(
        f"""\
name: shipped
description: For shipping.
data:
  train: {pair_files}/train.jsonl
  dev: {pair_files}/dev.jsonl
  test: {pair_files}/test.jsonl
model: {{base: {tiny_model}}}
train: {{epochs: 2, batch_size: 8, learning_rate: 1e-2}}
space:
  - train.method: [full]
    model.pooling: [text_mean]
  - train.method: [lora]
    model.template: ["i love {{text}}"]
"""
    )
    results = tmp_path_factory.mktemp("shipped") / "results"
    found: dict[str, TrialDir] = {}
    for trial in prepare(make_plan(spec, results), retry_failed=False):
        trial.folder.create(trial.input(threads=1))
        if not trial.spec.is_baseline:
            train_step(trial.folder)
        score_step(trial.folder)
        found[trial.spec.train.method] = trial.folder
    return found
