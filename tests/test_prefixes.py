"""Epochs as an axis: trials that share a prefix train it once, with the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from embft.launcher import run_trial
from embft.plan import make_plan, prepare
from embft.prefixes import share_prefixes
from embft.spec import load_spec
from embft.trial import Completed

SPEC = """\
name: epochs
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
model: {{base: {model}}}
train:
  {{method: {method}, batch_size: 8, learning_rate: 1e-2, warmup_steps: 3, schedule: {schedule}}}
space: {{train.epochs: {epochs}}}
"""


@pytest.fixture
def planned(tmp_path: Path, tiny_model: Path, pair_files: Path) -> Any:
    """Plans a sweep over epochs into a folder of its own."""

    def plan(
        folder: str, epochs: list[int], schedule: str = "constant", method: str = "lora"
    ) -> Any:
        (tmp_path / folder).mkdir()
        spec = tmp_path / folder / "spec.yaml"
        spec.write_text(
            SPEC.format(
                data=pair_files, model=tiny_model, epochs=epochs, schedule=schedule, method=method
            )
        )
        pending = prepare(make_plan(load_spec(spec), tmp_path / folder), retry_failed=False)
        return [trial for trial in share_prefixes(pending) if not trial.spec.is_baseline]

    return plan


def _run(trial: Any) -> Completed:
    """The trial's record after it has run in its worker processes."""
    trial.folder.create(trial.input(threads=1))
    run_trial(trial.folder)
    result = trial.folder.result()
    assert isinstance(result, Completed), result
    return result


def test_the_shorter_one_comes_first(planned: Any) -> None:
    """Whatever the order in the spec, trials that share a prefix run from the shortest on."""
    trials = planned("a", [4, 1, 2])
    assert [trial.spec.train.epochs for trial in trials] == [1, 2, 4]
    assert len({trial.prefix for trial in trials} - {None}) == 1


def test_a_rate_that_depends_on_the_end_shares_nothing(planned: Any) -> None:
    """With linear decay one epoch is no prefix of two; alone, a trial shares with no one."""
    assert {trial.prefix for trial in planned("a", [1, 2], "linear")} == {None}
    assert {trial.prefix for trial in planned("b", [2])} == {None}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_shared_prefix_gives_the_same_numbers(planned: Any, method: str) -> None:
    """3 epochs after 1 leave the very weights and scores of 3 by themselves, and train 2."""
    (alone,) = planned("alone", [3], method=method)
    short, long = planned("shared", [1, 3], method=method)
    whole, first, found = _run(alone), _run(short), _run(long)
    assert [score.epoch for score in found.epochs] == [1, 2, 3]
    assert [(s.dev, s.loss) for s in found.epochs] == [(s.dev, s.loss) for s in whole.epochs]
    assert first.epochs[0].dev == whole.epochs[0].dev
    assert found.test == whole.test
    assert torch.equal(*(_weights(trial) for trial in (alone, long)))
    assert found.epochs[0].seconds == first.epochs[0].seconds  # it was not trained again


def _weights(trial: Any) -> torch.Tensor:
    from safetensors.torch import load_file

    (path,) = trial.folder.model_folder.rglob("*.safetensors")
    return torch.cat([value.flatten().float() for _, value in sorted(load_file(path).items())])
