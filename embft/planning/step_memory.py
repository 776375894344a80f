"""What a training step holds beside its model: what each layer keeps until it goes backward.

An estimate from the base's files and from the texts' numbers of tokens, so that a plan says without
torch what does not fit, and which `train.micro_batch_size` does. docs/performance.md has it beside
real steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.models.model_folder import anatomy
from embft.models.resolve import LocalBase, max_tokens, token_counter
from embft.models.supported import trains_in_16_bits
from embft.planning.weights import weight_shapes
from embft.spec import LOSSES, TrainSpec
from embft.spec.losses import CACHED_PART
from embft.system.machine import MULTIPLIES_BF16, processor_features

if TYPE_CHECKING:
    from embft.planning.plan import Plan, PlannedTrial

# Bytes for each number that goes into a linear layer or comes out of it, and for each of
# attention's products of two tokens and head: fitted to steps of BERT.
_OF_LINEAR = {"fp32": 5.0, "bf16": 2.8, "fp16": 2.8}
_OF_ATTENTION = {"fp32": 5.0, "bf16": 2.5, "fp16": 2.5}
# Of what is proposed: a step in parts keeps what it has freed, and sums gradients in float32.
_ROOM = 1.25
_SAMPLE = 512  # rows whose texts are counted
_BATCHES = 64  # of them, drawn to find a large one
_CHARACTERS = 4  # of a token, where the base has no tokenizer.json
_WORD = 50  # characters: no token in the mean of a text has more
_ALL_TOKENS = 512  # where the base does not say how many it reads


Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """Numbers of tokens of some rows of the training data, shape (rows, columns)."""

    lengths: Lengths

    def largest(self, rows: int, *, by_column: bool) -> Lengths:
        """The lengths of all texts of a large part of so many rows; by_column: those of the column
        with the most tokens alone.
        """
        draw = np.random.default_rng(0)
        parts = [self.lengths[draw.integers(len(self.lengths), size=rows)] for _ in range(_BATCHES)]
        found = max(parts, key=lambda part: int(part.sum()))
        if by_column:
            return found[:, int(found.sum(axis=0).argmax())]
        return found.reshape(-1)


class StepMemory:
    """What steps of a plan's trainings hold. Texts are counted once for all trials."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._texts: dict[tuple[str, str, int | None], Texts] = {}
        self._bases: dict[str, _Layers] = {}
        self._known: dict[tuple[object, ...], int] = {}

    def of(self, trial: PlannedTrial, micro: int | None = None) -> int:
        """Bytes of a step of the trial. micro: with so many rows in memory at once, or fewer."""
        splits = self.plan.data.get(trial.data_digest)
        if trial.spec.is_baseline or trial.trained or splits is None or not len(splits.train):
            return 0
        train, base = trial.spec.train, trial.base
        most = trial.spec.model.max_tokens or max_tokens(base)
        rows = min(micro or rows_at_once(train), rows_at_once(train), len(splits.train))
        if base.digest not in self._bases:
            self._bases[base.digest] = _Layers.of(base)
        layers = self._bases[base.digest]
        precision, cached = _precision(train, layers.architecture), train.loss.traits.cached
        kind = (trial.data_digest, base.digest, most, rows, cached, precision)
        if kind not in self._known:
            texts = self._of_texts(trial, splits.train, most)
            self._known[kind] = layers.bytes(texts.largest(rows, by_column=cached), precision)
        return self._known[kind]

    def _of_texts(self, trial: PlannedTrial, train: Pairs, most: int | None) -> Texts:
        kind = trial.data_digest, trial.base.digest, most
        if kind not in self._texts:
            self._texts[kind] = Texts(_lengths(trial.base, train, most))
        return self._texts[kind]


def rows_at_once(train: TrainSpec) -> int:
    """The rows of a batch that are in memory at once."""
    own = CACHED_PART if train.loss.traits.cached else train.batch_size
    return min(train.micro_batch_size or own, train.batch_size)


