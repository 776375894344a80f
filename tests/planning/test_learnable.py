"""What cannot learn is refused by `plan`, with its field; what has learned nothing says so."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.errors import EmbftError, FailureReason
from embft.execution.train_step import train_step
from embft.execution.worker import _reason
from embft.models.base import build
from embft.planning.plan import Plan, make_plan
from embft.planning.prepare import prepare
from embft.spec import LOSSES, ModelSpec, TrainSpec, parse_spec
from embft.spec.shape import Shape
from embft.training.batches import Batches
from embft.training.loop import Hooks, train
from embft.training.step import NothingLearnedError
from tests.conftest import make_pairs

Rows = Iterable[Mapping[str, Any]]


def _spec(base: Path, train: Path, dev: Path, fields: str, shape: str) -> str:
    columns = {
        "labelled": "",
        "positives": ", columns: {label: null}",
        "triplets": ", columns: {label: null, text_3: text_3}",
    }[shape]
    labels = ", columns: {text_1: text_1, text_2: text_2, label: label}"
    return f"""\
name: learn
data: {{train: {train}, dev: {{file: {dev}{labels}}}{columns}}}
model: {{base: {base}}}
train: {{epochs: 1, learning_rate: 1e-2, {fields}}}
"""


def _rows(count: int, **fixed: Any) -> list[dict[str, Any]]:
    """Different rows, but for what is fixed."""
    return [
        {"text_1": f"i love {i}", "text_2": f"you hate {i}", "text_3": f"we like {i}",
         "label": i % 2, **fixed}
        for i in range(count)
    ]  # fmt: skip


@dataclass
class Planner:
    """Plans of the tiny model for rows of train data."""

    folder: Path
    base: Path
    dev: Path

    def text(self, fields: str, shape: str, rows: Rows) -> str:
        """A spec of such data, which are written."""
        path = self.folder / "train.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return _spec(self.base, path, self.dev, fields, shape)

    def plan(self, fields: str, shape: str, rows: Rows) -> Plan:
        """The plan of that spec."""
        return make_plan(parse_spec(self.text(fields, shape, rows)), self.folder)


@pytest.fixture
def planner(tiny_model: Path, pair_files: Path, tmp_path: Path) -> Planner:
    return Planner(tmp_path, tiny_model, pair_files / "dev.jsonl")


RANKING, CACHED = "multiple_negatives_ranking", "cached_multiple_negatives_ranking"
REFUSED: dict[str, tuple[str, str, Rows, str]] = {
    "one pair": (f"loss: {RANKING}, batch_size: 1", "positives", _rows(9), r"n\.batch_size is 1"),
    "one cached": (f"loss: {CACHED}, batch_size: 1", "positives", _rows(9), "batch_size is 1"),
    "gist": ("loss: gist_embed, batch_size: 1", "positives", _rows(9), "train.batch_size is 1"),
    "margin": ("loss: mega_batch_margin, batch_size: 1", "positives", _rows(9), "batch_size is 1"),
    "cosent": ("loss: cosent, batch_size: 1", "labelled", _rows(9), "train.batch_size is 1"),
    "online": ("loss: online_contrastive, batch_size: 1", "labelled", _rows(9), "batch_size is 1"),
    "micro": (
        f"loss: {RANKING}, batch_size: 4, micro_batch_size: 1",
        "positives",
        _rows(9),
        rf"train\.micro_batch_size is 1.*or train\.loss to {CACHED}",
    ),
    "micro cosent": (
        "loss: angle, batch_size: 4, micro_batch_size: 1", "labelled", _rows(9),
        "micro_batch_size is 1.*set it to 2 or more$",
    ),
    "one row": (f"loss: {RANKING}", "positives", _rows(1), "data.train has 1 row"),
    "one text": (
        f"loss: {RANKING}", "positives", _rows(9, text_1="all the same"),
        "'all the same' stands in each of the 9 rows",
    ),
    "one label": ("loss: cosent", "labelled", _rows(9, label=1), "all 9 labels are 1"),
    "one label, cosine": ("batch_size: 2", "labelled", _rows(9, label=0), "all 9 labels are 0"),
    "contrastive": ("loss: contrastive", "labelled", _rows(9, label=1), "all 9 labels are 1"),
    "same texts": (
        "batch_size: 2", "labelled", [{**r, "text_2": r["text_1"]} for r in _rows(9)],
        "both texts are the same one",
    ),
    "same negative": (
        "loss: triplet", "triplets", [{**r, "text_3": r["text_2"]} for r in _rows(9)],
        "each negative is the positive's own text",
    ),
    "warm-up": ("warmup_steps: 3, batch_size: 16", "labelled", _rows(9), "warmup_steps is 3"),
    "one step": ("warmup_steps: 3, max_steps: 1", "labelled", _rows(90), "warmup_steps is 3"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_learn_is_refused(kind: str, planner: Planner) -> None:
    """Before anything runs, by the name of the field."""
    fields, shape, rows, message = REFUSED[kind]
    with pytest.raises(EmbftError, match=message):
        planner.plan(fields, shape, rows)


ACCEPTED: dict[str, tuple[str, str, Rows]] = {
    "a row's own negative": (f"loss: {RANKING}, batch_size: 1", "triplets", _rows(9)),
    "cached in single rows": (f"loss: {CACHED}, micro_batch_size: 1", "positives", _rows(9)),
    "cosine alone": ("batch_size: 1", "labelled", _rows(9)),
    "a last row alone": (f"loss: {RANKING}, batch_size: 8", "positives", _rows(9)),
    "shared text in any batch": (
        f"loss: {RANKING}, sampler: shuffled", "positives", _rows(9, text_1="all the same"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_can_learn_is_accepted(kind: str, planner: Planner) -> None:
    """Each is a neighbour of one that is refused."""
    assert planner.plan(*ACCEPTED[kind]).trials


def test_the_command_names_the_field(planner: Planner, tmp_path: Path) -> None:
    """`embft plan` ends with status 2 and one sentence."""
    text = planner.text(f"loss: {RANKING}, batch_size: 1", "positives", _rows(9))
    (tmp_path / "spec.yaml").write_text(text)
    arguments = ["plan", str(tmp_path / "spec.yaml"), "--results", str(tmp_path / "results")]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 2
    assert "train.batch_size is 1" in ran.output
    assert "Traceback" not in ran.output


def test_a_warm_up_that_does_not_end_is_pointed_out(planner: Planner) -> None:
    """It trains, at a part of the rate that was asked for."""
    (note,) = planner.plan("warmup_steps: 10, batch_size: 2", "labelled", _rows(9)).notes
    assert "warmup_steps is 10, and a training has 5 steps: its learning rate comes to 40%" in note


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_alone_teaches_what_its_loss_says(name: str, tiny_model: Path) -> None:
    """`least_rows` is the least batch of which a training learns anything, for each shape."""
    for shape in LOSSES[name].shapes:
        least = LOSSES[name].least_rows(Shape(shape))
        for size in {1, least}:
            spec = TrainSpec.model_validate(
                {"loss": {"name": name}, "batch_size": size, "max_steps": 6, "precision": "fp32"}
            )
            model = build(tiny_model, ModelSpec(base=str(tiny_model)), spec)
            run = partial(
                train, model, spec, make_pairs(shape).take(range(7)), 1,
                Hooks(evaluate=lambda: (0.0, {})), guide=partial(copy.deepcopy, model),
            )  # fmt: skip
            if size >= least:
                run()
                continue
            with pytest.raises(NothingLearnedError, match=rf"{name}\) was 0\. .*batch_size is 1"):
                run()


@pytest.mark.parametrize(
    ("rows", "size", "least", "sizes"),
    [(9, 4, 1, [4, 4, 1]), (9, 4, 2, [4, 5]), (8, 4, 2, [4, 4]), (1, 4, 2, [1]), (3, 2, 2, [3])],
)
def test_a_last_row_is_not_left_alone(rows: int, size: int, least: int, sizes: list[int]) -> None:
    """It joins the batch before; every row still comes once."""
    columns = [[f"a{i}" for i in range(rows)], [f"b{i}" for i in range(rows)]]
    batches = Batches(columns, TrainSpec(batch_size=size), 1, least)
    for epoch in (1, 2):
        found = batches.of(epoch)
        assert [len(batch) for batch in found] == sizes
        assert sorted(row for batch in found for row in batch) == list(range(rows))
    assert batches.steps(3) == 3 * len(sizes)


@pytest.mark.parametrize(
    ("learning_rate", "message"),
    [(1e-12, "training changed the embeddings by .* which is rounding")],
)
def test_a_training_that_changed_nothing_says_so(
    learning_rate: float, message: str, tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """And not that what was saved is another model."""
    text = f"""\
name: learn
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 1, learning_rate: {learning_rate}}}
"""
    trial = prepare(make_plan(parse_spec(text), tmp_path), retry_failed=False)[-1]
    trial.folder.create(trial.input(threads=1))
    with pytest.raises(NothingLearnedError, match=message) as error:
        train_step(trial.folder)
    assert _reason(error.value) is FailureReason.NOTHING_LEARNED
