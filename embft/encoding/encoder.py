"""Texts -> tokens -> embeddings, with no work on padding.

Training and evaluation both run a model through `Encoder`. Where the architecture allows it, a
batch's texts are laid end to end, so that every layer computes real tokens only, and attention
alone sees them apart (`packing.py`). Elsewhere the shorter half of a batch runs apart from the
longer one. Neither changes which texts share a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from embft.data.texts import different, text_ids
from embft.encoding.linear import fast_linear
from embft.encoding.packing import can_pack, pack, packed_attention
from embft.encoding.prompts import preprocess
from embft.encoding.token_cache import TokenCache, Tokens, collected
from embft.errors import ModelError
from embft.system.allocator import release_memory

_CHUNK = 512  # texts tokenised at once
_TOKENS = 2048  # tokens embedded at once outside of training


class Tokenised:
    """Columns of texts as tokens, each different text tokenised once, by the model's own
    preprocessing. A text is known by its number among the different ones.

    All texts' tokens lie end to end, 4 bytes a token and feature: a tensor for each text and
    feature would take kilobytes a text, gigabytes for a million pairs.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        columns: Sequence[Sequence[str]],
        cache: TokenCache | None = None,
    ) -> None:
        make = partial(_tokens, model, columns)
        self.tokens = cache.tokens([len(each) for each in columns], make) if cache else make()
        _check_rows(model, self.tokens.used)
        self._ends = self.tokens.ends.numpy()
        self.pad_token = getattr(model.tokenizer, "pad_token_id", None) or 0
        self.left = getattr(model.tokenizer, "padding_side", "right") == "left"

    @property
    def columns(self) -> list[npt.NDArray[np.int32]]:
        """For each column, the index of the text in each of its rows, shape (rows,)."""
        return [column.numpy() for column in self.tokens.columns]

    def lengths(self, texts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """The number of tokens of each text."""
        found: npt.NDArray[np.int64] = self._ends[texts + 1] - self._ends[texts]
        return found

    def token_ids(self) -> torch.Tensor:
        """Every token id that occurs, padding included, ascending, shape (k,)."""
        found: torch.Tensor = torch.cat([self.tokens.used, torch.tensor([self.pad_token])]).unique()
        return found

    def features(self, text: int) -> dict[str, Any]:
        """The model's input for this text alone: tensors of shape (1, tokens)."""
        place = slice(int(self._ends[text]), int(self._ends[text + 1]))
        flat = self.tokens.flat.items()
        found = {name: value[place].to(dtype)[None] for name, (value, dtype) in flat}
        return {**found, **self.tokens.constant}

    def end_to_end(self, texts: npt.NDArray[np.integer]) -> dict[str, torch.Tensor]:
        """These texts' tokens, those of each after those of the one before it: shape (tokens,)."""
        lengths = self.lengths(texts)
        before = lengths.cumsum() - lengths
        place = np.repeat(self._ends[texts] - before, lengths) + np.arange(lengths.sum())
        where = torch.from_numpy(place)
        return {name: value[where].to(dtype) for name, (value, dtype) in self.tokens.flat.items()}

    def padded(self, texts: Sequence[int], device: torch.device | str) -> dict[str, Any]:
        """The model's input for these texts, padded to the longest, as its own tokenizer pads."""
        found = [self.features(text) for text in texts]
        return {
            name: self._joined([f[name][0] for f in found], name).to(device)
            if isinstance(value, torch.Tensor)
            else value
            for name, value in found[0].items()
        }

    def _joined(self, rows: list[torch.Tensor], name: str) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(
            rows,
            batch_first=True,
            padding_value=self.pad_token if name == "input_ids" else 0,
            padding_side="left" if self.left else "right",
        )


def _tokens(model: SentenceTransformer, columns: Sequence[Sequence[str]]) -> Tokens:
    ids = text_ids(*columns)
    release_memory()
    batches = (
        preprocess(model, texts[start : start + _CHUNK])
        for texts in different(columns, ids)
        for start in range(0, len(texts), _CHUNK)
    )
    return collected(batches, [torch.from_numpy(column.astype(np.int32)) for column in ids])


def _check_rows(model: SentenceTransformer, used: torch.Tensor) -> None:
    """Raise ModelError for a token of the texts for which the model has no embedding."""
    transformer = model.transformers_model
    table = transformer.get_input_embeddings() if transformer is not None else None
    rows = getattr(table, "num_embeddings", None)
    beyond = used[used >= rows] if rows is not None else used[:0]
    if len(beyond):
        token = int(beyond[0])
        raise ModelError(
            f"the texts have the token {model.tokenizer.decode([token])!r} (number {token}), and "
            f"this base has embeddings for {rows} tokens: tokens were added to its tokenizer "
            "alone. Resize the model to its tokenizer (resize_token_embeddings) and save it again"
        )


class Encoder:
    """A model's forward pass over tokenised texts. Gradients flow unless torch's are off."""

    def __init__(self, model: SentenceTransformer, tokens: Tokenised) -> None:
        self.model, self.tokens = model, tokens
        self.packs = can_pack(model)

    def embed(self, texts: npt.ArrayLike) -> torch.Tensor:
        """Embeddings in the order of the texts, shape (n, width)."""
        numbers = np.asarray(texts)
        by_length = np.argsort(self.tokens.lengths(numbers), kind="stable")
        ordered = numbers[by_length]
        found = self._packed(ordered) if self.packs else self._halves(ordered.tolist())
        return found[torch.from_numpy(np.argsort(by_length)).to(found.device)]

    def _packed(self, texts: npt.NDArray[np.int64]) -> torch.Tensor:
        flat, lengths = self.tokens.end_to_end(texts), self.tokens.lengths(texts)
        packed = pack(flat, lengths, self.model.device, self.tokens.pad_token)
        with packed_attention(self.model, packed) as batch:
            features = {**self.tokens.tokens.constant, **batch}  # a prompt's length among them
            return self._embeddings(features)[: len(texts)]

    def _halves(self, texts: Sequence[int]) -> torch.Tensor:
        half = len(texts) // 2
        parts = [
            self._embeddings(self.tokens.padded(part, self.model.device))
            for part in (texts[:half], texts[half:])
            if part
        ]
        return torch.cat(parts)

    def _embeddings(self, features: dict[str, Any]) -> torch.Tensor:
        embeddings: torch.Tensor = self.model(features)["sentence_embedding"]
        return embeddings


@torch.no_grad()
def encode(model: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Embeddings as `model.encode` gives them, shape (n, width), in the order of the texts."""
    if not can_pack(model) or not texts:
        return _by_the_library(model, texts)
    model.eval()
    encoder = Encoder(model, Tokenised(model, [texts]))
    numbers = encoder.tokens.columns[0]
    lengths = encoder.tokens.lengths(numbers)
    order = np.argsort(lengths, kind="stable")
    with fast_linear(model):
        parts = [
            encoder.embed(numbers[rows]).float().cpu().numpy()
            for rows in _by_tokens(order.tolist(), lengths.tolist())
        ]
    embeddings = np.concatenate(parts)
    return embeddings[np.argsort(order)]


def _by_the_library(model: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    try:
        found = model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
    except IndexError:
        Tokenised(model, [texts])  # which says what has no embedding, if that is why
        raise
    return np.asarray(found, dtype=np.float32)


def _by_tokens(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows in this order, in parts of about as many tokens each."""
    part, tokens = list[int](), 0
    for row in order:
        if part and tokens + lengths[row] > _TOKENS:
            yield part
            part, tokens = [], 0
        part.append(row)
        tokens += lengths[row]
    yield part
