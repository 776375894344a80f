"""Shares of attention: they add up, they are those of the matrices, each pooling looks from its own
place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from leaderboards import lora_lr

from embft.data.pairs import Pairs, Splits
from embft.evaluation.attention import KINDS, attention, attention_shares
from embft.evaluation.context import Context
from embft.models import load_base
from embft.report.chart import static_svg
from embft.report.charts_attention import attention_charts
from embft.spec import ModelSpec
from embft.tiny_decoder import Size, make_decoder
from embft.trial import TrialDir

TEXTS = ["i love dogs", "you never hate the cats and we like tea", "music"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "llama"
    make_decoder(folder, "llama", TEXTS, Size(width=32, layers=2, vocabulary=300))
    return folder


def _shares(base: Path, **fields: Any) -> dict[str, Any]:
    model = load_base(base, ModelSpec(base=str(base), **fields))
    found = attention_shares(model, TEXTS)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("pooling", ["last", "mean", "text_mean", "weighted_mean", "eos"])
def test_shares_are_those_of_the_attention_matrices(base: Path, pooling: str) -> None:
    """By a plain loop over queries and keys, for each kind of token and layer; they add up to 1."""
    spec = ModelSpec(base=str(base), pooling=pooling, template="eol")  # type: ignore[arg-type]
    model = load_base(base, spec)
    found = _shares(base, pooling=pooling, template="eol")
    total = np.zeros((2, len(KINDS)))
    for text in TEXTS:
        ids = model.tokenizer(text)["input_ids"]
        before = 1 + len(
            model.tokenizer.backend_tokenizer.encode(
                'This sentence: "', add_special_tokens=False
            ).ids
        )
        own = len(model.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
        kinds = ["bos"] + ["template"] * (before - 1) + ["content"] * own
        kinds += ["template"] * (len(ids) - len(kinds) - (pooling == "eos"))
        kinds += ["eos"] * (pooling == "eos")
        queries = {
            "mean": dict.fromkeys(range(len(ids)), 1.0),
            "weighted_mean": {q: q + 1.0 for q in range(len(ids))},
            "text_mean": dict.fromkeys(range(before, before + own), 1.0),
        }.get(pooling, {len(ids) - 1: 1.0})
        inner: Any = model.transformers_model
        inner.set_attn_implementation("eager")
        with torch.no_grad():
            given = inner(torch.tensor([ids]), output_attentions=True).attentions
        for layer, heads in enumerate(given):
            for q, weight in queries.items():
                for k in range(len(ids)):
                    kind = "self" if k == q else kinds[k]
                    share = float(heads[0, :, q, k].mean()) * weight / sum(queries.values())
                    total[layer, KINDS.index(kind)] += share
    for layer, expected in zip(found["layers"], total / len(TEXTS), strict=True):
        np.testing.assert_allclose([layer[kind] for kind in KINDS], expected, atol=1e-6)
        assert sum(layer.values()) == pytest.approx(1.0)


def test_the_pooled_layer_is_the_one_reported(base: Path, tmp_path: Path) -> None:
    """The metrics are the pooled layer's; the file has every layer and one text's tokens."""
    pairs = Pairs(tuple(TEXTS), tuple(reversed(TEXTS)), np.array([1.0, 0.0, 1.0]))
    splits = Splits(pairs, pairs, pairs)
    spec = ModelSpec(base=str(base), pooling="last", template="cluster", layer=1)
    model = load_base(base, spec)
    before = model.encode(TEXTS)
    found = attention(Context(model, splits, {}, None, 0, folder=tmp_path))["test"]
    kept = json.loads((tmp_path / "attention.json").read_text())
    assert kept["pooled_layer"] == 1
    assert found == {f"attention_{kind}": kept["layers"][0][kind] for kind in KINDS}
    example = kept["example"]
    assert len(example["tokens"]) == len(example["kind"]) == len(example["weight"])
    assert "".join(example["tokens"]).endswith('" belongs to the following cluster:')
    np.testing.assert_array_equal(model.encode(TEXTS), before)


def test_a_model_without_attention_says_so() -> None:
    """Static embeddings have none: an undefined metric with its reason, no failure."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    static = StaticEmbedding(Tokenizer(models.WordLevel({"a": 0}, "a")), embedding_dim=4)
    model = SentenceTransformer(modules=[static], device="cpu")
    assert attention_shares(model, ["a"]) == "the model has no attention"


def test_the_report_draws_before_and_after(tmp_path: Path) -> None:
    """Both charts show what the two files say; without the evaluator there is no chart."""
    board = lora_lr(tmp_path)
    assert attention_charts(board) == []
    assert board.recommended
    shipped = board.recommended.best
    base = board.baseline_of(shipped)
    assert base
    for row, content in ((base, 0.25), (shipped, 0.5)):
        layers = [
            {"content": 0.1, "template": 0.2, "bos": 0.3, "eos": 0.0, "self": 0.4},
            {"content": content, "template": 0.2, "bos": 0.0, "eos": 0.0, "self": 0.8 - content},
        ]
        example = {"tokens": ["a", " b"], "kind": ["content", "template"], "weight": [content, 0.2]}
        kept = {"texts": 7, "pooled_layer": 2, "layers": layers, "example": example}
        row.folder.mkdir(parents=True, exist_ok=True)
        TrialDir(row.folder).attention_file.write_text(json.dumps(kept))
    by_layer, by_token = attention_charts(board)
    assert by_layer.title == "Training moved the share of attention on the text from 25% to 50%"
    drawn = by_layer.spec["datasets"]["rows"]
    assert {(d["model"], d["layer"]): d["share"] for d in drawn if d["kind"] == "text"} == {
        ("untrained", 1): 0.1, ("untrained", 2): 0.25,
        ("recommended", 1): 0.1, ("recommended", 2): 0.5,
    }  # fmt: skip
    assert not any(d["kind"] == "EOS" for d in drawn)
    assert [d["token"] for d in by_token.spec["datasets"]["rows"]] == ["01 a", "02 b"] * 2
    for chart in (by_layer, by_token):
        assert static_svg(chart).count("<path") > 5
