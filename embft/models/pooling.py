"""Which hidden states become the embedding.

All but one of the ways are sentence-transformers' own, right under left and right padding.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.module import Module
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

from embft.errors import ModelError
from embft.models.supported import NO_POOLING
from embft.models.token_layout import Layout

# `eos` is the last token of a text that has EOS appended, which the tokenizer does.
_MODES: dict[str, str | tuple[str, ...]] = {
    "mean": "mean",
    "last": "lasttoken",
    "eos": "lasttoken",
    "last_mean": ("lasttoken", "mean"),
    "weighted_mean": "weightedmean",
    "cls": "cls",
    "max": "max",
}


class TextMean(Module):
    """The mean over the text's tokens alone: without template or default prompt, BOS and EOS.

    before, after: how many tokens stand around every text. Where a text has no token of its own,
    the mean is over all.
    """

    config_keys: list[str] = ["embedding_dimension", "before", "after"]  # noqa: RUF012 - theirs
    include_prompt = False

    def __init__(self, embedding_dimension: int, before: int, after: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.embedding_dimension = embedding_dimension
        self.before = before
        self.after = after

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add `sentence_embedding` (n, width) to `token_embeddings` (n, tokens, width)."""
        tokens = features["token_embeddings"]
        before = max(self.before, int(features.get("prompt_length") or 0))  # a default prompt's
        weights = text_mask(features["attention_mask"], before, self.after).unsqueeze(-1)
        weights = weights.to(torch.promote_types(tokens.dtype, torch.float32))
        mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1)
        features["sentence_embedding"] = mean.to(tokens.dtype)
        return features

    def get_embedding_dimension(self) -> int:
        """The width of an embedding, in dimensions."""
        return self.embedding_dimension

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write the module's settings; it has no weights."""
        self.save_config(output_path)


OUR_MODULES: dict[str, type[torch.nn.Module]] = {f"{__name__}.{TextMean.__name__}": TextMean}
"""The modules of ours that a saved model may name, for the loader."""


def text_mask(attention_mask: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Which tokens are the text's own, shape (n, tokens), padded on either side.

    All real tokens of a row whose text has none.
    """
    real = attention_mask.bool()
    place = real.cumsum(dim=1) - 1
    last = real.sum(dim=1, keepdim=True) - after
    inside = real & (place >= before) & (place < last)
    return torch.where(inside.any(dim=1, keepdim=True), inside, real)


def replace_pooling(model: SentenceTransformer, pooling: str, layout: Layout) -> None:
    """Put this pooling in the place of the model's own. Raises ModelError where it cannot stand."""
    found = ((n, m) for n, m in model.named_children() if isinstance(m, Pooling | TextMean))
    name, own = next(found, (None, None))
    if name is None or own is None:
        raise ModelError(NO_POOLING)
    width = int(own.embedding_dimension)
    module: Module = (
        TextMean(width, layout.before, layout.after)
        if pooling == "text_mean"
        else Pooling(width, pooling_mode=_MODES[pooling], include_prompt=_keeps_prompt(own))
    )
    _refuse_misfit(model, pooling, int(module.get_embedding_dimension()))
    setattr(model, name, module)


def _keeps_prompt(own: Pooling | TextMean) -> bool:
    """Whether a default prompt's tokens count, as they did."""
    return own.include_prompt if isinstance(own, Pooling) else False


def _refuse_misfit(model: SentenceTransformer, pooling: str, width: int) -> None:
    dense = next((m for m in model.children() if isinstance(m, Dense)), None)
    if dense is not None and dense.in_features != width:
        raise ModelError(
            f"model.pooling is {pooling}, which gives {width} numbers, but a layer of this base "
            f"takes {dense.in_features}: choose another pooling"
        )
