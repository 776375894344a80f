"""A batch's texts laid end to end: no layer computes padding, attention alone sees texts apart.

The features are those of sentence-transformers' own unpadded path (`cu_seq_lens_q` and the like),
which it offers for flash attention on a GPU; here an attention function of ours reads them, on any
device.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from embft.encoding import own_attention
from embft.encoding.attention import ALONE, PACKED, UnknownAttentionError, read_batch, reading
from embft.encoding.prompts import preprocess
from embft.system.speedups import speedup

_FORBIDDEN = "embft_never_packed"  # an attribute of models
_MODULES = (Transformer, Pooling, Normalize, Dense)
PROBE = ("a", "two words", "here is a somewhat longer text, so that lengths differ")
AGREES = 1e-4
_LONGEST_WINDOW = 256  # tokens, up to which a text that does not fit into one is tried
# Every new shape of a product makes its kernel anew and keeps it (half a gigabyte in an epoch):
# batches have a multiple of this many tokens.
_TOKENS = 16


def packed_starts() -> npt.NDArray[np.int64] | None:
    """Where each text of the packed batch that the model runs on begins, and the end, shape
    (n + 1,); None while it runs on no packed batch.
    """
    batch = read_batch()
    return None if batch is None else batch.starts


def pack(
    features: Mapping[str, torch.Tensor],
    lengths: npt.NDArray[np.int64],
    device: torch.device | str,
    pad_token: int,
) -> dict[str, Any]:
    """Texts' features as the model takes them, with what tells the texts apart.

    features: all texts' values end to end, shape (tokens,). lengths: each text's, shape (n,). At
    the end stands one more text, of padding, which makes the tokens a round number.
    """
    tokens = int(lengths.sum())
    filling = _TOKENS - tokens % _TOKENS
    lengths = np.append(lengths, filling)
    starts = np.concatenate([[0], lengths.cumsum()])
    text = np.repeat(np.arange(len(lengths)), lengths)
    packed = {
        "input_ids": _with(filling, pad_token, features["input_ids"]),
        "position_ids": torch.from_numpy(np.arange(tokens + filling) - starts[text])[None],
        "seq_idx": torch.from_numpy(text)[None],
        "cu_seq_lens_q": torch.from_numpy(starts),
    }
    if "token_type_ids" in features:
        packed["token_type_ids"] = _with(filling, 0, features["token_type_ids"])
    return {name: value.to(device) for name, value in packed.items()}


def _with(filling: int, value: int, flat: torch.Tensor) -> torch.Tensor:
    return torch.cat([flat, flat.new_full((filling,), value)])[None]


_first: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()


def first_position(transformer: torch.nn.Module) -> int:
    """The number of a text's first position: RoBERTa's table of positions begins with rows that no
    token gets. Remembered, since it takes a look at every module, 1 ms.
    """
    if transformer not in _first:
        _first[transformer] = next(map(_after_padding, _position_tables(transformer)), 0)
    return _first[transformer]


def _position_tables(transformer: torch.nn.Module) -> Iterator[Any]:
    """What has a table of positions, and a row of it for padding."""
    for module in transformer.modules():
        table = getattr(module, "position_embeddings", None)
        padding = getattr(module, "padding_idx", None)
        if isinstance(table, torch.nn.Embedding) and isinstance(padding, int):
            yield module


def _after_padding(module: Any) -> int:
    return int(module.padding_idx) + 1


@contextmanager
def packed_attention(
    model: SentenceTransformer, packed: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """While open, the model's attention reads this packed batch."""
    transformer: Any = model.transformers_model
    config = transformer.config
    positions = packed["position_ids"] + first_position(model[0])
    before = config._attn_implementation
    config._attn_implementation = PACKED
    try:
        with reading(packed), own_attention.packed(transformer):
            yield {**packed, "position_ids": positions}
    finally:
        config._attn_implementation = before


def forbid_packing(model: SentenceTransformer) -> None:
    """Leave this model its own attention, which the user has chosen."""
    setattr(model, _FORBIDDEN, True)


# What was tried last for a model: how it was built then, and whether packing agreed.
_tried: WeakKeyDictionary[SentenceTransformer, tuple[Any, bool]] = WeakKeyDictionary()


def can_pack(model: SentenceTransformer) -> bool:
    """Whether packed batches give this model's embeddings: tried on texts of several lengths.

    Tried once, and again when the model is built otherwise than before: an adapter, another module,
    another number format. Its weights do not matter. Left untried are modules of other libraries
    around the transformer, and architectures whose attention cannot be had by its name.
    """
    transformer = getattr(model, "transformers_model", None)
    if (
        transformer is None
        or getattr(model, _FORBIDDEN, False)
        or any(type(module) not in _MODULES for module in model)
        or not _replaceable(transformer)
        or _window(model) > _LONGEST_WINDOW
    ):
        return False
    built = _built(model)
    if model not in _tried or _tried[model][0] != built:
        training = model.training
        model.eval()
        try:
            with torch.autocast(model.device.type, enabled=False):  # 16 bits agree by chance
                _tried[model] = (built, bool(speedup("packed batches", partial(_tried_on, model))))
        finally:
            model.train(training)
    return _tried[model][1]


def _replaceable(transformer: torch.nn.Module) -> bool:
    by_name = getattr(transformer, "_supports_attention_backend", False)
    return bool(by_name) or own_attention.has_own_attention(transformer)


def _window(model: SentenceTransformer) -> int:
    """How many tokens a layer's attention sees around each, 0 where it sees any text whole."""
    config: Any = getattr(model.transformers_model, "config", None)
    holders = (config, *model.modules())  # some layers read it from there
    windows = [getattr(each, "sliding_window", None) for each in holders]
    longest = model.max_seq_length or sys.maxsize
    return max((each for each in windows if isinstance(each, int) and each < longest), default=0)


def _built(model: SentenceTransformer) -> Any:
    """All of a model that decides how tokens become an embedding, but for its weights' values."""
    config: Any = getattr(model.transformers_model, "config", None)
    return (
        repr(model),  # what its outer modules do, and with what settings
        [type(module) for module in model.modules()],
        {(parameter.dtype, parameter.device) for parameter in model.parameters()},
        config.to_json_string(use_diff=False),
        AttentionMaskInterface()[PACKED],
        AttentionInterface()[PACKED],
    )


@torch.no_grad()
def _tried_on(model: SentenceTransformer) -> bool:
    """Whether this model's attention is known. Raises ArithmeticError where packed batches give
    other embeddings.
    """
    # Of different words, since of equal ones it makes no difference which are seen; longer than a
    # window, and than what attention takes in groups.
    probe = [*PROBE, " ".join(map(str, range(max(_window(model), ALONE) + _TOKENS)))]
    features = [preprocess(model, [text]) for text in probe]
    lengths = np.array([each["input_ids"].shape[1] for each in features])
    flat = {
        name: torch.cat([each[name][0] for each in features])
        for name, value in features[0].items()
        if isinstance(value, torch.Tensor)
    }
    constant = {k: v for k, v in features[0].items() if not isinstance(v, torch.Tensor)}
    try:
        with packed_attention(model, pack(flat, lengths, model.device, pad_token=0)) as packed:
            found = model({**constant, **packed})["sentence_embedding"][:-1]
    except UnknownAttentionError:
        return False
    alone = [
        model({name: _moved(value, model.device) for name, value in each.items()})
        for each in features
    ]
    wanted = torch.cat([each["sentence_embedding"] for each in alone])
    if not torch.allclose(found.float(), wanted.float(), atol=AGREES, rtol=AGREES):
        raise ArithmeticError("they do not give this model's embeddings")
    return True


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value
