"""Trainings that cannot learn anything, known from the spec and the data before they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embft.data.pairs import Pairs, Splits
from embft.errors import EmbftError
from embft.planning.steps import training_steps
from embft.spec import LOSSES, LossSpec, TrainSpec, TrialSpec
from embft.spec.shape import Shape


@dataclass(frozen=True)
class _Facts:
    """What train data are. label: the only one; shared: a text that stands in every row; same: the
    columns, as numbers from 0, of which every row has the same text in both; columns: how many.
    """

    shape: Shape
    rows: int
    label: float | None
    shared: str | None
    same: tuple[tuple[int, int], ...]
    columns: int

    @classmethod
    def of(cls, train: Pairs, shape: Shape) -> _Facts:
        columns = train.columns
        both = [(i, j) for j in range(len(columns)) for i in range(j)]
        same = tuple((i, j) for i, j in both if _equal(columns[i], columns[j]))
        label, shared = _only_label(train), _shared_text(columns)
        return cls(shape, len(train), label, shared, same, len(columns))


def _only_label(train: Pairs) -> float | None:
    if train.shape != Shape.LABELLED or not len(train):
        return None
    same = bool((train.label == train.label[0]).all())
    return train.given_label(0) if same else None


def _shared_text(columns: Sequence[Sequence[str]]) -> str | None:
    shared = set[str]()
    for number, row in enumerate(zip(*columns, strict=True)):
        shared = shared & set(row) if number else set(row)
        if not shared:
            return None
    return min(shared, default=None)


def _equal(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=True))


class LearningChecks:
    """Checks trainings against their data, which are looked through once."""

    def __init__(self) -> None:
        self._facts: dict[str, _Facts] = {}
        self._notes: dict[str, None] = {}

    def check(self, trial: TrialSpec, digest: str, splits: Splits) -> None:
        """Raise EmbftError, naming the field, for a training whose every gradient would be zero, or
        whose data do not say what is to be learned. digest: of the data.
        """
        if trial.is_baseline:
            return
        if digest not in self._facts:
            self._facts[digest] = _Facts.of(splits.train, splits.train_shape)
        facts = self._facts[digest]
        for reason in _reasons(trial.train, facts):
            raise EmbftError(reason)
        self._notes |= dict.fromkeys(_notes(trial.train, facts.rows))

    def notes(self) -> tuple[str, ...]:
        """What a user may not expect of these trainings, a sentence each."""
        return tuple(self._notes)


def _reasons(spec: TrainSpec, facts: _Facts) -> Iterator[str]:
    least = spec.loss.traits.least_rows(facts.shape)
    yield from _of_batches(spec, facts.rows, least)
    if least > 1 and spec.avoids_duplicates and facts.shared is not None:
        yield (
            f"data.train: the text {facts.shared[:60]!r} stands in each of the {facts.rows} rows, "
            f"and {spec.loss.name} keeps rows that share a text out of one batch, so that each "
            "would be alone and teach nothing: give other rows, or another train.loss"
        )
    yield from _of_data(spec.loss, facts)
    if training_steps(spec, facts.rows) == 1 and spec.warmup_steps > 0:
        yield (
            f"train.warmup_steps is {spec.warmup_steps}, and the training has one step, whose "
            "learning rate would be 0: set it to 0"
        )


def _of_batches(spec: TrainSpec, rows: int, least: int) -> Iterator[str]:
    """A loss that compares rows with each other has nothing to compare a single row with."""
    name, micro = spec.loss.name, spec.micro_batch_size
    alone = f"{name} compares the rows of a batch, and of a single one it is 0 and teaches nothing"
    if spec.batch_size < least:
        yield f"train.batch_size is {spec.batch_size}: {alone}; set it to {least} or more"
    if micro is not None and micro < least and not spec.loss.traits.cached:
        cached = f", or train.loss to cached_{name}" if f"cached_{name}" in LOSSES else ""
        yield f"train.micro_batch_size is {micro}: {alone}; set it to {least} or more{cached}"
    if rows < least:
        yield f"data.train has {rows} row: {alone}; give more rows, or another train.loss"


def _of_data(loss: LossSpec, facts: _Facts) -> Iterator[str]:
    if facts.label is not None:
        yield (
            f"data.train: all {facts.rows} labels are {facts.label:g}, so that {loss.name} cannot "
            "learn what tells pairs apart: give pairs of both kinds; or, if all of them belong "
            "together, leave the labels out (data.columns: {label: null}) and set train.loss to "
            "multiple_negatives_ranking"
        )
    if facts.shape == Shape.LABELLED and (0, 1) in facts.same:
        yield (
            "data.train: in every row both texts are the same one, whatever its label: see "
            "data.columns"
        )
    own = {(1, column) for column in range(2, facts.columns)}
    if loss.name == "triplet" and own and own <= {*facts.same}:
        yield (
            "data.train: in every row each negative is the positive's own text (text_2): "
            "see data.columns"
        )


def _notes(spec: TrainSpec, rows: int) -> Iterator[str]:
    steps = training_steps(spec, rows)
    if spec.warmup_steps >= steps:
        reached = (steps - 1) / spec.warmup_steps
        yield (
            f"train.warmup_steps is {spec.warmup_steps}, and a training has {steps} steps: its "
            f"learning rate comes to {reached:.0%} of train.learning_rate."
        )
