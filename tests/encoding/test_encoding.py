"""Encoding: packed batches and halves give the embeddings that padding gives."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from transformers import AttentionInterface

from embft.encoding import packing
from embft.encoding.attention import attend
from embft.encoding.encoder import Encoder, Tokenised, encode
from embft.models.base import load_base
from embft.models.tiny_decoder import Size, make_decoder
from embft.spec import ModelSpec
from embft.spec.model import Pooling

TEXTS = ["i love dogs", "cats", "you always like the films and the music and tea", "i love dogs"]
MODEL = ModelSpec(base="tiny")


def numbers(tokens: Tokenised) -> list[int]:
    """The number of each of the texts."""
    (column,) = tokens.columns
    found: list[int] = column.tolist()
    return found


def test_tokens_are_what_the_model_makes_of_each_text(tiny_model: Path) -> None:
    """Texts tokenised together and padded again equal the model's own preprocessing."""
    model = load_base(tiny_model, MODEL)
    tokens = Tokenised(model, [TEXTS])
    ours, theirs = tokens.padded(numbers(tokens), "cpu"), model.preprocess(TEXTS)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        same = torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else None
        assert same or ours[name] == value


@pytest.mark.parametrize("packs", [True, False])
def test_a_batch_gives_each_texts_own_embedding(tiny_model: Path, packs: bool) -> None:
    """What shares a batch, and how it is laid out, changes no embedding; order is kept."""
    model = load_base(tiny_model, MODEL)
    encoder = Encoder(model, Tokenised(model, [TEXTS]))
    assert encoder.packs
    encoder.packs = packs
    model.eval()
    with torch.no_grad():
        found = encoder.embed(numbers(encoder.tokens))
        alone = torch.cat([model(model.preprocess([t]))["sentence_embedding"] for t in TEXTS])
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)


def test_packed_batches_go_through_our_attention(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault planted in the packed attention is noticed, and such a model is not packed."""
    model = load_base(tiny_model, MODEL)

    def wrong(*args: object, **kwargs: object) -> tuple[torch.Tensor, None]:
        found, _ = attend(*args, **kwargs)  # type: ignore[arg-type]
        return found.flip(1), None

    monkeypatch.setitem(AttentionInterface._global_mapping, "embft_packed", wrong)
    assert not packing.can_pack(model)


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("decoders")
    size = Size(width=32, layers=2, vocabulary=300, positions=128)
    make_decoder(folder / "llama", "llama", TEXTS, size)
    make_decoder(folder / "qwen3", "qwen3", TEXTS, size)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_decoders_are_packed_too(
    decoders: dict[str, Path], architecture: str, pooling: str, side: str, packs: bool
) -> None:
    """Each pooling and side, packed where that can be: each text's own embedding. The mean over the
    text's tokens needs to see texts apart, and is not packed.
    """
    spec = ModelSpec.model_validate({
        "base": str(decoders[architecture]), "pooling": pooling, "padding_side": side,
        "template": "eol",
    })  # fmt: skip
    model = load_base(decoders[architecture], spec)
    encoder = Encoder(model, Tokenised(model, [TEXTS]))
    assert encoder.packs == (pooling != "text_mean")
    encoder.packs = packs and encoder.packs
    model.eval()
    with torch.no_grad():
        found = encoder.embed(numbers(encoder.tokens))
        alone = torch.cat([model(model.preprocess([t]))["sentence_embedding"] for t in TEXTS])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_that_a_spec_names_is_used(tiny_model: Path, attention: str) -> None:
    """Such a model is not packed, for then our own attention would run in its stead."""
    spec = ModelSpec.model_validate({"base": "tiny", "attn_implementation": attention})
    model = load_base(tiny_model, spec)
    assert not packing.can_pack(model)
    assert not Encoder(model, Tokenised(model, [TEXTS])).packs


def test_encode_equals_the_librarys(minilm: Path) -> None:
    """The real model's embeddings equal those of `SentenceTransformer.encode`."""
    model = load_base(minilm, ModelSpec(base="minilm"))
    found = encode(model, TEXTS)
    wanted = torch.as_tensor(model.encode(TEXTS, show_progress_bar=False))
    torch.testing.assert_close(torch.as_tensor(found), wanted, rtol=1e-4, atol=1e-6)


def test_a_text_that_repeats_is_embedded_once(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stands in all of its rows."""
    model = load_base(tiny_model, MODEL)
    embedded = list[int]()
    embed = Encoder.embed

    def counted(encoder: Encoder, texts: list[int]) -> torch.Tensor:
        embedded.extend(texts)
        return embed(encoder, texts)

    encode(model, TEXTS[:1])  # which tries what else it may use
    monkeypatch.setattr(Encoder, "embed", counted)
    found = torch.from_numpy(encode(model, TEXTS))
    assert sorted(embedded) == [0, 1, 2]
    assert torch.equal(found[0], found[3])
    alone = torch.cat([torch.from_numpy(encode(model, [text])) for text in TEXTS])
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)
