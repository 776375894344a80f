"""Tokenised texts: kept small, and given back as the model's own preprocessing gives them."""

from __future__ import annotations

import gc
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embft.encoding import packing, token_cache
from embft.encoding.encoder import Tokenised, encode
from embft.encoding.token_cache import TokenCache
from embft.models.base import build, load_base
from embft.spec import ModelSpec, TrainSpec

MODEL = ModelSpec(base="tiny")
WORDS = ["i", "love", "dogs", "cats", "you", "like", "films", "and", "music"]


def _texts(n: int) -> list[str]:
    """Distinct texts of several lengths, over more than one chunk where n is large."""
    return [" ".join(WORDS[(i + j) % 9] for j in range(1 + i % 7)) + f" {i}" for i in range(n)]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_text_comes_back_as_the_model_makes_it(tiny_model: Path, side: str) -> None:
    """Alone and padded together, over several chunks, with texts that repeat, on either side."""
    model = load_base(tiny_model, MODEL)
    tokenizer: Any = model.tokenizer
    tokenizer.padding_side = side
    texts = [*_texts(1100), "i love dogs 0", ""]
    tokens = Tokenised(model, [texts, texts[::-1]])
    there, back = (column.tolist() for column in tokens.columns)
    assert there == back[::-1] == list(range(len(texts)))
    for number in [*range(0, 1100, 100), 1100, 1101]:
        found, wanted = tokens.features(number), model.preprocess([texts[number]])
        assert list(found) == list(wanted)
        assert all(_same(found[name], wanted[name]) for name in wanted)
        assert tokens.lengths(np.array([number])) == wanted["input_ids"].shape[1]
    found, wanted = tokens.padded(range(500, 530), "cpu"), model.preprocess(texts[500:530])
    assert list(found) == list(wanted)
    assert all(_same(found[name], wanted[name]) for name in wanted)
    every = model.preprocess(texts)["input_ids"].unique()
    assert torch.equal(tokens.token_ids(), torch.cat([every, torch.tensor([0])]).unique())


