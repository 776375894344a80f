"""Adapters on decoders: every variant trains, is saved for every loader, merges and is verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from embft.cli.main import main
from embft.data.pairs import Pairs
from embft.errors import EmbftError, ModelError, VerificationError
from embft.models.adapter import merge_adapter
from embft.models.base import build, load_base, open_model
from embft.models.resolve import find_base_model
from embft.models.save import Origin, load_saved, save, trainable_parameters
from embft.models.tiny_decoder import Size, make_decoder
from embft.models.trained import find_trained, load_trained
from embft.shipping.export import Wanted, export
from embft.spec import LoraSpec, ModelSpec, TrainSpec
from embft.training.loop import Hooks, train

TEXTS = ["i love dogs", "you never hate the cats and we like tea", "music"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "qwen3"
    make_decoder(folder, "qwen3", TEXTS, Size(width=32, layers=2, vocabulary=300))
    return folder


def _trained(base: Path, folder: Path, **fields: Any) -> SentenceTransformer:
    """A model whose adapter holds random numbers in place of learned ones, saved to `folder`."""
    spec = ModelSpec(base=str(base), pooling="last", template="eol")
    train = TrainSpec(method="lora", lora=LoraSpec(rank=4, **fields))
    model = build(base, spec, train)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    model.eval()
    save(model, folder, Origin(str(base)))
    return model


@pytest.mark.parametrize("targets", [None, "all-linear", ("o_proj", "gate_proj")])
@pytest.mark.parametrize("variant", ["lora", "rslora", "dora"])
def test_a_saved_adapter_is_the_same_in_every_loader(
    base: Path, tmp_path: Path, variant: str, targets: Any
) -> None:
    """Ours, sentence-transformers' and PEFT's own give the trained model's numbers, and a merged
    model gives them without an adapter.
    """
    from peft import PeftModel

    model = _trained(base, tmp_path / "adapter", variant=variant, target_modules=targets)
    expected = model.encode(TEXTS)
    spec = ModelSpec(base=str(base), pooling="last", template="eol")
    ours = load_saved(tmp_path / "adapter", base, spec).encode(TEXTS)
    theirs = SentenceTransformer(str(tmp_path / "adapter"), device="cpu").encode(TEXTS)
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(theirs, expected)
    peft = PeftModel.from_pretrained(AutoModel.from_pretrained(base), str(tmp_path / "adapter"))
    with torch.no_grad():
        states = peft(**model.tokenizer(TEXTS[:1], return_tensors="pt")).last_hidden_state
    np.testing.assert_allclose(states[0, -1].numpy(), expected[0], atol=1e-5)
    adapted = load_saved(tmp_path / "adapter", base, spec)
    merge_adapter(adapted)
    adapted.save_pretrained(str(tmp_path / "merged"), create_model_card=False)
    merged = SentenceTransformer(str(tmp_path / "merged"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(merged, expected, atol=1e-5)
    assert np.abs(merged - load_base(base, spec).encode(TEXTS)).max() > 1e-3


def test_the_merged_model_needs_neither_base_nor_adapter(base: Path, tmp_path: Path) -> None:
    """`embft merge` leaves a folder that plain SentenceTransformer loads, with the same numbers."""
    import shutil

    own = tmp_path / "base"
    shutil.copytree(base, own)
    expected = _trained(own, tmp_path / "adapter").encode(TEXTS)
    out = tmp_path / "merged"
    arguments = ["merge", str(tmp_path / "adapter"), "--out", str(out)]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0, ran.output
    assert "base and adapter merged" in ran.output
    assert "A fresh process without embft and without a hub loaded this folder" in ran.output
    shutil.rmtree(own)
    shutil.rmtree(tmp_path / "adapter")
    found = SentenceTransformer(str(out), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_merged_is_refused(base: Path, tmp_path: Path) -> None:
    """No adapter, a folder that exists, an adapter of another base: each says so."""
    ran = CliRunner().invoke(main, ["merge", str(base), "--out", str(tmp_path / "merged")])
    assert (ran.exit_code, "no adapter is here" in ran.output) == (2, True)
    _trained(base, tmp_path / "adapter")
    found = find_trained(str(tmp_path / "adapter"))
    with pytest.raises(EmbftError, match="exists already"):
        export(found, base, lambda facts: facts.name, Wanted())
    other = tmp_path / "other"
    make_decoder(other, "qwen3", TEXTS, Size(width=16, layers=1, vocabulary=300))
    config = tmp_path / "adapter" / "adapter_config.json"
    content = json.loads(config.read_text()) | {"base_model_name_or_path": str(other)}
    config.write_text(json.dumps(content))
    found = find_trained(str(tmp_path / "adapter"))
    with pytest.raises(VerificationError, match="not fit"):
        export(found, tmp_path / "merged", lambda facts: facts.name, Wanted())


def test_variants_train_what_they_should(base: Path) -> None:
    """All linear layers are more than the default two; DoRA adds one magnitude a row."""

    def count(**fields: Any) -> int:
        train = TrainSpec(method="lora", lora=LoraSpec(rank=4, **fields))
        return trainable_parameters(build(base, ModelSpec(base=str(base)), train))

    plain = count()
    assert count(variant="rslora") == plain
    assert count(variant="dora") == plain + 2 * (32 + 16)  # two layers' queries and values
    assert count(target_modules="all-linear") > 3 * plain


def test_a_wrong_target_is_refused(base: Path) -> None:
    """With the layers that there are; `all` is the name of no layer either."""
    for targets in (("query",), ("q_proj", "query"), ("all",)):
        lora = LoraSpec(target_modules=targets)
        message = rf"no linear layer of this base is called '{targets[-1]}'.*q_proj"
        with pytest.raises(ModelError, match=message):
            build(base, ModelSpec(base=str(base)), TrainSpec(method="lora", lora=lora))


def test_a_template_that_is_lost_would_be_noticed(base: Path, tmp_path: Path) -> None:
    """The embedding with the template is not the one without: the tests above compare something."""
    with_template = _trained(base, tmp_path / "adapter").encode(TEXTS)
    plain = load_base(base, ModelSpec(base=str(base), pooling="last")).encode(TEXTS)
    assert np.abs(with_template - plain).max() > 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("variant", ["lora", "dora"])
def test_an_adapter_of_a_16_bit_base_is_trained_in_float32(
    base: Path, tmp_path: Path, variant: str, precision: str
) -> None:
    """Many small steps add up, which in bfloat16 would all be lost; afterwards it has the base's
    type again, so that every loader gives the trained model's embeddings.
    """
    half = tmp_path / "half"
    AutoModel.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    load_base(base, ModelSpec(base=str(base))).tokenizer.save_pretrained(half)
    spec = ModelSpec(base=str(half), pooling="mean", dtype="bfloat16")
    train_spec = TrainSpec.model_validate({
        "method": "lora", "lora": {"variant": variant, "dropout": 0}, "precision": precision,
        "epochs": 1, "batch_size": 2, "learning_rate": 1e-5, "schedule": "constant",
    })  # fmt: skip
    torch.manual_seed(0)
    model = build(half, spec, train_spec)
    first = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_A" in n}
    pairs = Pairs(tuple(TEXTS * 20), tuple(reversed(TEXTS * 20)), np.tile([0.0, 1.0, 1.0], 20))
    types: set[torch.dtype] = set()

    def evaluate() -> tuple[float, dict[str, float]]:
        types.update(p.dtype for p in model.parameters() if p.requires_grad)
        return 0.0, {}

    train(model, train_spec, pairs, 1, Hooks(evaluate=evaluate))
    assert types == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    moved = max(
        float((p.detach() - first[n]).abs().max())
        for n, p in model.named_parameters()
        if n in first
    )
    assert moved > 1e-4
    save(model, tmp_path / "adapter", Origin(str(half)))
    in_memory = model.eval().encode(TEXTS)
    ours = load_saved(tmp_path / "adapter", half, spec)
    np.testing.assert_allclose(ours.encode(TEXTS), in_memory, atol=1e-5)
    plain = SentenceTransformer(str(tmp_path / "adapter"), device="cpu")
    np.testing.assert_allclose(plain.encode(TEXTS), in_memory, atol=1e-5)


def test_float16_weights_are_not_trained_in_fp16(base: Path, tmp_path: Path) -> None:
    """Saved so, which no spec says: a sentence, and not the gradient scaler's complaint."""
    half = tmp_path / "half"
    AutoModel.from_pretrained(base, dtype=torch.float16).save_pretrained(half)
    load_base(base, ModelSpec(base=str(base))).tokenizer.save_pretrained(half)
    spec = TrainSpec(method="full", precision="fp16", batch_size=2)
    model = open_model(half, ModelSpec(base=str(half)))  # as on a GPU: a CPU would widen it
    pairs = Pairs(tuple(TEXTS), tuple(TEXTS), np.array([0.0, 1.0, 1.0]))
    with pytest.raises(EmbftError, match=r"set model\.dtype to float32"):
        train(model, spec, pairs, 1, Hooks(evaluate=lambda: (0.0, {})))


