"""Where the pooled token looks: shares of attention on text, prompt template, BOS, EOS and itself.

A causal decoder's last token has to gather the text; training moves its attention there (arXiv
2507.22729, section 5, of one sentence). Here it is averaged over many texts and all heads, layer by
layer. Weights of attention are no explanation of an embedding (Jain and Wallace, 2019), only of
where it may come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from embft.encoding.prompts import preprocess
from embft.evaluation.context import Context, Found
from embft.metrics.metric import Metric
from embft.results.folders import TrialDir
from embft.spec.evaluators import Evaluator
from embft.storage.files import write_atomic

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embft.models.token_layout import Layout

Array = npt.NDArray[np.float64]

KINDS = ("content", "template", "bos", "eos", "self")
MOST_TEXTS = 256
MOST_TEXTS_IN_TRAINING = 32  # an evaluation may come every few seconds
EXAMPLE_TOKENS = 48


_NAMES = ("the text", "the template", "BOS", "EOS", "itself")


class Attention(Evaluator):
    """How much attention the pooled token pays to each position, layer by layer."""

    declared: ClassVar = tuple(
        Metric(
            f"attention_{kind}",
            f"Attention on {name}",
            f"share of the pooled position's attention on {name}, at the pooled layer, mean over "
            "heads and texts",
            direction=None,
            computed_by="attention",
        )
        for kind, name in zip(KINDS, _NAMES, strict=True)
    )
    during_training: ClassVar = True

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:  # noqa: ARG002
        """attention_<kind> of test's texts, at the layer that is pooled, each between 0 and 1; in
        training of a few of dev's.

        With a folder, also `attention.json` there: the shares by layer, and one text's tokens.
        """
        split = "test" if "test" in context.asked else "dev"
        pairs = context.splits[split]
        texts = list(dict.fromkeys([*pairs.text_1, *pairs.text_2]))
        most = MOST_TEXTS if split == "test" else MOST_TEXTS_IN_TRAINING
        drawn = np.random.default_rng(0).permutation(len(texts))[:most]
        found = attention_shares(context.model, [texts[i] for i in sorted(drawn)])
        if isinstance(found, str):
            return {split: {f"attention_{kind}": found for kind in KINDS}}
        if context.folder is not None:
            path = TrialDir(context.folder).attention_file
            write_atomic(path, json.dumps(found, allow_nan=False))
        pooled = found["layers"][found["pooled_layer"] - 1]
        return {split: {f"attention_{kind}": pooled[kind] for kind in KINDS}}


def attention_shares(model: SentenceTransformer, texts: list[str]) -> dict[str, Any] | str:
    """The mean shares by layer and one text token by token, or why there are none.

    layers: one mapping for each, from the first; its shares add up to 1. pooled_layer: counts from
    1. example: `tokens`, the `kind` of each and its `weight` at the pooled layer, of the longest
    text of up to EXAMPLE_TOKENS, or else of the shortest.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import Transformer

    from embft.models.token_layout import token_layout

    if not isinstance(model[0], Transformer):
        return "the model has no attention"
    model.eval()
    layout, layer = token_layout(model.tokenizer), _pooled_layer(model)
    total: Array | None = None
    example: tuple[int, list[int], npt.NDArray[np.str_], Array] | None = None
    with torch.no_grad(), _eager(model):
        for text in texts:
            rows, kinds, ids = _looks(model, layout, text)
            shares = np.array([[row[kinds == kind].sum() for kind in KINDS[:-1]] for row in rows])
            own = 1.0 - shares.sum(axis=1, keepdims=True)
            found = np.hstack([shares, own])
            total = found if total is None else total + found
            fits = len(ids) if len(ids) <= EXAMPLE_TOKENS else -len(ids)
            if example is None or fits > example[0]:
                example = (fits, ids, kinds, rows[layer - 1])
    if total is None or example is None:
        return "there are no texts"
    layers = [dict(zip(KINDS, map(float, row), strict=True)) for row in total / len(texts)]
    return {
        "texts": len(texts),
        "pooled_layer": layer,
        "layers": layers,
        "example": _example(model, *example[1:]),
    }