def test_a_feature_that_differs_is_kept_for_each_token(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but a feature that is one number everywhere is kept as one number."""
    model = load_base(tiny_model, MODEL)
    preprocess = model.preprocess

    def typed(texts: Any) -> Any:
        found = preprocess(texts)
        return {**found, "token_type_ids": found["input_ids"] % 2}

    monkeypatch.setattr(model, "preprocess", typed)
    tokens = Tokenised(model, [_texts(9)])
    for text in range(9):
        features = tokens.features(text)
        assert torch.equal(features["token_type_ids"], features["input_ids"] % 2)


@pytest.mark.parametrize("many", [1, 2000, 1 << 22])
def test_tokens_in_a_file_are_those_in_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Of every feature, one that differs in the last text alone among them."""
    model, texts = load_base(tiny_model, MODEL), _texts(1100)
    preprocess = model.preprocess

    def typed(given: Any) -> Any:
        found = preprocess(given)
        late = torch.tensor([[text == texts[-1]] for text in given])
        ids = found["input_ids"]
        return {**found, "late": late.expand_as(ids), "scaled": ids / 2, "named": "always"}

    monkeypatch.setattr(model, "preprocess", typed)
    monkeypatch.setattr(token_cache, "_IN_MEMORY", many)
    opened, really = list[Any](), tempfile.TemporaryFile

    def noted() -> Any:
        opened.append(really())
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    tokens = Tokenised(model, [texts])
    assert len(opened) == (3 if many < 1 << 22 else 0)
    for number in (0, 511, 512, 1098, 1099):
        found, wanted = tokens.features(number), typed([texts[number]])
        assert found.keys() == wanted.keys()
        assert all(_same(found[name], wanted[name]) for name in wanted)


def test_no_texts_are_no_tokens_but_padding(tiny_model: Path) -> None:
    """The padding token is always one that occurs."""
    assert Tokenised(load_base(tiny_model, MODEL), [[]]).token_ids().tolist() == [0]


@pytest.mark.long
def test_a_text_takes_a_few_bytes_a_token(tiny_model: Path) -> None:
    """All tensors of 5,000 texts are as large as their tokens; a text has no Python object."""
    model = load_base(tiny_model, MODEL)
    texts = _texts(5000)
    Tokenised(model, [texts])  # what only the first call takes
    tracemalloc.start()
    try:
        tokens = Tokenised(model, [texts])
        gc.collect()  # else it would depend on when the last collection was
        python, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    flat = [tensor for tensor, _ in tokens.tokens.flat.values()]
    tensors = [tokens.tokens.ends, *tokens.tokens.columns, *flat]
    held = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    count = len(texts)
    assert held < 4.1 * int(tokens.lengths(np.arange(count)).sum()) + 12.1 * count
    assert python / count < 10


def _cached(model: Any, texts: list[str], folder: Path, made: list[int]) -> Tokenised:
    preprocess = model.preprocess

    def counted(texts: list[str]) -> Any:
        made.append(len(texts))
        return preprocess(texts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "preprocess", counted)
        return Tokenised(model, [texts], TokenCache(folder, {"data": "abc"}))


def test_a_second_trial_reads_the_tokens_of_the_first(tiny_model: Path, tmp_path: Path) -> None:
    """Its features are the same; few texts, for which no file pays, leave none."""
    model, texts = load_base(tiny_model, MODEL), _texts(10_001)
    assert _cached(model, texts[:9], tmp_path, []).lengths(np.array([1])).all()
    assert list(tmp_path.iterdir()) == []
    first, again = list[int](), list[int]()
    made = _cached(model, texts * 2, tmp_path, first)
    read = _cached(model, texts * 2, tmp_path, again)
    assert (sum(first), sum(again)) == (10_001, 0)
    assert made.token_ids().tolist() == read.token_ids().tolist()
    assert all(map(np.array_equal, made.columns, read.columns))
    for text in range(0, 10_001, 500):
        one, other = made.features(text), read.features(text)
        assert one.keys() == other.keys()
        assert all(_same(one[name], other[name]) for name in one)


@pytest.mark.parametrize("damage", ["deleted", "emptied", "halved", "flipped", "of other texts"])
@pytest.mark.parametrize("file", ["manifest.json", "tokens.safetensors"])
def test_a_damaged_cache_is_made_anew(
    tiny_model: Path, tmp_path: Path, file: str, damage: str
) -> None:
    """Whatever happens to it, the tokens are those of the texts."""
    model, texts = load_base(tiny_model, MODEL), _texts(10_001)
    _cached(model, texts, tmp_path, [])
    (path,) = tmp_path.glob(f"*/{file}")
    content = bytearray(path.read_bytes())
    if damage == "deleted":
        path.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "of other texts":
        texts = texts[:-1]
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "halved" else b"")
    again: list[int] = []
    tokens = _cached(model, texts, tmp_path, again)
    assert sum(again) == len(texts)
    plain = Tokenised(model, [texts[:50]])
    assert all(
        torch.equal(tokens.features(t)["input_ids"], plain.features(t)["input_ids"])
        for t in range(50)
    )
    once_more: list[int] = []
    _cached(model, texts, tmp_path, once_more)
    assert once_more == [], "and it is whole again"


def test_where_nothing_can_be_written_tokens_are_made(tiny_model: Path, tmp_path: Path) -> None:
    """A file stands in the folder's place."""
    (tmp_path / "tokens").write_text("")
    model, made = load_base(tiny_model, MODEL), list[int]()
    _cached(model, _texts(10_001), tmp_path / "tokens", made)
    assert sum(made) == 10_001


def test_whether_a_model_packs_is_tried_once(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many texts are embedded; tried again once the model is built otherwise."""
    model = load_base(tiny_model, MODEL)
    tried: list[Any] = []
    agrees = packing._tried_on

    def counted(model: Any) -> bool:
        tried.append(model)
        return agrees(model)

    monkeypatch.setattr(packing, "_tried_on", counted)
    for _ in range(3):
        encode(model, ["i love dogs", "cats"])
    assert len(tried) == 1
    transformer: Any = model.transformers_model
    with torch.no_grad():
        transformer.get_input_embeddings().weight.add_(0.01)
    assert packing.can_pack(model)
    assert len(tried) == 1
    transformer.encoder.layer[0].attention.self.dropout = torch.nn.Identity()
    assert packing.can_pack(model)
    assert len(tried) == 2
    transformer.config.sliding_window = 4  # which BERT's layers do not look at
    assert packing.can_pack(model)
    assert len(tried) == 3


class _Placed(torch.nn.Module):
    """A layer whose output depends on the place in the batch, of another text where packed."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner(states)
        return found * (1 + torch.arange(states.shape[1])[:, None])


def test_a_model_that_stops_agreeing_is_packed_no_more(tiny_model: Path) -> None:
    """An answer from before does not stand for a model that has another module."""
    model = build(tiny_model, MODEL, TrainSpec())
    assert packing.can_pack(model)
    layer: Any = model.transformers_model.encoder.layer[0]  # type: ignore[union-attr,index]
    layer.output.dense = _Placed(layer.output.dense)
    assert not packing.can_pack(model)
