"""What a base is not is said by `plan`, by name; what it is holds in training and scoring alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from embft.cli.main import main
from embft.encoding.encoder import Encoder, Tokenised, encode
from embft.errors import ModelError
from embft.models.base import load_base
from embft.models.resolve import find_base_model
from embft.models.verification import Reference
from embft.planning.plan import make_plan
from embft.results.folders import TrialDir
from embft.spec import ModelSpec, parse_spec
from tests.helpers.architectures import make
from tests.helpers.trials import run_spec

TEXTS = ["i love dogs", "you never hate the cats and we like tea", "music"]
Edit = Callable[[Path], None]


def _set(name: str, **fields: Any) -> Edit:
    """Changes fields of a JSON file of the base."""

    def edit(folder: Path) -> None:
        path = folder / name
        found = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**found, **fields}))

    return edit


def _module(
    kind: str, package: str = "sentence_transformers.models", settings: dict[str, Any] | None = None
) -> Edit:
    """Adds a module of this class's name behind the others."""

    def edit(folder: Path) -> None:
        path = folder / "modules.json"
        found = json.loads(path.read_text())
        number = len(found)
        (folder / f"{number}_{kind}").mkdir()
        (folder / f"{number}_{kind}" / "config.json").write_text(json.dumps(settings or {}))
        added = {"idx": number, "name": str(number), "path": f"{number}_{kind}"}
        path.write_text(json.dumps([*found, {**added, "type": f"{package}.{kind}"}]))

    return edit


def _first(kind: str) -> Edit:
    """Makes the first module one of another class."""

    def edit(folder: Path) -> None:
        path = folder / "modules.json"
        found = json.loads(path.read_text())
        found[0]["type"] = f"sentence_transformers.models.{kind}"
        path.write_text(json.dumps(found))

    return edit


def _adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "x"}')


def _reranker(folder: Path) -> None:
    (folder / "modules.json").unlink()
    heads = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    _set("config.json", **heads)(folder)


def _no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)


def _cut_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 9)


_ALL, _READING = "config_sentence_transformers.json", "sentence_bert_config.json"
_CONFIG = "config.json"
UNFIT: dict[str, tuple[Edit, str]] = {
    "adapter": (_adapter, r"this is an adapter.*embft merge"),
    "cross-encoder": (_set(_ALL, model_type="CrossEncoder"), "a cross-encoder"),
    "reranker": (_reranker, "a cross-encoder"),
    "sparse": (_set(_ALL, model_type="SparseEncoder"), "a sparse encoder"),
    "multi-vector": (_set(_ALL, model_type="MultiVectorEncoder"), "a multi-vector encoder"),
    "router": (_first("Router"), "module Router .*towers"),
    "asym": (_first("Asym"), "module Asym .*towers"),
    "static": (_first("StaticEmbedding"), "module StaticEmbedding has a vector for each token"),
    "bag of words": (_first("BoW"), "module BoW counts words"),
    "words": (_first("WordEmbeddings"), "module WordEmbeddings"),
    "clip": (_first("CLIPModel"), "module CLIPModel embeds images"),
    "lstm": (_module("LSTM"), "module LSTM"),
    "word weights": (_module("WordWeights"), "module WordWeights"),
    "splade": (_module("SpladePooling"), "SpladePooling belongs to a sparse encoder"),
    "two transformers": (_module("Transformer"), "several transformers"),
    "dot": (_set(_ALL, similarity_fn_name="dot"), r"'dot'.*model\.similarity: cosine"),
    "manhattan": (_set(_ALL, similarity_fn_name="manhattan"), "'manhattan'"),
    "lost prompt": (_set(_ALL, default_prompt_name="topic"), "default_prompt_name is 'topic'"),
    "task": (_set(_READING, transformer_task="fill-mask"), "transformer_task is fill-mask"),
    "query length": (_set(_READING, query_length=32), "query_length .*one of the two texts"),
    "expansion": (_set(_READING, query_expansion={"length": 8}), "query_expansion"),
    "images": (
        _set(_READING, modality_config={"text": {}, "image": {}}),
        "embeds image beside texts",
    ),
    "length": (_set(_READING, max_seq_length=512), r"max_seq_length is 512.*set model\.max_tokens"),
    "quantised": (_set(_CONFIG, quantization_config={"quant_method": "gptq"}), r"form \(gptq\)"),
    "unknown": (_set(_CONFIG, model_type="evil"), "no architecture 'evil'"),
    "own code": (
        _set(_CONFIG, model_type="new", auto_map={"AutoModel": "modeling.NewModel"}),
        "code of its own.*trust_remote_code",
    ),
    "other tokenizer": (
        _set(_READING, tokenizer_name_or_path="x/y"),
        "tokenizer is another model's",
    ),
    "requirements": (
        _set(_ALL, requirements={"pytorch": ">=99"}),
        "requires torch >=99.*here it is",
    ),
    "not installed": (
        _set(_ALL, requirements={"nosuchpackage": {"specifier": ">=1", "reason": "it needs it"}}),
        "requires nosuchpackage >=1 .*not installed",
    ),
    "activation": (
        _module("Dense", settings={"activation_function": "evil.Activation"}),
        "activation of its module Dense is code of its own",
    ),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "missing shard": (
        _set("model.safetensors.index.json", weight_map={"a": "model-00002.safetensors"}),
        "model-00002.safetensors: this part of the weights is missing",
    ),
    "no tokenizer": (_no_tokenizer, "no tokenizer in"),
    "cut weights": (_cut_weights, "weights cannot be read"),
    "convolution": (_module("CNN"), "module CNN mixes padding"),
}


