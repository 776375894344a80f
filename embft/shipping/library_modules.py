"""A model made of sentence-transformers' own modules alone, so that any machine loads it.

Covers the one module of ours, the mean over a text's own tokens (`models/pooling.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, WordWeights
from tokenizers import processors

from embft.models.pooling import TextMean
from embft.models.prompt_template import wrap_texts
from embft.models.token_layout import PREFIX, SUFFIX

# The weight in the mean of a token that is not the text's own. Not 0: a text that has no token of
# its own is the mean over all of them. At 1e-8 of a text's token it moves no digit of a float32.
_WEIGHT = 1e-8


def use_library_modules(model: SentenceTransformer) -> None:
    """Put library modules in the place of ours; the embeddings stay the same.

    The tokens around a text get ids of their own, with copies of their embeddings, so that
    `WordWeights`, which knows tokens by their ids, can leave them out of the mean.
    """
    children = dict(model.named_children())
    own = next((n for n, m in children.items() if isinstance(m, TextMean)), None)
    if own is None:
        return
    mean: Any = children[own]
    weights = _weights(model[0], mean.before, mean.after).to(model.device)
    instead = [weights, Pooling(mean.embedding_dimension, pooling_mode="mean")]
    modules = [m for n, one in children.items() for m in (instead if n == own else [one])]
    model._modules.clear()
    for i, module in enumerate(modules):
        model.add_module(str(i), module)


def _weights(transformer: Any, before: int, after: int) -> WordWeights:
    """Give the tokens around every text ids of their own. Returns the weights of all ids."""
    tokenizer = wrap_texts(transformer.tokenizer, None, bos=None, eos=None)
    ids = tokenizer("a")["input_ids"]
    around = [*ids[:before], *ids[len(ids) - after :]]
    known = _add_copies(transformer.auto_model, around)
    names = [f"[AROUND {i}]" for i in range(len(around))]
    _put_around(tokenizer, names, known, before)
    transformer.processor = tokenizer
    vocabulary = [str(tokenizer.convert_ids_to_tokens(i) or f"[UNUSED {i}]") for i in range(known)]
    return WordWeights([*vocabulary, *names], dict.fromkeys(names, _WEIGHT))


def _add_copies(inner: Any, ids: list[int]) -> int:
    """Copies of these tokens' embeddings, under new ids after the last one. Returns the first."""
    known = int(inner.get_input_embeddings().num_embeddings)
    inner.resize_token_embeddings(known + len(ids), mean_resizing=False)
    table = inner.get_input_embeddings().weight
    with torch.no_grad():
        table[known:] = table[ids]
    return known


def _put_around(tokenizer: Any, names: list[str], first: int, before: int) -> None:
    """Let the tokenizer put the new ids, `first` and those after it, around each text."""
    ids = list(range(first, first + len(names)))
    halves = {PREFIX: slice(before), SUFFIX: slice(before, None)}
    special = [
        {"id": part, "ids": ids[half], "tokens": names[half]}
        for part, half in halves.items()
        if names[half]
    ]
    given = {entry["id"] for entry in special}
    line = " ".join(part for part in (PREFIX, "$A", SUFFIX) if part == "$A" or part in given)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=line, pair="$A $B", special_tokens=special
    )
