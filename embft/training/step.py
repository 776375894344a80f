"""One step of the optimizer: a batch's rows in, changed weights and the loss out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import get_scheduler

from embft.data.pairs import Pairs
from embft.encoding.encoder import Encoder, Tokenised
from embft.errors import EmbftError
from embft.spec import TrainSpec
from embft.spec.shape import Shape
from embft.training.batches import Batch, sliced
from embft.training.dropout import use_bulk_dropout
from embft.training.embedding_rows import UsedRows, restore_table, train_used_rows
from embft.training.kernels.entry import kernels
from embft.training.losses import FromEmbeddings, build_loss
from embft.training.optimizer import clipped_adamw
from embft.training.precision import (
    FrozenWeights,
    autocast,
    autocast_forward,
    resolve_precision,
)
from embft.training.random_state import random_state, restore_random_state

if TYPE_CHECKING:
    from embft.training.kernels.fuse import Fused

_SCHEDULES = {"linear": "linear", "constant": "constant_with_warmup", "cosine": "cosine"}


class DivergedError(EmbftError):
    """The training loss, or the model's embeddings, became infinite or NaN."""


class NothingLearnedError(EmbftError):
    """A training has left the model as it was."""


class Stepper:
    """A model being trained: its loss, optimizer and schedule.

    Between `start` and `score` the model is set up to train fast; `finish` leaves it as it was
    given, but trained.
    """

    def __init__(  # noqa: PLR0913 - what a training is made of
        self,
        model: SentenceTransformer,
        spec: TrainSpec,
        pairs: Pairs,
        *,
        seed: int,
        steps: int,
        guide: Callable[[], SentenceTransformer] | None = None,
        tokens: Tokenised | None = None,
    ) -> None:
        self.model, self.spec = model, spec
        self.least = spec.loss.traits.least_rows(pairs.shape)
        self.device = model.device.type
        config: Any = getattr(model.transformers_model, "config", None)
        architecture = getattr(config, "model_type", "")
        self.precision = resolve_precision(spec.precision, self.device, architecture)
        self.labels = _labels(pairs, self.model.device)
        self.encoder = Encoder(
            model,
            tokens or Tokenised(model, pairs.columns, sides=pairs.column_sides),
        )
        self.columns = self.encoder.tokens.columns
        self.dropout = self._cheap_dropout(seed)
        self.fused = self._fused()
        self.cast = _float32_adapter(model) if spec.method == "lora" else []
        self.frozen = FrozenWeights(model, self.precision)
        self.rows = self._used_rows()
        self.ready = False
        micro = spec.micro_batch_size
        self.loss = build_loss(model, self.encoder, spec.loss, micro_batch_size=micro, guide=guide)
        # Gradients that are sums of several passes' stay in float32.
        once = isinstance(self.loss, FromEmbeddings) and micro is None
        self.trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        compiled = self.device == "cpu" and self.precision != "fp16"
        self.optimizer = clipped_adamw([*self.trainable.values()], spec, compiled=compiled)
        takes_narrow = once and self.precision == "bf16" and self.optimizer.compiled is not None
        self.narrow = torch.bfloat16 if takes_narrow else None
        if self.fused is not None:
            self.optimizer.halves = self.fused.halves
        if self.precision == "fp16":
            _refuse_float16(self.trainable.values())
        self.scaler = torch.amp.GradScaler(self.device, enabled=self.precision == "fp16")
        self.schedule = get_scheduler(
            _SCHEDULES[spec.schedule],
            self.optimizer,
            num_warmup_steps=spec.warmup_steps,
            num_training_steps=steps,
        )

    def _cheap_dropout(self, seed: int) -> np.random.Generator | None:
        """Cached losses run the model twice and replay torch's own random state only."""
        if self.device != "cpu" or self.spec.loss.traits.cached:
            return None
        return use_bulk_dropout(self.model, seed)

    def _fused(self) -> Fused | None:
        if self.dropout is None or self.precision == "fp16":
            return None
        loops = kernels()
        return loops.fuse(self.model, self.dropout) if loops else None

    def _used_rows(self) -> UsedRows | None:
        """Weight decay moves every row, and a GIST guide reads the same features."""
        transformer = self.model.transformers_model
        if self.spec.weight_decay or transformer is None:
            return None
        return train_used_rows(transformer, self.encoder.tokens.token_ids())

    def start(self) -> None:
        """Make ready to train; nothing where that is so already."""
        if self.ready:
            return
        self.model.train()
        self.frozen.half()
        if self.fused is not None:
            self.fused.start(self.narrow)
        self.ready = True

    def score(self) -> None:
        """Make ready to be scored: every weight in float32 and in its place."""
        self.ready = False
        if self.fused is not None:
            self.fused.stop()
        self.frozen.full()
        self.model.eval()

    def finish(self) -> None:
        """Leave the model as it was given, but trained."""
        self.score()
        if self.rows is not None and self.model.transformers_model is not None:
            restore_table(self.model.transformers_model, self.rows)
        for parameter, dtype in self.cast:
            parameter.data = parameter.data.to(dtype)

    def seconds(self, rows: Batch) -> float:
        """How long a batch takes; of one in parts the first. Changes no weight and no random state
        that a training draws from.
        """
        before = random_state(self.dropout, self.device)
        self.start()
        began = time.perf_counter()
        with self.autocast(), self._computing():
            loss = self._loss(self._parts(rows)[0])
        with self._replayed():
            self.scaler.scale(loss).backward()
        found = time.perf_counter() - began
        self.optimizer.zero_grad(set_to_none=True)
        self.score()  # a training that goes on sets other weights
        restore_random_state(*before, self.dropout, self.device)
        return found

    def step(self, rows: Batch) -> float:
        """Change the weights by one batch. Returns its loss; raises DivergedError."""
        total = 0.0
        for part in self._parts(rows):
            with self.autocast(), self._computing():
                loss = self._loss(part) * (len(part) / len(rows))
            value = loss.item()
            if not math.isfinite(value):
                raise DivergedError(f"the training loss became {value}")
            with self._replayed():
                self.scaler.scale(loss).backward()
            total += value
        self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def autocast(self) -> AbstractContextManager[None]:
        """In the block, products are computed in the training's precision."""
        return autocast(self.precision, self.device)

    def _computing(self) -> AbstractContextManager[None]:
        return nullcontext() if self.fused is None else self.fused.computing()

    def _replayed(self) -> AbstractContextManager[None]:
        """A cached loss runs the model anew while it goes backward."""
        if not self.spec.loss.traits.cached:
            return nullcontext()
        return autocast_forward(self.model, self.precision, self.device)

    def _parts(self, rows: Batch) -> list[Batch]:
        """The parts of a batch that are in memory at once; a cached loss takes its own."""
        size = self.spec.micro_batch_size
        if size is None or self.spec.loss.traits.cached:
            return [rows]
        return [rows[part] for part in sliced(len(rows), size, self.least)]

    def _loss(self, rows: Batch) -> torch.Tensor:
        columns = [column[rows].tolist() for column in self.columns]
        return self.loss(columns, None if self.labels is None else self.labels[rows])

    def check_learned(self, losses: Sequence[float]) -> None:
        """Raise NothingLearnedError where no step had a gradient. losses: of each evaluation.

        The optimizer remembers the gradients' squares: they are zero only if all of them were.
        """
        moments = [state.get("exp_avg_sq") for state in self.optimizer.state.values()]
        if any(moment is not None and bool(moment.any()) for moment in moments):
            return
        if self.precision == "fp16" and not any(moment is not None for moment in moments):
            raise NothingLearnedError(
                "every step was skipped, since its gradients were too large for fp16: set "
                "train.precision to bf16 or fp32"
            )
        value = f"{losses[-1]:g}" if len(set(losses)) == 1 else f"{losses[0]:g} to {losses[-1]:g}"
        raise NothingLearnedError(
            f"the gradient was zero at every step, so that nothing was learned: train.loss "
            f"({self.spec.loss.name}) was {value}. Either no batch had anything to compare "
            f"(train.batch_size is {self.spec.batch_size}), or the base model meets the loss as it "
            "is: look at its margin, at the labels, and at what the texts of a row have in common"
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of what training changes; for an adapter that is small."""
        return {name: p.detach().cpu().clone() for name, p in self.trainable.items()}

    @torch.no_grad()
    def set_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Set the weights to what `weights` returned."""
        for name, parameter in self.trainable.items():
            parameter.copy_(weights[name])

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Where optimizer and schedule are: plain JSON, and tensors by name."""
        moments = {
            f"optimizer.{name}.{kind}": value.detach().cpu()
            for name, parameter in self.trainable.items()
            for kind, value in self.optimizer.state.get(parameter, {}).items()
        }
        schedule = {
            key: value
            for key, value in self.schedule.state_dict().items()
            if key not in {"lr_lambdas", "optimizer"}
        }
        return {"schedule": schedule, "scaler": self.scaler.state_dict()}, moments

    def restore(self, state: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        """Continue from the state that `state` returned."""
        for name, parameter in self.trainable.items():
            prefix = f"optimizer.{name}."
            found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            self.optimizer.state[parameter] = {
                kind: value.to(parameter.device) for kind, value in found.items()
            }
        self.schedule.load_state_dict({"lr_lambdas": [None], **state["schedule"]})
        rates = self.schedule.get_last_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.scaler.load_state_dict(state["scaler"])


def _float32_adapter(model: SentenceTransformer) -> list[tuple[torch.nn.Parameter, torch.dtype]]:
    """Cast an adapter on a 16-bit base to float32: steps are smaller than 16 bits can tell apart.

    Returns what it was, for after the training: loaders give an adapter its base's type.
    """
    cast = [(p, p.dtype) for p in model.parameters() if p.requires_grad and p.itemsize == 2]
    for parameter, _ in cast:
        parameter.data = parameter.data.float()
    return cast


def _refuse_float16(trainable: Iterable[torch.nn.Parameter]) -> None:
    if any(parameter.dtype == torch.float16 for parameter in trainable):
        raise EmbftError(
            "train.precision is fp16, but this base's weights are saved as float16, and in fp16 "
            "weights are trained in float32: set model.dtype to float32, or train.method to lora"
        )


def _labels(pairs: Pairs, device: torch.device) -> torch.Tensor | None:
    if pairs.shape != Shape.LABELLED:
        return None
    return torch.tensor(pairs.label, dtype=torch.float32, device=device)