def _lengths(base: LocalBase, train: Pairs, most: int | None) -> Lengths:
    rows = np.unique(np.linspace(0, len(train) - 1, min(_SAMPLE, len(train))).astype(int)).tolist()
    count = token_counter(base) or _by_characters
    read = most or _ALL_TOKENS
    start = _WORD * read  # of a text of megabytes the rest is not read in training either
    columns = [count([column[row][:start] for row in rows]) for column in train.columns]
    return np.minimum(np.array(columns, dtype=np.int64).T, read)


def _by_characters(texts: Sequence[str]) -> list[int]:
    return [2 + math.ceil(len(text) / _CHARACTERS) for text in texts]


def _precision(train: TrainSpec, architecture: str) -> str:
    """What `auto` comes to on a CPU, so far as the system says it without torch."""
    if train.precision != "auto":
        return train.precision
    named = {name.replace("_", "") for name in processor_features()}
    fast = not named.isdisjoint(MULTIPLIES_BF16)
    return "bf16" if fast and trains_in_16_bits(architecture) else "fp32"


@dataclass(frozen=True)
class _Layers:
    """Of a base: the numbers that a token brings into its linear layers and takes out of them, of
    all layers together; its layers of attention times their heads; what it is called.
    """

    linear: int
    heads: int
    architecture: str

    @classmethod
    def of(cls, base: LocalBase) -> _Layers:
        found = anatomy(base.folder)
        linear = sum(
            sum(shape)
            for name, shape in weight_shapes(base.folder).items()
            if len(shape) == 2 and "embed" not in name and "pooler" not in name
        )
        return cls(linear, (found.layers or 0) * (found.heads or 0), found.architecture)

    def bytes(self, lengths: Lengths, precision: str) -> int:
        """What texts of these lengths leave until a step goes backward."""
        tokens, products = int(lengths.sum()), int((lengths**2).sum())
        of_linear, of_attention = _OF_LINEAR[precision], _OF_ATTENTION[precision]
        return int(of_linear * self.linear * tokens + of_attention * self.heads * products)


@dataclass(frozen=True)
class Fitting:
    """A `train.micro_batch_size` that fits, and the bytes that a sweep then needs. cached: losses
    that compare the whole batch all the same. apart: those that then compare a part's rows alone.
    """

    rows: int
    memory: int
    cached: tuple[str, ...]
    apart: tuple[str, ...]


@dataclass(frozen=True)
class SmallerSteps:
    """Trials of which so many run at once, with the bytes that each holds, and all else beside."""

    trials: Sequence[PlannedTrial]
    held: Sequence[int]
    beside: int
    at_once: int
    steps: StepMemory

    def fitting(self, budget: int) -> Fitting | None:
        """The largest parts of a batch with which all fit into so many bytes, if any do."""
        trained = [t.spec.train for t in self.trials if not t.spec.is_baseline and not t.trained]
        found = [train.loss for train in trained]
        apart = {
            loss.name for loss in found if loss.traits.compares_rows and not loss.traits.cached
        }
        cached = {f"cached_{name}" for name in apart} & LOSSES.keys()
        least = 2 if len(apart) > len(cached) else 1  # a row alone has nothing to be compared with
        rows = min(map(rows_at_once, trained), default=0) // 2
        while rows >= least:
            memory = self._memory(rows)
            if memory <= budget:
                return Fitting(rows, memory, tuple(sorted(cached)), tuple(sorted(apart)))
            rows //= 2
        return None

    def _memory(self, rows: int) -> int:
        """Bytes of all with so many rows in memory at once."""
        held = (
            bytes_ - self.steps.of(trial) + self.steps.of(trial, rows)
            for trial, bytes_ in zip(self.trials, self.held, strict=True)
        )
        return int(_ROOM * (self.beside + sum(sorted(held, reverse=True)[: self.at_once])))
