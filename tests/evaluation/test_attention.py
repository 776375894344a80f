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
from sentence_transformers import SentenceTransformer

from embft.data.load import Columns, load_pairs
from embft.data.pairs import Pairs, Splits
from embft.evaluation.attention import KINDS, Attention, attention_shares
from embft.evaluation.context import Context
from embft.evaluation.run import epoch_metrics
from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.models.base import load_base
from embft.models.tiny_decoder import Size, make_decoder
from embft.models.token_layout import Layout, token_layout
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.report.chart import static_svg
from embft.report.charts.attention import attention_charts
from embft.results.records import Completed
from embft.spec import EvaluatorSpec, ModelSpec, load_spec
from tests.helpers.leaderboards import lora_lr

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
    context = Context(model, splits, {}, None, 0, folder=tmp_path)
    found = Attention().run(context, None)["test"]
    kept = json.loads((tmp_path / "attention.json").read_text())
    assert kept["pooled_layer"] == 1
    assert found == {f"attention_{kind}": kept["layers"][0][kind] for kind in KINDS}
    example = kept["example"]
    assert len(example["tokens"]) == len(example["kind"]) == len(example["weight"])
    assert "".join(example["tokens"]).endswith('" belongs to the following cluster:')
    np.testing.assert_array_equal(model.encode(TEXTS), before)


def test_texts_that_are_all_long_have_an_example_too(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shortest, where none is short; and the tokenizer is read once for all texts."""
    model = load_base(base, ModelSpec(base=str(base), pooling="last"))
    read: list[Any] = []

    def layout(tokenizer: Any) -> Layout:
        read.append(tokenizer)
        return token_layout(tokenizer)

    monkeypatch.setattr("embft.models.token_layout.token_layout", layout)
    long = [" ".join(TEXTS * n) for n in (9, 7, 8)]
    found = attention_shares(model, long)
    assert isinstance(found, dict)
    assert len(found["example"]["tokens"]) == len(model.tokenizer(long[1])["input_ids"]) > 48
    assert len(read) == 1


def test_in_training_a_few_texts_of_dev_are_measured(base: Path) -> None:
    """Dev's alone, by the same names, and no file is left."""
    model = load_base(base, ModelSpec(base=str(base), pooling="last"))
    dev = Pairs(tuple(TEXTS * 30), tuple(f"{t} {i}" for i, t in enumerate(TEXTS * 30)), np.ones(90))
    entry = EvaluatorSpec.of("attention")
    found = epoch_metrics(model, dev, 0, [(entry, None)])
    shares = [found[f"attention_{kind}"] for kind in KINDS]
    assert sum(shares) == pytest.approx(1.0)
    assert "attention_content" not in epoch_metrics(model, dev, 0, [])
    splits = Splits(dev, dev, dev)
    in_training = Context(model, splits, {}, None, 0, ("dev",))
    assert Attention().run(in_training, None)["dev"] == dict(
        zip((f"attention_{kind}" for kind in KINDS), shares, strict=True)
    )


def test_a_model_without_attention_says_so(static_model: SentenceTransformer) -> None:
    """Static embeddings have none: an undefined metric with its reason, no failure."""
    assert attention_shares(static_model, ["a"]) == "the model has no attention"


def test_the_report_draws_before_and_after(tmp_path: Path) -> None:
    """Both charts show what the two files say; without the evaluator there is no chart."""
    leaderboard = lora_lr(tmp_path)
    assert attention_charts(leaderboard) == []
    assert leaderboard.recommended
    shipped = leaderboard.recommended.best
    base = leaderboard.baseline_of(shipped)
    assert base
    for row, content in ((base, 0.25), (shipped, 0.5)):
        layers = [
            {"content": 0.1, "template": 0.2, "bos": 0.3, "eos": 0.0, "self": 0.4},
            {"content": content, "template": 0.2, "bos": 0.0, "eos": 0.0, "self": 0.8 - content},
        ]
        example = {"tokens": ["a", " b"], "kind": ["content", "template"], "weight": [content, 0.2]}
        kept = {"texts": 7, "pooled_layer": 2, "layers": layers, "example": example}
        row.folder.path.mkdir(parents=True, exist_ok=True)
        row.folder.attention_file.write_text(json.dumps(kept))
    by_layer, by_token = attention_charts(leaderboard)
    assert by_layer.title == "Training moved the share of attention on the text from 25% to 50%"
    drawn = by_layer.spec["datasets"]["rows"]
    assert {(d["model"], d["layer"]): d["share"] for d in drawn if d["kind"] == "text"} == {
        ("base model", 1): 0.1, ("base model", 2): 0.25,
        ("recommended", 1): 0.1, ("recommended", 2): 0.5,
    }  # fmt: skip
    assert not any(d["kind"] == "EOS" for d in drawn)
    assert [d["token"] for d in by_token.spec["datasets"]["rows"]] == ["01 a", "02 b"] * 2
    base.folder.attention_file.write_text(json.dumps({**kept, "example": {}}))
    shipped.folder.attention_file.write_text(json.dumps({**kept, "example": {}}))
    assert [chart.key for chart in attention_charts(leaderboard)] == ["attention-layers"]
    for i, epoch in enumerate(shipped.epochs):
        epoch.dev.update({"attention_content": 0.1 * i, "attention_self": 1.0 - 0.1 * i})
    over_training = attention_charts(leaderboard)[-1]
    drawn = over_training.spec["datasets"]["rows"]
    assert {d["step"]: d["share"] for d in drawn if d["kind"] == "text"} == pytest.approx(
        {epoch.step: 0.1 * i for i, epoch in enumerate(shipped.epochs)}
    )
    assert {d["kind"] for d in drawn} == {"text", "itself"}
    assert shipped.completed
    assert {d["step"] for d in drawn if d["chosen"]} == {
        e.step for e in shipped.epochs if e.epoch == shipped.completed.best_epoch
    }
    for chart in (by_layer, by_token, over_training):
        assert static_svg(chart).count("<path") > 5


def test_a_trial_keeps_the_shares_of_each_evaluation(tmp_path: Path, pair_files: Path) -> None:
    """With the evaluator in its spec, by steps too; the saved adapter loads without this package
    knowing its base.
    """
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"""\
name: attention
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: tiny-llama, pooling: last}}
train: {{method: lora, epochs: 1, batch_size: 8, evaluation_steps: 2, learning_rate: 1e-3}}
evaluators: [attention]
""")
    planned = prepare(make_plan(load_spec(spec), tmp_path), retry_failed=False)
    trial = next(trial for trial in planned if not trial.spec.is_baseline)
    trial.folder.create(trial.input(threads=1))
    train_step(trial.folder)
    score_step(trial.folder)
    result = trial.folder.result()
    assert isinstance(result, Completed)
    assert [epoch.step for epoch in result.epochs] == [2, 4, 6]
    for epoch in result.epochs:
        assert sum(epoch.dev[f"attention_{kind}"] for kind in KINDS) == pytest.approx(1.0)
    assert result.test["attention_content"] > 0
    assert trial.folder.attention_file.exists()
    plain = SentenceTransformer(str(trial.folder.model_folder), device="cpu")
    with np.load(trial.folder.reference_file) as reference:
        wanted = reference["trained"]
    first = load_pairs(pair_files / "dev.jsonl", Columns()).text_1[0]
    np.testing.assert_allclose(plain.encode([first])[0], wanted[0], atol=1e-5)
