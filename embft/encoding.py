"""Texts -> tokens -> embeddings, with no work on padding.

Training and evaluation both run a model through `Encoder`. Where the architecture allows it, a
batch's texts are laid end to end, so that every layer computes real tokens only, and attention
alone sees them apart (`packing.py`). Elsewhere the shorter half of a batch runs apart from the
longer one. Neither changes which texts share a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from embft.linear import fast_linear
from embft.packing import can_pack, pack, packed_attention
from embft.token_cache import TokenCache, Tokens

Features = Mapping[str, Any]

_CHUNK = 512  # texts tokenised at once
_TOKENS = 4096  # tokens embedded at once outside of training


class Tokenised:
    """Distinct texts as tokens, each tokenised once, by the model's own preprocessing.

    All texts' tokens lie end to end, 4 bytes a token and feature: a tensor for each text and
    feature would take kilobytes a text, gigabytes for a million pairs.
    """

    def __init__(
        self, model: SentenceTransformer, texts: Sequence[str], cache: TokenCache | None = None
    ) -> None:
        distinct = list(dict.fromkeys(texts))
        self._row = {text: row for row, text in enumerate(distinct)}
        make = partial(_tokens, model, distinct)
        self.tokens = cache.tokens(len(distinct), make) if cache else make()
        self._ends = self.tokens.ends.numpy()
        self.pad_token = getattr(model.tokenizer, "pad_token_id", None) or 0
        self.left = getattr(model.tokenizer, "padding_side", "right") == "left"

    def length(self, text: str) -> int:
        """The number of tokens of a text."""
        row = self._row[text]
        return int(self._ends[row + 1] - self._ends[row])

    def token_ids(self) -> torch.Tensor:
        """Every token id that occurs, padding included, ascending, shape (k,)."""
        padding = torch.tensor([self.pad_token])
        if "input_ids" not in self.tokens.flat:
            return padding
        ids, _ = self.tokens.flat["input_ids"]
        found: torch.Tensor = torch.cat([ids.unique(), padding]).unique()
        return found

    def features(self, text: str) -> dict[str, Any]:
        """The model's input for this text alone: tensors of shape (1, tokens)."""
        row = self._row[text]
        place = slice(int(self._ends[row]), int(self._ends[row + 1]))
        flat = self.tokens.flat.items()
        found = {name: value[place].to(dtype)[None] for name, (value, dtype) in flat}
        return {**found, **self.tokens.constant}

    def padded(self, texts: Sequence[str], device: torch.device | str) -> dict[str, Any]:
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


def _tokens(model: SentenceTransformer, texts: list[str]) -> Tokens:
    chunks = [
        _end_to_end(model.preprocess(texts[i : i + _CHUNK])) for i in range(0, len(texts), _CHUNK)
    ]
    counts = torch.tensor([0, *(count for counts, _ in chunks for count in counts)])
    first = chunks[0][1] if chunks else {}
    flat = {
        name: (_compact([features[name] for _, features in chunks]), value.dtype)
        for name, value in first.items()
        if isinstance(value, torch.Tensor)
    }
    constant = {name: value for name, value in first.items() if name not in flat}
    return Tokens(counts.cumsum(0), flat, constant)


def _end_to_end(features: Features) -> tuple[list[int], Features]:
    """The number of tokens of each text of a batch, and its features without padding, joined."""
    mask = features["attention_mask"].bool()
    return mask.sum(dim=1).tolist(), {
        name: value[mask] if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }


def _compact(parts: list[torch.Tensor]) -> torch.Tensor:
    """Parts of a feature as one tensor, in 32 bits; one number where it is the same everywhere."""
    flat = torch.cat([part.int() if part.dtype == torch.long else part for part in parts])
    if flat.ndim == 1 and len(flat) and bool((flat == flat[0]).all()):
        return flat[:1].clone().expand(len(flat))
    return flat


class Encoder:
    """A model's forward pass over tokenised texts. Gradients flow unless torch's are off."""

    def __init__(
        self, model: SentenceTransformer, texts: Sequence[str], cache: TokenCache | None = None
    ) -> None:
        self.model = model
        self.tokens = Tokenised(model, texts, cache)
        self.packs = can_pack(model)

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings in the order of the texts, shape (n, width)."""
        by_length = sorted(range(len(texts)), key=lambda i: self.tokens.length(texts[i]))
        ordered = [texts[i] for i in by_length]
        found = self._packed(ordered) if self.packs else self._halves(ordered)
        return found[torch.tensor(by_length, device=found.device).argsort()]

    def _packed(self, texts: Sequence[str]) -> torch.Tensor:
        features = [self.tokens.features(text) for text in texts]
        packed = pack(features, self.model.device, self.tokens.pad_token)
        with packed_attention(self.model, packed) as batch:
            return self._embeddings(batch)[: len(texts)]

    def _halves(self, texts: Sequence[str]) -> torch.Tensor:
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
    with fast_linear(model):
        return _encode(model, texts)


def _encode(model: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    if model.default_prompt_name is not None or not can_pack(model) or not texts:
        found = model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(found, dtype=np.float32)
    model.eval()
    encoder = Encoder(model, texts)
    order = sorted(range(len(texts)), key=lambda i: encoder.tokens.length(texts[i]))
    parts = [
        encoder.embed([texts[i] for i in rows]).float().cpu().numpy()
        for rows in _by_tokens(order, [encoder.tokens.length(text) for text in texts])
    ]
    embeddings = np.concatenate(parts)
    return embeddings[np.argsort(order)]


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
