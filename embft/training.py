"""The training loop: a model and pairs in, the same model with its best epoch's weights out.

Knows no metrics (a callback scores an epoch), no files and no Ray. Why the loop is ours and not the
stock trainer's: docs/decisions/0003-training-loop.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from transformers import get_scheduler, set_seed

from embft.data.pairs import Pairs
from embft.dropout import use_bulk_dropout
from embft.errors import EmbftError
from embft.spec import TrainSpec

LOSSES: dict[str, Callable[[SentenceTransformer], Any]] = {
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
    if model.device.type == "cpu":
        use_bulk_dropout(model, seed)
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
        self.optimizer = torch.optim.AdamW(
            _decay_groups(model, spec), lr=spec.learning_rate, fused=True
        )
        self.steps_per_epoch = math.ceil(len(pairs) / spec.batch_size)
        self.steps = self.steps_per_epoch * spec.epochs
        self.schedule = get_scheduler(
            _SCHEDULES[spec.schedule],
            self.optimizer,
            num_warmup_steps=spec.warmup_steps,
            num_training_steps=self.steps,
        )
        self.texts = Tokenised(model, [*pairs.text_1, *pairs.text_2])
        self.count = len(pairs)
        self.labels = torch.tensor(pairs.label, dtype=torch.float32)

    def autocast(self) -> AbstractContextManager[Any]:
        if resolve_precision(self.spec.precision, self.model.device.type) == "bf16":
            return torch.autocast(self.model.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def batches(self, epoch: int, seed: int) -> Iterator[torch.Tensor]:
        """The rows of the epoch's batches. Their order depends on seed and epoch alone, so that a
        resumed trial sees the same ones.
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(self.count, generator=generator)
        yield from order.split(self.spec.batch_size)

    def loss_of(self, rows: torch.Tensor) -> torch.Tensor:
        """The loss of these pairs."""
        chosen = rows.tolist()
        with self.autocast():
            first, second = self._embed([*chosen, *(i + self.count for i in chosen)]).chunk(2)
            loss: torch.Tensor = self.loss.compute_loss_from_embeddings(
                [first, second], self.labels[rows].to(self.device)
            )
        return loss

    def _embed(self, texts: Sequence[int]) -> torch.Tensor:
        """Embeddings of a batch's texts, in their order.

        Both columns go through the model together, the shorter half of the texts apart from the
        longer one: as many operations as column by column, on far less padding. Which pairs share
        a batch does not change, so neither do the gradients.
        """
        by_length = sorted(range(len(texts)), key=lambda i: self.texts.length(texts[i]))
        half = len(by_length) // 2
        parts = [
            self.model(self.texts.batch([texts[i] for i in part], self.device))
            for part in (by_length[:half], by_length[half:])
        ]
        embeddings = torch.cat([part["sentence_embedding"] for part in parts])
        return embeddings[torch.tensor(by_length, device=embeddings.device).argsort()]


class Tokenised:
    """Texts as tokens, tokenised once: batches are put together from them without the tokenizer."""

    def __init__(self, model: SentenceTransformer, texts: Sequence[str]) -> None:
        self.features = {text: model.preprocess([text]) for text in dict.fromkeys(texts)}
        self.texts = texts
        self.pad_token = getattr(model.tokenizer, "pad_token_id", None) or 0
        self.left = getattr(model.tokenizer, "padding_side", "right") == "left"

    def length(self, row: int) -> int:
        """The number of tokens of a text."""
        return int(self.features[self.texts[row]]["input_ids"].shape[1])

    def batch(self, rows: Sequence[int], device: str) -> dict[str, Any]:
        """The model's input for these texts, padded to the longest, as its own tokenizer pads."""
        found = [self.features[self.texts[i]] for i in rows]
        return {
            name: self._padded([f[name][0] for f in found], name).to(device)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in found[0].items()
        }

    def _padded(self, rows: list[torch.Tensor], name: str) -> torch.Tensor:
        fill = self.pad_token if name == "input_ids" else 0
        return torch.nn.utils.rnn.pad_sequence(
            rows,
            batch_first=True,
            padding_value=fill,
            padding_side="left" if self.left else "right",
        )


def _run_epoch(loop: _Loop, epoch: int, seed: int, on_step: Callable[[Step], None]) -> float:
    """One pass over the data. Returns the mean loss of its pairs."""
    loop.model.train()
    total = 0.0
    first = (epoch - 1) * loop.steps_per_epoch
    for step, rows in enumerate(loop.batches(epoch, seed), first + 1):
        loss = loop.loss_of(rows)
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
        total += value * len(rows)
        on_step(Step(epoch, step, loop.steps, value))
    return total / loop.count


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
