"""In which number format a model multiplies while it encodes; sums and norms stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embft.spec.sides import EncodingPrecision

_asked: ContextVar[EncodingPrecision | None] = ContextVar("asked", default=None)


@contextmanager
def encoding_in(precision: EncodingPrecision) -> Iterator[None]:
    """While open, texts are encoded so. Of several that are open the first one decides."""
    token = _asked.set(_asked.get() or precision)
    try:
        yield
    finally:
        _asked.reset(token)


def products(model: SentenceTransformer) -> AbstractContextManager[Any]:
    """While open, the model multiplies as was asked for. Weights are cast once while it is open."""
    import torch

    if _asked.get() != "bf16":
        return nullcontext()
    return torch.autocast(model.device.type, dtype=torch.bfloat16)
