"""Names that other tools use lead to the field of a spec that does the same."""

from __future__ import annotations

import pytest

from embft.errors import SpecError
from embft.spec import parse_spec
from embft.spec.elsewhere import _OTHERS
from embft.spec.schema import fields

MEANT = {
    "train: {gradient_accumulation_steps: 4}": "write train.micro_batch_size, the rows in memory",
    "train: {per_device_train_batch_size: 8}": "write train.batch_size",
    "train: {warmup_ratio: 0.1}": "write train.warmup_steps, which counts steps",
    "train: {save_steps: 10}": "leave it out: checkpoints are written by themselves",
    "model: {max_seq_length: 128}": "write model.max_tokens",
    "space: {train.num_train_epochs: [1, 2]}": "write train.epochs",
    "learning_rate: 1e-3": "write train.learning_rate",
    "train: {rank: 8}": "write train.lora.rank",
    "train: {device: cpu}": "write resources.device",
    "space: {learning_rate: [1e-3]}": "write train.learning_rate",
}


@pytest.mark.parametrize("more", MEANT)
def test_what_to_write(more: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_spec(f"name: a\ndata: {{train: x.csv}}\n{more}")
    assert MEANT[more] in str(error.value)


def test_what_is_named_is_a_field() -> None:
    """Nothing of the table has gone out of date."""
    known = {path for path, _ in fields()}
    meant = [
        text.partition(",")[0].partition(";")[0].partition(":")[0] for text in _OTHERS.values()
    ]
    assert {path for path in meant if not path.startswith("leave")} <= known


def test_a_mistyped_axis_is_answered_in_a_line() -> None:
    with pytest.raises(SpecError) as error:
        parse_spec("name: a\ndata: {train: x.csv}\nspace: {train.learnign_rate: [1e-3]}")
    assert "did you mean 'train.learning_rate'" in str(error.value)
    assert len(str(error.value)) < 240
