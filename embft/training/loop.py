"""The training loop: epochs, evaluations, the best weights, and a checkpoint after each.

Why the loop is ours and not the stock trainer's: docs/decisions/0003-training-loop.md.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from embft.data.pairs import Pairs
from embft.encoding.encoder import Tokenised
from embft.encoding.stopping import StoppedError, stoppable
from embft.encoding.token_cache import TokenCache
from embft.results.records import EpochScore, Metrics
from embft.spec import TrainSpec
from embft.system.allocator import keep_freed_memory
from embft.training.batches import Batch, Batches
from embft.training.checkpoint import Checkpoint, Checkpoints
from embft.training.random_state import random_state, restore_random_state
from embft.training.step import DivergedError, Stepper
from embft.training.threads import Timed

# Between evaluations by steps, which may be seconds apart, checkpoints are at least this far apart.
_CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Step:
    """Where training is: epochs count from 1, steps from 1 to `steps` over all epochs."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class Hooks:
    """What a training asks and tells.

    evaluate: scores the model as it stands, in the precision of the training; larger is better, and
    the metrics to remember.
    on_resume: given the step after which an interrupted training goes on.
    on_start: given what times a step with so many threads; before the first step, or before a
    training goes on.
    """

    evaluate: Callable[[], tuple[float, Metrics]]
    on_start: Callable[[Timed], None] = lambda _: None
    on_evaluation: Callable[[EpochScore], None] = lambda _: None
    on_step: Callable[[Step], None] = lambda _: None
    on_resume: Callable[[int], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Outcome:
    """What became of a training. best: the evaluation whose weights the model has now.

    seconds: of training and evaluation, those before an interruption included.
    since_resume: those after it alone.
    """

    best: EpochScore
    history: tuple[EpochScore, ...]
    seconds: float
    since_resume: float


@dataclass
class _Run:
    """Where a training is."""

    epoch: int = 1
    batch: int = 0  # of this epoch, done
    step: int = 0
    loss_sum: float = 0.0  # since the last evaluation
    rows: int = 0
    best: int = -1  # the index in history
    best_score: float = -math.inf
    seconds: float = 0.0
    history: list[EpochScore] = field(default_factory=list)

    @property
    def stale(self) -> int:
        """How many evaluations there were since the best."""
        return len(self.history) - 1 - self.best

    def plain(self) -> dict[str, Any]:
        """As JSON. -inf, before the first evaluation, is None."""
        return {
            **vars(self),
            "best_score": self.best_score if self.history else None,
            "history": [score.model_dump() for score in self.history],
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> _Run:
        history = [EpochScore.model_validate(score) for score in plain["history"]]
        best_score = -math.inf if plain["best_score"] is None else plain["best_score"]
        return cls(**{**plain, "history": history, "best_score": best_score})


def train(  # noqa: PLR0913 - what a training is made of
    model: SentenceTransformer,
    spec: TrainSpec,
    pairs: Pairs,
    seed: int,
    hooks: Hooks,
    *,
    checkpoints: Checkpoints | None = None,
    prefix: Checkpoints | None = None,
    guide: Callable[[], SentenceTransformer] | None = None,
    tokens: TokenCache | None = None,
) -> Outcome:
    """Train in place and leave the weights of the best evaluation, the first of equals.

    With checkpoints, go on from the newest whole one. prefix: those that trainings which differ in
    their number of epochs alone leave at their end, and begin from. guide: makes the model that
    guides a GIST loss. tokens: where those of the texts may lie already. Raises DivergedError when
    the loss is no finite number, NothingLearnedError when no step had a gradient, and StoppedError.
    """
    set_seed(seed)
    texts = Tokenised(model, pairs.columns, tokens, pairs.column_sides)
    keep_freed_memory()
    least = spec.loss.traits.least_rows(pairs.shape)
    batches = Batches(texts.columns, spec, seed, least)
    steps = min(batches.steps(spec.epochs), spec.max_steps or sys.maxsize)
    stepper = Stepper(model, spec, pairs, seed=seed, steps=steps, guide=guide, tokens=texts)
    hooks.on_start(partial(_timed, stepper, batches.of(1)[0]))
    training = _Training(stepper, batches, steps, hooks, checkpoints, prefix)
    training.resume()
    while not training.finished():
        training.run_epoch()
    return training.finish()


def _timed(stepper: Stepper, rows: Batch, threads: int) -> float:
    """The seconds of a step with so many threads, which stay set."""
    torch.set_num_threads(threads)
    return stepper.seconds(rows)


class _Training:
    def __init__(  # noqa: PLR0913, PLR0917 - what a training is made of
        self,
        stepper: Stepper,
        batches: Batches,
        steps: int,
        hooks: Hooks,
        checkpoints: Checkpoints | None,
        prefix: Checkpoints | None,
    ) -> None:
        self.stepper, self.spec, self.batches, self.steps = stepper, stepper.spec, batches, steps
        self.hooks, self.checkpoints, self.prefix = hooks, checkpoints, prefix
        self.run = _Run()
        self.best_weights = stepper.weights()
        self.clock = self.saved = time.perf_counter()

    def finished(self) -> bool:
        """Whether every step is done, or nothing has improved for as long as the spec allows."""
        patience = self.spec.early_stopping_patience
        done = self.run.step >= self.steps and self.run.rows == 0
        return done or (patience is not None and self.run.stale >= patience)

    def run_epoch(self) -> None:
        """The rest of the current epoch, from the evaluation on in which it was interrupted."""
        order = self.batches.of(self.run.epoch)
        ended = False
        while not ended:
            if not self._owes_evaluation(order):
                self._step(order[self.run.batch])
            ended = self.run.batch == len(order)
            if self._owes_evaluation(order):
                self._evaluate(self.run.batch / len(order))
            if ended:
                self.run.epoch, self.run.batch = self.run.epoch + 1, 0
            if self.finished():
                return
            self._save_if_due(ended=ended)

    def _owes_evaluation(self, order: Sequence[Batch]) -> bool:
        """Whether the steps since the last evaluation end where there is to be one."""
        run, every = self.run, self.spec.evaluation_steps or math.inf
        ended = run.batch == len(order) or run.step == self.steps
        return run.rows > 0 and (ended or run.step % every == 0)

    def _step(self, rows: list[int]) -> None:
        self.stepper.start()
        run = self.run
        try:
            loss = self.stepper.step(rows)
        except DivergedError as error:
            raise DivergedError(
                f"{error} in epoch {run.epoch}, step {run.step + 1}: try a smaller "
                f"train.learning_rate than {self.spec.learning_rate:g}"
            ) from None
        run.batch, run.step = run.batch + 1, run.step + 1
        run.loss_sum, run.rows = run.loss_sum + loss * len(rows), run.rows + len(rows)
        self.hooks.on_step(Step(run.epoch, run.step, self.steps, loss))

    def _evaluate(self, share: float) -> None:
        run = self.run
        self.stepper.score()
        value, dev = self._scored()
        epoch = run.epoch if share == 1 else round(run.epoch - 1 + share, 4)
        score = EpochScore(
            epoch=epoch, step=run.step, loss=run.loss_sum / run.rows, dev=dev, seconds=self._now()
        )
        run.loss_sum, run.rows = 0.0, 0
        run.history.append(score)
        if value > run.best_score:
            run.best, run.best_score = len(run.history) - 1, value
            self.best_weights = self.stepper.weights()
        self.hooks.on_evaluation(score)

    def _scored(self) -> tuple[float, Metrics]:
        """The model's score. Asked to stop, saves what was before the evaluation, and stops."""
        before = random_state(self.stepper.dropout, self.stepper.device)
        try:
            with stoppable(self.stepper.model, self.hooks.should_stop), self.stepper.autocast():
                return self.hooks.evaluate()
        except StoppedError:
            restore_random_state(*before, self.stepper.dropout, self.stepper.device)
            self._save()
            raise

    def _now(self) -> float:
        return self.run.seconds + time.perf_counter() - self.clock

    def _save_if_due(self, *, ended: bool) -> None:
        stop = self.hooks.should_stop()
        evaluated = self.run.rows == 0
        late = time.perf_counter() - self.saved >= _CHECKPOINT_SECONDS
        if stop or ended or (evaluated and late):
            self._save()
        if stop:
            raise StoppedError

    def _save(self) -> None:
        if self.checkpoints:
            self.checkpoints.save(self.run.step, self._checkpoint())
            self.saved = time.perf_counter()

    def _checkpoint(self) -> Checkpoint:
        state, tensors = self.stepper.state()
        random_plain, random_tensors = random_state(self.stepper.dropout, self.stepper.device)
        run = {**self.run.plain(), "seconds": self._now()}
        kept = {f"best.{name}": value for name, value in self.best_weights.items()}
        if self.run.stale or self.run.rows:  # else the best are the newest
            kept |= {f"weights.{name}": value for name, value in self.stepper.weights().items()}
        return Checkpoint(
            {"run": run, "random": random_plain, **state},
            {**tensors, **random_tensors, **kept},
        )

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one, or from a shorter training's end."""
        found = self.checkpoints.latest() if self.checkpoints else None
        if found is None and self.prefix:
            found = self.prefix.latest(at_most=self.steps)
        if found is None:
            return
        self.run = _Run.from_plain(found.state["run"])
        self.best_weights = _part(found.tensors, "best.")
        self.stepper.set_weights(_part(found.tensors, "weights.") or self.best_weights)
        self.stepper.restore(found.state, found.tensors)
        restore_random_state(
            found.state["random"], found.tensors, self.stepper.dropout, self.stepper.device
        )
        self.hooks.on_resume(self.run.step)
        for score in self.run.history:
            self.hooks.on_evaluation(score)

    def finish(self) -> Outcome:
        """Leave the best weights in the model, and the end for a longer training to begin from."""
        if self.prefix:
            self.prefix.save(self.run.step, self._checkpoint())
        run = self.run
        self.stepper.check_learned([score.loss for score in run.history])
        self.stepper.set_weights(self.best_weights)
        self.stepper.finish()
        seconds = self._now()
        return Outcome(run.history[run.best], tuple(run.history), seconds, seconds - run.seconds)


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
