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
from embft.encoding.precision import products
from embft.encoding.prompts import preprocess, side_prompt
from embft.encoding.token_cache import TokenCache, Tokens, collected
from embft.errors import ModelError
from embft.spec.sides import Side
from embft.system.allocator import release_memory

_CHUNK = 512  # texts tokenised at once
_TOKENS = 2048  # tokens embedded at once outside of training


class Tokenised:
    """Columns of texts as tokens, each different text tokenised once, by the model's own
    preprocessing. A text is known by its number among the different ones; where the two sides have
    different prompts, a text that stands on both is two.

    sides: of each column, what its texts are.

    All texts' tokens lie end to end, 4 bytes a token and feature: a tensor for each text and
    feature would take kilobytes a text, gigabytes for a million pairs.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        columns: Sequence[Sequence[str]],
        cache: TokenCache | None = None,
        sides: Sequence[Side | None] | None = None,
    ) -> None:
        make = partial(_tokens, model, columns, sides or [None] * len(columns))
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
        return {**found, **self.constant(text)}

    def constant(self, text: int) -> dict[str, Any]:
        """What stands in the model's input beside this text's tokens."""
        kinds = (each for first, each in reversed(self.tokens.kinds) if first <= text)
        return {**self.tokens.constant, **next(kinds, {})}

    def kinds(self, texts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Of each text, which may go through the model together: those of the same number."""
        firsts = np.array([first for first, _ in self.tokens.kinds], np.int64)
        return np.searchsorted(firsts, texts, side="right")

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


def _tokens(
    model: SentenceTransformer, columns: Sequence[Sequence[str]], sides: Sequence[Side | None]
) -> Tokens:
    prompts = [side_prompt(model, side) for side in sides]
    batches, numbers, kinds = list[Iterator[dict[str, Any]]](), dict[int, Any](), list[int]()
    for prompt in dict.fromkeys(prompts):
        places = [i for i, each in enumerate(prompts) if each == prompt]
        ids = text_ids(*(columns[i] for i in places))
        first = sum(kinds)
        numbers |= {i: each + first for i, each in zip(places, ids, strict=True)}
        kinds.append(int(max(each.max(initial=-1) for each in ids)) + 1)
        same = [columns[i] for i in places]
        batches.append(_batches(model, same, ids, sides[places[0]]))
    release_memory()
    found = [torch.from_numpy(numbers[i].astype(np.int32)) for i in range(len(columns))]
    return collected(batches, found, prompt_counts=_pools_without_prompt(model))


def _batches(
    model: SentenceTransformer,
    columns: Sequence[Sequence[str]],
    ids: Sequence[npt.NDArray[np.int64]],
    side: Side | None,
) -> Iterator[dict[str, Any]]:
    """The model's input for the different texts of columns of one prompt, some at a time."""
    for texts in different(columns, ids):
        for start in range(0, len(texts), _CHUNK):
            yield preprocess(model, texts[start : start + _CHUNK], side)


def _pools_without_prompt(model: SentenceTransformer) -> bool:
    """Whether how long a prompt is may matter to a pooling, which leaves its tokens out."""
    said = [module.include_prompt for module in model if hasattr(module, "include_prompt")]
    return not (said and all(said))


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
        kinds = self.tokens.kinds(numbers)
        if len(kinds) and (kinds != kinds[0]).any():
            return self._by_kind(numbers, kinds)
        by_length = np.argsort(self.tokens.lengths(numbers), kind="stable")
        ordered = numbers[by_length]
        found = self._packed(ordered) if self.packs else self._halves(ordered.tolist())
        return found[torch.from_numpy(np.argsort(by_length)).to(found.device)]

    def _by_kind(
        self, texts: npt.NDArray[np.integer], kinds: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        """Embeddings of texts that may not all go through the model together."""
        rows = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
        found = torch.cat([self.embed(texts[each]) for each in rows])
        order = torch.from_numpy(np.argsort(np.concatenate(rows))).to(found.device)
        return found[order]

    def _packed(self, texts: npt.NDArray[np.int64]) -> torch.Tensor:
        flat, lengths = self.tokens.end_to_end(texts), self.tokens.lengths(texts)
        packed = pack(flat, lengths, self.model.device, self.tokens.pad_token)
        with packed_attention(self.model, packed) as batch:
            features = {**self.tokens.constant(int(texts[0])), **batch}  # a prompt's length, if any
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
def encode(
    model: SentenceTransformer, texts: Sequence[str], side: Side | None = None
) -> npt.NDArray[np.float32]:
    """Embeddings of texts of one side, shape (n, width), in the order of the texts.

    As `model.encode_query`, `model.encode_document` or, of no side, `model.encode` gives them.
    """
    if not can_pack(model) or not texts:
        return _by_the_library(model, texts, side)
    model.eval()
    encoder = Encoder(model, Tokenised(model, [texts], sides=[side]))
    numbers = encoder.tokens.columns[0]  # of the different texts, each of which is embedded once
    lengths = encoder.tokens.lengths(np.arange(numbers.max() + 1))
    order = np.argsort(lengths, kind="stable")
    with products(model), fast_linear(model, partial(encoder.embed, [0])):
        parts = [
            encoder.embed(rows).float().cpu().numpy()
            for rows in _by_tokens(order.tolist(), lengths.tolist())
        ]
    return np.concatenate(parts)[np.argsort(order)][numbers]


def encode_sides(
    model: SentenceTransformer, texts: Sequence[str], sides: Sequence[Side | None]
) -> npt.NDArray[np.float32]:
    """As `encode`, of texts of which each has its own side."""
    prompts = [side_prompt(model, side) for side in sides]
    rows = [
        [i for i, each in enumerate(prompts) if each == prompt] for prompt in dict.fromkeys(prompts)
    ]
    found = [encode(model, [texts[i] for i in part], sides[part[0]]) for part in rows]
    return np.concatenate(found)[np.argsort(np.concatenate(rows))]


def _by_the_library(
    model: SentenceTransformer, texts: Sequence[str], side: Side | None
) -> npt.NDArray[np.float32]:
    prompt = side_prompt(model, side) or ""
    options: dict[str, Any] = {"show_progress_bar": False, "convert_to_numpy": True}
    try:
        with products(model):
            found = model.encode(list(texts), prompt=prompt, **options)
    except IndexError:
        Tokenised(model, [texts], sides=[side])  # says what has no embedding, if that is why
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
