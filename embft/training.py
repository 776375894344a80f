"""The training loop: a model and pairs in, the same model with its best epoch's weights out.

Knows no metrics (a callback scores an epoch), no files and no Ray. Why the loop is ours and not the
stock trainer's: docs/decisions/0003-training-loop.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from transformers import get_scheduler, set_seed

from embft.data.pairs import Pairs
from embft.errors import EmbftError
from embft.spec import TrainSpec

LOSSES: dict[str, Callable[[SentenceTransformer], torch.nn.Module]] = {
    "cosine_similarity": losses.CosineSimilarityLoss,
}
_SCHEDULES = {"linear": "linear", "constant": "constant_with_warmup", "cosine": "cosine"}


class DivergedError(EmbftError):
    """The training loss became infinite or NaN."""


@dataclass(frozen=True)
class Step:
    """Where training is: epochs count from 1, steps from 1 to `steps` over all epochs."""

    epoch: int
    step: int
    steps: int
    loss: float


def resolve_precision(asked: str, device: str) -> str:
    """`fp32` or `bf16`. `auto` is bf16 where the processor multiplies it natively."""
    if asked != "auto":
        return asked
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def train(  # noqa: PLR0913 - four things go in, two are told back
    model: SentenceTransformer,
    spec: TrainSpec,
    pairs: Pairs,
    seed: int,
    *,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[int, float], float],
) -> int:
    """Train in place and leave the weights of the best epoch. Returns that epoch, from 1.

    on_epoch(epoch, mean loss) scores the model as it stands; larger is better, the first of equals
    wins. Raises DivergedError when the loss is no finite number.
    """
    set_seed(seed)
    loop = _Loop(model, spec, pairs)
    best_epoch, best_score, best_weights = 0, -math.inf, _weights(model)
    for epoch in range(1, spec.epochs + 1):
        mean_loss = _run_epoch(loop, epoch, seed, on_step)
        model.eval()
        score = on_epoch(epoch, mean_loss)
        if score > best_score:
            best_epoch, best_score, best_weights = epoch, score, _weights(model)
    _restore(model, best_weights)
    model.eval()
    return best_epoch


class _Loop:
    """Optimizer, schedule and tokenised texts of one training."""

    def __init__(self, model: SentenceTransformer, spec: TrainSpec, pairs: Pairs) -> None:
        self.model = model
        self.spec = spec
        self.device = str(model.device)
        self.loss = LOSSES[spec.loss](model)
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(_decay_groups(model, spec), lr=spec.learning_rate)
        self.steps_per_epoch = math.ceil(len(pairs) / spec.batch_size)
        self.steps = self.steps_per_epoch * spec.epochs
        self.schedule = get_scheduler(
            _SCHEDULES[spec.schedule],
            self.optimizer,
            num_warmup_steps=spec.warmup_steps,
            num_training_steps=self.steps,
        )
        self.pairs = pairs
        self.labels = torch.tensor(pairs.label, dtype=torch.float32)

    def autocast(self) -> AbstractContextManager[Any]:
        if resolve_precision(self.spec.precision, self.model.device.type) == "bf16":
            return torch.autocast(self.model.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def batches(self, epoch: int, seed: int) -> Iterator[tuple[list[dict[str, Any]], torch.Tensor]]:
        """The epoch's batches. Their order depends on seed and epoch alone, so that a resumed
        trial sees the same ones.
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.pairs), generator=generator)
        for rows in order.split(self.spec.batch_size):
            chosen = rows.tolist()
            columns = (self.pairs.text_1, self.pairs.text_2)
            features = [self._features([column[i] for i in chosen]) for column in columns]
            yield features, self.labels[rows].to(self.device)

    def _features(self, texts: list[str]) -> dict[str, Any]:
        found = self.model.preprocess(texts)
        return {
            name: value.to(self.device) if isinstance(value, torch.Tensor) else value
            for name, value in found.items()
        }


def _run_epoch(loop: _Loop, epoch: int, seed: int, on_step: Callable[[Step], None]) -> float:
    """One pass over the data. Returns the mean loss of its pairs."""
    loop.model.train()
    total = 0.0
    first = (epoch - 1) * loop.steps_per_epoch
    for step, (features, labels) in enumerate(loop.batches(epoch, seed), first + 1):
        with loop.autocast():
            loss = loop.loss(features, labels)
        value = loss.item()
        if not math.isfinite(value):
            raise DivergedError(
                f"the training loss became {value} in epoch {epoch}, step {step}: try a smaller "
                f"train.learning_rate than {loop.spec.learning_rate:g}"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(loop.trainable, loop.spec.max_grad_norm)
        loop.optimizer.step()
        loop.schedule.step()
        loop.optimizer.zero_grad(set_to_none=True)
        total += value * len(labels)
        on_step(Step(epoch, step, loop.steps, value))
    return total / len(loop.pairs)


def _decay_groups(model: SentenceTransformer, spec: TrainSpec) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms do not (Loshchilov and Hutter, 2019, as commonly used)."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def _weights(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    """A copy of what training changes; for an adapter that is small."""
    return {n: p.detach().cpu().clone() for n, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def _restore(model: SentenceTransformer, weights: dict[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in weights:
            parameter.copy_(weights[name])