def test_plain_loading_finds_a_built_in_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter on `tiny-llama` names its folder; where that is not, ours makes it again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    find_base_model.cache_clear()
    found = find_base_model("tiny-llama")
    adapter = tmp_path / "adapter"
    model = build(found.folder, ModelSpec(base="tiny-llama"), TrainSpec(method="lora"))
    save(model, adapter, Origin.of(found))
    wanted = model.eval().encode(TEXTS)
    plain = SentenceTransformer(str(adapter), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(plain, wanted, atol=1e-6)
    (tmp_path / "one").rename(tmp_path / "gone")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    find_base_model.cache_clear()
    np.testing.assert_allclose(load_trained(str(adapter)).encode(TEXTS), wanted, atol=1e-6)
    find_base_model.cache_clear()


def test_an_adapter_remembers_the_precision_of_its_base(base: Path, tmp_path: Path) -> None:
    """A base that is saved in bfloat16 and was trained on in float32 is so in any loader."""
    half = tmp_path / "half"
    AutoModel.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    load_base(base, ModelSpec(base=str(base))).tokenizer.save_pretrained(half)
    spec = ModelSpec(base=str(half), pooling="mean", dtype="float32")
    model = build(half, spec, TrainSpec(method="lora"))
    save(model, tmp_path / "adapter", Origin(str(half)))
    found = SentenceTransformer(str(tmp_path / "adapter"), device="cpu")
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.encode(TEXTS), model.eval().encode(TEXTS))
