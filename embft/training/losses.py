"""The losses of sentence-transformers by the spec's names, and their value for a batch's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses.matryoshka import shrink

from embft.encoding.encoder import Encoder
from embft.errors import EmbftError
from embft.models.supported import dims_reason
from embft.spec import LossSpec
from embft.spec.losses import CACHED_PART

_CLASSES: dict[str, type[torch.nn.Module]] = {
    "cosine_similarity": losses.CosineSimilarityLoss,
    "cosent": losses.CoSENTLoss,
    "angle": losses.AnglELoss,
    "contrastive": losses.ContrastiveLoss,
    "online_contrastive": losses.OnlineContrastiveLoss,
    "triplet": losses.TripletLoss,
    "multiple_negatives_ranking": losses.MultipleNegativesRankingLoss,
    "multiple_negatives_symmetric_ranking": losses.MultipleNegativesRankingLoss,
    "cached_multiple_negatives_ranking": losses.CachedMultipleNegativesRankingLoss,
    "cached_multiple_negatives_symmetric_ranking": losses.CachedMultipleNegativesRankingLoss,
    "gist_embed": losses.GISTEmbedLoss,
    "cached_gist_embed": losses.CachedGISTEmbedLoss,
    "mega_batch_margin": losses.MegaBatchMarginLoss,
}
_SYMMETRIC = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
_DISTANCES = {"cosine": "COSINE_DISTANCE", "euclidean": "EUCLIDEAN", "manhattan": "MANHATTAN"}
_TRIPLET_DISTANCES = {**_DISTANCES, "cosine": "COSINE"}

Columns = Sequence[Sequence[int]]


class BatchLoss(Protocol):
    """The loss of a batch: columns of n texts' numbers each, labels of shape (n,) or None."""

    def __call__(self, columns: Columns, labels: torch.Tensor | None) -> torch.Tensor:
        """A scalar."""


def build_loss(
    model: SentenceTransformer,
    encoder: Encoder,
    spec: LossSpec,
    *,
    micro_batch_size: int | None = None,
    guide: Callable[[], SentenceTransformer] | None = None,
) -> BatchLoss:
    """The loss that a spec names. guide: makes the model that guides GIST losses.

    Raises EmbftError when its dimensions exceed the model's.
    """
    width = model.get_embedding_dimension() or 0
    if spec.matryoshka_dims and max(spec.matryoshka_dims) > width:
        raise EmbftError(dims_reason(max(spec.matryoshka_dims), width))
    arguments = _arguments(spec)
    if "gist" in spec.name and guide is not None:
        arguments["guide"] = guide()
    if spec.traits.cached:
        arguments["mini_batch_size"] = micro_batch_size or CACHED_PART
    loss = _CLASSES[spec.name](model, **arguments)
    if spec.name == "triplet":
        loss = _EachNegative(loss)
    if hasattr(loss, "compute_loss_from_embeddings"):
        return FromEmbeddings(encoder, loss, spec.matryoshka_dims)
    if spec.matryoshka_dims:
        loss = losses.MatryoshkaLoss(model, loss, _dims(model, spec.matryoshka_dims))
    return _FromFeatures(encoder, loss)


def _arguments(spec: LossSpec) -> dict[str, Any]:
    """The spec's parameters under the names that the library's class has for them."""
    found: dict[str, Any] = dict(_SYMMETRIC) if "symmetric" in spec.name else {}
    if spec.name == "mega_batch_margin":
        found["use_mini_batched_version"] = False
    if spec.temperature is not None:
        gist = "gist" in spec.name
        found |= {"temperature": spec.temperature} if gist else {"scale": 1.0 / spec.temperature}
    if spec.margin is not None:
        found["triplet_margin" if spec.name == "triplet" else "margin"] = spec.margin
    if spec.distance is not None and spec.name == "triplet":
        name = _TRIPLET_DISTANCES[spec.distance]
        found["distance_metric"] = getattr(losses.TripletDistanceMetric, name)
    elif spec.distance is not None:
        found["distance_metric"] = getattr(losses.SiameseDistanceMetric, _DISTANCES[spec.distance])
    return found


def _dims(model: SentenceTransformer, dims: Sequence[int]) -> list[int]:
    return sorted({*dims, int(model.get_embedding_dimension() or max(dims))}, reverse=True)


class _EachNegative(torch.nn.Module):
    """A loss of triplets for rows of several negatives: its mean over them."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss

    def compute_loss_from_embeddings(
        self, embeddings: list[torch.Tensor], labels: torch.Tensor | None
    ) -> torch.Tensor:
        """A scalar, of anchors, positives and columns of negatives."""
        anchor, positive, *negatives = embeddings
        values = [
            self.loss.compute_loss_from_embeddings([anchor, positive, negative], labels)
            for negative in negatives
        ]
        return torch.stack(values).mean()


class FromEmbeddings:
    """A loss that needs embeddings alone: all columns go through the model together."""

    def __init__(self, encoder: Encoder, loss: Any, dims: Sequence[int] | None) -> None:
        self.encoder, self.loss = encoder, loss
        self.dims = _dims(encoder.model, dims) if dims else None

    def __call__(self, columns: Columns, labels: torch.Tensor | None) -> torch.Tensor:
        """A scalar."""
        embeddings = self.encoder.embed([text for column in columns for text in column])
        parts = list(embeddings.chunk(len(columns)))
        if self.dims is None:
            return self._value(parts, labels)
        return torch.stack(
            [self._value([shrink(part, dim) for part in parts], labels) for dim in self.dims]
        ).sum()

    def _value(self, parts: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        return _total(self.loss.compute_loss_from_embeddings(parts, labels))


class _FromFeatures:
    """A loss that runs the model itself, column by column."""

    def __init__(self, encoder: Encoder, loss: Any) -> None:
        self.encoder, self.loss = encoder, loss

    def __call__(self, columns: Columns, labels: torch.Tensor | None) -> torch.Tensor:
        device = self.encoder.model.device
        features = [self.encoder.tokens.padded(column, device) for column in columns]
        return _total(self.loss(features, labels))


def _total(value: torch.Tensor | Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A loss of several terms gives each under its name; what is trained on is their sum."""
    if isinstance(value, torch.Tensor):
        return value
    return torch.stack(list(value.values())).sum()
