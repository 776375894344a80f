"""Epochs as an axis: trials that share a prefix train it once, with the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from embft.execution.launcher import run_trial
from embft.planning.plan import make_plan
from embft.planning.prefixes import share_prefixes
from embft.planning.prepare import prepare
from embft.results.records import Completed
from embft.spec import load_spec

SPEC = """\
name: epochs
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
model: {{base: {model}}}
train:
  {{method: {method}, batch_size: 8, learning_rate: 1e-2, warmup_steps: 3, schedule: {schedule}}}
space: {{train.epochs: {epochs}, {more}}}
"""


@pytest.fixture
def planned(tmp_path: Path, tiny_model: Path, pair_files: Path) -> Any:
    """Plans a sweep over epochs into a folder of its own."""

    def plan(
        folder: str,
        epochs: list[int],
        schedule: str = "constant",
        method: str = "lora",
        more: str = "",
    ) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        spec = tmp_path / folder / "spec.yaml"
        spec.write_text(
            SPEC.format(
                data=pair_files,
                model=tiny_model,
                epochs=epochs,
                schedule=schedule,
                method=method,
                more=more,
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


def test_the_shortest_of_all_groups_come_first(planned: Any) -> None:
    """Two trials at once are of two groups, so that each finds the one before it done."""
    trials = planned("a", [4, 1, 2], more="train.batch_size: [4, 8]")
    assert [trial.spec.train.epochs for trial in trials] == [1, 1, 2, 2, 4, 4]
    batches = [trial.spec.train.batch_size for trial in trials]
    assert batches[::2] == [batches[0]] * 3
    assert batches[1::2] == [batches[1]] * 3
    assert batches[0] != batches[1]


def test_trials_that_share_nothing_keep_their_places(planned: Any) -> None:
    """Only trials of groups change places, and only among each other; none is lost."""
    more = "train.batch_size: [4, 8], train.schedule: [constant, linear]"
    given = sorted(planned("a", [2, 1], more=more), key=lambda trial: trial.key)
    found = share_prefixes(given)
    assert sorted(trial.key for trial in found) == [trial.key for trial in given]
    for one, other in zip(given, found, strict=True):
        assert (one.spec.train.schedule == "linear") == (other.spec.train.schedule == "linear")
        assert one == other or other.prefix is not None


def test_the_last_of_a_group_goes_on_after_an_interruption(planned: Any) -> None:
    """With the shorter one done and its end on disk, the longer one trains the rest alone."""
    short, _ = planned("a", [1, 3])
    first = _run(short)
    (long,) = planned("a", [1, 3])
    assert long.prefix == short.prefix
    found = _run(long)
    assert [score.epoch for score in found.epochs] == [1, 2, 3]
    assert found.epochs[0].seconds == first.epochs[0].seconds  # it was not trained again


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