def _spec(base: Path, pairs: Path, model: str = "", train: str = "") -> str:
    return f"""\
name: fit
data: {{train: {pairs}/train.jsonl, dev: {pairs}/dev.jsonl}}
model: {{base: {base}{model}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-2{train}}}
resources: {{device: cpu}}
space: {{train.method: [full, lora]}}
"""


@pytest.fixture
def base(tiny_model: Path, tmp_path: Path) -> Path:
    """A base of this test's own."""
    shutil.copytree(tiny_model, tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize("kind", UNFIT)
def test_a_plan_refuses_what_would_not_hold_everywhere(
    kind: str, base: Path, pair_files: Path, tmp_path: Path
) -> None:
    """With the property's name; and so does whoever loads such a base by itself."""
    edit, message = UNFIT[kind]
    edit(base)
    with pytest.raises(ModelError, match=message):
        make_plan(parse_spec(_spec(base, pair_files)), tmp_path)
    with pytest.raises(ModelError, match=message):
        load_base(base, ModelSpec(base=str(base)))


def test_the_command_ends_with_a_sentence(base: Path, pair_files: Path, tmp_path: Path) -> None:
    """`embft plan` refuses such a base before anything is written."""
    _adapter(base)
    (tmp_path / "spec.yaml").write_text(_spec(base, pair_files))
    arguments = ["plan", str(tmp_path / "spec.yaml"), "--results", str(tmp_path / "results")]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 2, ran.output
    assert "this is an adapter" in ran.output
    assert not (tmp_path / "results").exists()


def test_a_real_static_base_is_refused(pair_files: Path, tmp_path: Path) -> None:
    """As sentence-transformers saves one."""
    static = modules.StaticEmbedding(Tokenizer(WordLevel({"a": 0}, "a")), embedding_dim=4)
    SentenceTransformer(modules=[static], device="cpu").save_pretrained(str(tmp_path / "static"))
    with pytest.raises(ModelError, match="StaticEmbedding has a vector for each token"):
        make_plan(parse_spec(_spec(tmp_path / "static", pair_files)), tmp_path)


ASKED: dict[str, tuple[str, str, str]] = {
    "layer": (", layer: 3", "", "model.layer is 3, but this model has 2 layers"),
    "positions": (", max_tokens: 65", "", "positions for 64 tokens"),
    "left": (", padding_side: left", "", "model.padding_side is left"),
    "quantised": (", quantization: 8bit", "", "quantised weights cannot be trained|bitsandbytes"),
    "dims": ("", ", loss: {name: cosent, matryoshka_dims: [33]}", "have 32 dimensions"),
    "target": ("", ", lora: {target_modules: [query, nosuch]}", "of this base is called 'nosuch'"),
    "other target": ("", ", lora: {target_modules: [q_proj]}", "called 'q_proj': .*query"),
    "whole path": ("", ", lora: {target_modules: [layer.0.query]}", "called 'layer.0.query'"),
    "table": ("", ", lora: {target_modules: [word_embeddings]}", "called 'word_embeddings'"),
    "float16": (", dtype: float16", "", "model.dtype is float16"),
    "flash": (", attn_implementation: flash_attention_2", "", "needs an NVIDIA GPU"),
    "mixed": (", dtype: bfloat16", ", precision: fp16", "a CPU cannot mix"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ASKED)
def test_a_plan_refuses_what_a_base_cannot_do(
    kind: str, tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """Known from its files, before anything runs; the field is named."""
    model, train, message = ASKED[kind]
    with pytest.raises(Exception, match=message) as error:
        make_plan(parse_spec(_spec(tiny_model, pair_files, model, train)), tmp_path)
    assert not isinstance(error.value, AssertionError)


def test_a_base_s_own_length_is_not_outdone_in_silence(
    base: Path, pair_files: Path, tmp_path: Path
) -> None:
    """A length set for every call of the processor would beat the one that is asked for."""
    _set(_READING, processing_kwargs={"text": {"max_length": 8}})(base)
    assert make_plan(parse_spec(_spec(base, pair_files)), tmp_path).trials
    for asked in (", max_tokens: 16", ", template: 'Topic: {text}'"):
        with pytest.raises(ModelError, match="this base reads 8 tokens of a text whatever else"):
            make_plan(parse_spec(_spec(base, pair_files, asked)), tmp_path)


def test_a_file_is_no_base(tiny_model: Path) -> None:
    """The folder that it is in is one."""
    with pytest.raises(ModelError, match="a file: give the folder that it is in"):
        find_base_model(str(tiny_model / "model.safetensors"))


@pytest.mark.parametrize("pooling", ["max", "text_mean"])
def test_a_pooling_of_the_spec_leaves_the_prompt_out_as_the_base_does(
    pooling: Any, kinds: dict[str, Path]
) -> None:
    """`include_prompt: false` holds for the pooling that takes the base's place."""
    base = kinds["prompt left out"]
    model = load_base(base, ModelSpec(base=str(base), pooling=pooling)).eval()
    (found,) = encode(model, TEXTS[:1])
    features = model.preprocess(TEXTS[:1], prompt="we like ")
    with torch.no_grad():
        states = model[0](features)["token_embeddings"][0].numpy()
    own = states[features["prompt_length"] :]
    bert = model.tokenizer.cls_token_id == features["input_ids"][0, 0]
    wanted = own.max(axis=0) if pooling == "max" else own[: -1 if bert else None].mean(axis=0)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("targets", ["[query]", "[attention.self.query, value]", "all-linear"])
def test_targets_that_are_there_are_accepted(
    targets: str, tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """By their last name, by the end of their whole name, or all."""
    text = _spec(tiny_model, pair_files, train=f", lora: {{target_modules: {targets}}}")
    assert make_plan(parse_spec(text), tmp_path).trials


def _finished(text: str, results: Path) -> dict[str, Path]:
    """The folders of the trials of a spec, trained and scored in this process, by method."""
    found = run_spec(parse_spec(text), results)
    return {method: trial.path for method, trial in found.items()}


def _saved(folder: Path, *parts: torch.nn.Module, **settings: Any) -> Path:
    model = SentenceTransformer(modules=list(parts), device="cpu", **settings)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _kinds(plain: Path, root: Path) -> dict[str, Path]:
    """Bases that have what the plain one has not."""

    def first(**more: Any) -> torch.nn.Module:
        transformer: torch.nn.Module = modules.Transformer(str(plain), **more)
        return transformer

    prompts = {"prompts": {"query": "we like "}, "default_prompt_name": "query"}
    out = modules.Pooling(32, pooling_mode="mean", include_prompt=False)
    layers = first(config_kwargs={"output_hidden_states": True})
    return {
        "prompt": _saved(root / "prompt", first(), modules.Pooling(32), **prompts),
        "prompt left out": _saved(root / "without", first(), out, **prompts),
        "truncated": _saved(root / "truncated", first(), modules.Pooling(32), truncate_dim=8),
        "dot": _saved(root / "dot", first(), modules.Pooling(32), similarity_fn_name="dot"),
        "dense": _saved(
            root / "dense", first(), modules.Pooling(32), modules.Dense(32, 16, bias=False),
            modules.LayerNorm(16), modules.Dropout(0.1), modules.Normalize(),
        ),
        "layers": _saved(
            root / "layers", layers, modules.WeightedLayerPooling(32, 2, layer_start=1),
            modules.Pooling(32, pooling_mode=("mean", "max", "cls")),
        ),
        "lower case": _saved(root / "lower", first(do_lower_case=True), modules.Pooling(32)),
    }  # fmt: skip


KINDS = (
    "prompt", "prompt left out", "truncated", "dot", "dense", "layers", "lower case",
)  # fmt: skip


@pytest.fixture(scope="module", params=["bert", "qwen3"])
def kinds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Bases of every kind, of an architecture that pads on the right, and one on the left."""
    root = tmp_path_factory.mktemp(str(request.param))
    plain = make(request.param, root / "plain")
    if request.param == "qwen3":
        _set("tokenizer_config.json", padding_side="left")(plain)
    return _kinds(plain, root)


@pytest.mark.parametrize("kind", KINDS)
def test_a_property_of_a_base_holds_in_training_as_in_scoring(
    kind: str, kinds: dict[str, Path]
) -> None:
    """What training computes of a text is what plain `encode` gives, and differs from what it would
    be without the property.
    """
    spec = ModelSpec(base=str(kinds[kind]), similarity="cosine" if kind == "dot" else None)
    model = load_base(kinds[kind], spec).eval()
    plain = SentenceTransformer(str(kinds[kind]), device="cpu")
    texts = ["I LOVE dogs", *TEXTS]
    wanted = plain.encode(texts, show_progress_bar=False)
    tokens = Tokenised(model, [texts])
    with torch.no_grad():
        trained = Encoder(model, tokens).embed(tokens.columns[0]).numpy()
    np.testing.assert_allclose(trained, wanted, atol=2e-5)
    np.testing.assert_allclose(encode(model, texts), wanted, atol=2e-5)
    if "prompt" in kind:
        assert np.abs(plain.encode(texts, prompt="") - wanted).max() > 1e-3
    if kind == "truncated":
        assert trained.shape == (len(texts), 8)
    if kind == "dot":
        assert model.similarity_fn_name == "cosine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_property_of_a_base_is_saved_with_what_is_trained(
    kind: str, kinds: dict[str, Path], pair_files: Path, tmp_path: Path
) -> None:
    """Both methods: plain sentence-transformers gives the embeddings that were verified."""
    model = ", similarity: cosine" if kind == "dot" else ""
    folders = _finished(_spec(kinds[kind], pair_files, model), tmp_path)
    for method in ("full", "lora"):
        reference = Reference.read(TrialDir(folders[method]).reference_file)
        plain = SentenceTransformer(str(folders[method] / "model"), device="cpu")
        found = plain.encode(list(reference.texts), show_progress_bar=False)
        np.testing.assert_allclose(found, reference.trained, atol=1e-5)
        assert plain.similarity_fn_name == "cosine"


def test_a_prompt_moves_training_and_baseline(
    kinds: dict[str, Path], pair_files: Path, tmp_path: Path
) -> None:
    """The base's score, before any training, is the one of plain `encode` with the prompt."""
    base = kinds["prompt"]
    plan = make_plan(parse_spec(_spec(base, pair_files)), tmp_path)
    assert any("default prompt 'query': 'we like '" in note for note in plan.notes)
    with_template = _spec(base, pair_files, ", template: 'Topic: {text}'")
    notes = make_plan(parse_spec(with_template), tmp_path).notes
    assert any("takes the place of its default prompt" in note for note in notes)
    model = load_base(base, ModelSpec(base=str(base), template="Topic: {text}"))
    assert model.default_prompt_name is None


def test_prompts_that_are_nobodys_default_are_pointed_out(
    base: Path, pair_files: Path, tmp_path: Path
) -> None:
    """They are saved with the model, and used for no text."""
    _set(_ALL, prompts={"topic": "t: ", "document": ""})(base)
    (note,) = make_plan(parse_spec(_spec(base, pair_files)), tmp_path).notes
    assert "its prompts 'topic' are put before no text" in note


@pytest.mark.parametrize("packs", [True, False])
def test_a_token_without_an_embedding_is_named(
    packs: bool, base: Path, pair_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens that were added to the tokenizer alone: a plan points at them, and who embeds a text
    that has one fails with its name. Other texts are embedded.
    """
    tokenizer = load_base(base, ModelSpec(base=str(base))).tokenizer
    tokenizer.add_tokens(["zebra", "[bla]"])
    tokenizer.save_pretrained(base)
    (note,) = make_plan(parse_spec(_spec(base, pair_files)), tmp_path).notes
    assert "no embedding for 2 of its tokenizer's tokens ('zebra', '[bla]')" in note
    model = load_base(base, ModelSpec(base=str(base)))
    monkeypatch.setattr("embft.encoding.encoder.can_pack", lambda _: packs)
    assert np.isfinite(encode(model, TEXTS)).all()
    for embed in (encode, lambda *given: Tokenised(given[0], [given[1]])):
        with pytest.raises(ModelError, match=r"the token 'zebra' .* tokens were added"):
            embed(model, [*TEXTS, "a zebra"])


@pytest.mark.parametrize("saved", ["float16", "bfloat16"])
def test_a_base_in_16_bits_is_trained_in_32_on_a_cpu(
    saved: str, pair_files: Path, tmp_path: Path
) -> None:
    """As by `model.dtype: float32`, which the plan says; what is saved loads the same."""
    base = make("bert", tmp_path / "base", dtype=saved)
    text = _spec(base, pair_files)
    (note,) = make_plan(parse_spec(text), tmp_path).notes
    assert f"saved in {saved}; on a CPU they are loaded in float32" in note
    assert load_base(base, ModelSpec(base=str(base))).dtype == torch.float32
    as_saved = ModelSpec.model_validate({"base": str(base), "dtype": saved})
    assert load_base(base, as_saved).dtype == getattr(torch, saved)
    for method, folder in _finished(text, tmp_path).items():
        if method != "none":
            reference = Reference.read(TrialDir(folder).reference_file)
            plain = SentenceTransformer(str(folder / "model"), device="cpu")
            assert plain.dtype == torch.float32
            np.testing.assert_allclose(
                plain.encode(list(reference.texts)), reference.trained, atol=1e-5
            )


def test_an_adapter_freezes_all_of_its_base(kinds: dict[str, Path]) -> None:
    """Modules behind the transformer too: nothing but the low-rank matrices is trained."""
    from embft.models.base import build
    from embft.spec import TrainSpec

    base = kinds["dense"]
    model = build(base, ModelSpec(base=str(base)), TrainSpec(method="lora"))
    assert all("lora_" in n for n, p in model.named_parameters() if p.requires_grad)


def test_a_folder_of_a_trial_is_no_base(kinds: dict[str, Path], tmp_path: Path) -> None:
    """What to give instead is said."""
    folder = tmp_path / "trial"
    shutil.copytree(kinds["dense"], folder / "model")
    (folder / "trial.json").write_text("{}")
    with pytest.raises(ModelError, match=r"the folder of a trial: give .*trial/model"):
        find_base_model(str(folder))
    (folder / "model" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"trained an adapter: .*embft merge"):
        find_base_model(str(folder))