def _looks(
    model: SentenceTransformer, layout: Layout, text: str
) -> tuple[Array, npt.NDArray[np.str_], list[int]]:
    """Attention from the pooled position to the others, (layers, tokens), tokens' kinds, ids.

    What the position gives itself is left out. A pooling over several is their weighted mean.
    """
    import torch

    features = preprocess(model, [text])
    inputs = {k: v.to(model.device) for k, v in features.items() if isinstance(v, torch.Tensor)}
    inner: Any = model.transformers_model
    given = inner(**inputs, output_attentions=True).attentions
    heads = torch.stack([layer[0].mean(dim=0) for layer in given]).double().cpu().numpy()
    ids = features["input_ids"][0].tolist()
    kinds = token_kinds(_with_prompt(layout, features.get("prompt_length")), len(ids))
    weights = _pooling_weights(model, kinds)
    others = heads * (1.0 - np.eye(len(ids)))
    looks: Array = np.einsum("q,lqk->lk", weights, others)
    return looks, kinds, ids


def _with_prompt(layout: Layout, length: int | None) -> Layout:
    """The layout with the words of a default prompt counted as a template's. length: of tokens
    before the text, BOS among them.
    """
    return layout if not length else replace(layout, prefix=length - layout.bos)


def token_kinds(layout: Layout, count: int) -> npt.NDArray[np.str_]:
    """What each of a text's tokens is: `bos`, `template`, `content` or `eos`, shape (count,)."""
    content = count - layout.before - layout.after
    parts = [("bos", layout.bos), ("template", layout.prefix), ("content", content)]
    parts += [("template", layout.suffix), ("eos", layout.eos)]
    return np.array([kind for kind, size in parts for _ in range(size)])


def _pooling_weights(model: SentenceTransformer, kinds: npt.NDArray[np.str_]) -> Array:
    """How much each token counts in the embedding, shape (tokens,); they add up to 1."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = next((m for m in model if isinstance(m, Pooling)), None)
    mode = pooling.pooling_mode if pooling is not None else "text_mean"
    mode = mode if isinstance(mode, str) else mode[0]
    weights = np.ones(len(kinds))
    if mode in {"lasttoken", "cls"}:
        weights = np.zeros(len(kinds))
        weights[-1 if mode == "lasttoken" else 0] = 1.0
    elif mode == "weightedmean":
        weights = np.arange(1.0, len(kinds) + 1)
    elif mode == "text_mean" and (kinds == "content").any():
        weights = (kinds == "content").astype(np.float64)
    scaled: Array = weights / weights.sum()
    return scaled


def _pooled_layer(model: SentenceTransformer) -> int:
    """The layer whose output is pooled, from 1; the embeddings before the first count as 1."""
    transformer: Any = model[0]
    count = int(transformer.config.num_hidden_layers)
    output = transformer.modality_config["text"]["method_output_name"]
    if isinstance(output, str):
        return count
    layer = int(output[-1])
    return max(1, layer if layer >= 0 else count + 1 + layer)


def _example(
    model: SentenceTransformer, ids: list[int], kinds: npt.NDArray[np.str_], weights: Array
) -> dict[str, Any]:
    return {
        "tokens": [model.tokenizer.decode([i]) for i in ids],
        "kind": kinds.tolist(),
        "weight": [float(weight) for weight in weights],
    }


@contextmanager
def _eager(model: SentenceTransformer) -> Iterator[None]:
    """While open, attention is computed by the plain implementation, which gives its weights."""
    inner: Any = model.transformers_model
    before = getattr(inner.config, "_attn_implementation", "sdpa")
    inner.set_attn_implementation("eager")
    try:
        yield
    finally:
        inner.set_attn_implementation(before)
