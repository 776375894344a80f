"""Encoding: packed batches and halves give the embeddings that padding gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AttentionInterface

from embft import packing
from embft.encoding import Encoder, Tokenised, encode
from embft.models import load_base
from embft.spec import ModelSpec

TEXTS = ["i love dogs", "cats", "you always like the films and the music and tea", "i love dogs"]
MODEL = ModelSpec(base="tiny")


def test_tokens_are_what_the_model_makes_of_each_text(tiny_model: Path) -> None:
    """Texts tokenised together and padded again equal the model's own preprocessing."""
    model = load_base(tiny_model, MODEL)
    ours, theirs = Tokenised(model, TEXTS).padded(TEXTS, "cpu"), model.preprocess(TEXTS)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        same = torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else None
        assert same or ours[name] == value


@pytest.mark.parametrize("packs", [True, False])
def test_a_batch_gives_each_texts_own_embedding(tiny_model: Path, packs: bool) -> None:
    """What shares a batch, and how it is laid out, changes no embedding; order is kept."""
    model = load_base(tiny_model, MODEL)
    encoder = Encoder(model, TEXTS)
    assert encoder.packs
    encoder.packs = packs
    model.eval()
    with torch.no_grad():
        found = encoder.embed(TEXTS)
        alone = torch.cat([model(model.preprocess([t]))["sentence_embedding"] for t in TEXTS])
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)


def test_packed_batches_go_through_our_attention(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault planted in the packed attention is noticed, and such a model is not packed."""
    model = load_base(tiny_model, MODEL)
    attend = packing._attend

    def wrong(*args: object, **kwargs: object) -> tuple[torch.Tensor, None]:
        found, _ = attend(*args, **kwargs)  # type: ignore[arg-type]
        return found.flip(1), None

    monkeypatch.setitem(AttentionInterface._global_mapping, "embft_packed", wrong)
    assert not packing.can_pack(model)


def test_encode_equals_the_librarys(minilm: Path) -> None:
    """The real model's embeddings equal those of `SentenceTransformer.encode`."""
    model = load_base(minilm, ModelSpec(base="minilm"))
    found = encode(model, TEXTS)
    wanted = torch.as_tensor(model.encode(TEXTS, show_progress_bar=False))
    torch.testing.assert_close(torch.as_tensor(found), wanted, rtol=1e-4, atol=1e-6)
