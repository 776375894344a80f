"""Bases of every kind: pooling, templates, layers and padding against a plain reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sentence_transformers import SentenceTransformer

from embft.errors import ModelError, SpecError
from embft.models.base import load_base, open_model
from embft.models.prompt_template import wrap_texts
from embft.models.resolve import find_base_model
from embft.models.save import Origin, save
from embft.models.tiny_decoder import Size, make_decoder
from embft.models.token_layout import token_layout
from embft.spec import ModelSpec, parse_spec
from embft.spec.prompt_templates import PROMPT_TEMPLATES, around

Array = npt.NDArray[np.float64]

TEXTS = ["i love dogs", "you never hate the cats and we like tea", "music", "a"]
LONG = "we like music and tea and dogs and cats " * 4
POOLINGS: dict[str, Callable[[Array, Array], Array]] = {
    # states (tokens, width) and which of them are the text's own (tokens,)
    "mean": lambda states, _: states.mean(axis=0),
    "last": lambda states, _: states[-1],
    "eos": lambda states, _: states[-1],
    "last_mean": lambda states, _: np.concatenate([states[-1], states.mean(axis=0)]),
    "weighted_mean": lambda states, _: np.average(
        states, axis=0, weights=np.arange(1, len(states) + 1)
    ),
    "text_mean": lambda states, own: states[own == 1].mean(axis=0),
    "cls": lambda states, _: states[0],
    "max": lambda states, _: states.max(axis=0),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    """Real architectures made small: two decoders and an encoder, as plain Hugging Face folders."""
    folder = tmp_path_factory.mktemp("bases")
    size = Size(width=32, layers=3, vocabulary=400, positions=512)
    make_decoder(folder / "llama", "llama", [*TEXTS, LONG], size)
    make_decoder(folder / "qwen3", "qwen3", [*TEXTS, LONG], size)
    return {**{p.name: p for p in folder.iterdir()}, "bert": tiny_model.parent / "bert"}


def _spec(base: Path, **fields: Any) -> ModelSpec:
    return ModelSpec(base=str(base), **fields)


class Reference:
    """One text at a time, no padding, no module of ours: ids put together by hand."""

    def __init__(self, base: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.model = AutoModel.from_pretrained(base).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(base)

    def ids(
        self, text: str, template: str | None, *, eos: bool, most: int
    ) -> tuple[list[int], list[int]]:
        """The ids of a text in its template, and 1 for each that is the text's own."""
        before, after = around(template) if template else ("", "")
        bert = self.tokenizer.cls_token_id is not None
        spaced = before.endswith(" ") and not bert

        def plain(part: str) -> list[int]:
            return list(self.tokenizer(part, add_special_tokens=False)["input_ids"])

        first = self.tokenizer.cls_token_id if bert else self.tokenizer.bos_token_id
        last = self.tokenizer.sep_token_id if bert else self.tokenizer.eos_token_id
        lead = ([] if first is None else [first]) + plain(before.rstrip())
        trail = plain(after) + ([last] if bert or eos else [])
        middle = plain(f" {text}" if spaced else text)[: most - len(lead) - len(trail)]
        own = [0] * len(lead) + [1] * len(middle) + [0] * len(trail)
        return lead + middle + trail, own

    def embed(
        self, text: str, pooling: str, template: str | None, layer: int = -1, most: int = 512
    ) -> Array:
        """The embedding of a text, by plain indexing of the hidden states."""
        ids, own = self.ids(text, template, eos=pooling == "eos", most=most)
        with torch.no_grad():
            found = self.model(torch.tensor([ids]), output_hidden_states=True)
        states = found.hidden_states[layer][0].double().numpy()
        return POOLINGS[pooling](states, np.array(own))


CASES = [("llama", "left"), ("llama", "right"), ("qwen3", "left"), ("qwen3", "right")]
CASES += [("bert", "right")]


@pytest.mark.parametrize(("base", "side"), CASES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_pooling_is_what_a_plain_reference_gives(
    bases: dict[str, Path], base: str, side: str, pooling: str, tmp_path: Path
) -> None:
    """A batch padded on either side gives what single unpadded texts give, and so does the saved
    model in sentence-transformers' hands.
    """
    reference = Reference(bases[base])
    spec = _spec(bases[base], pooling=pooling, template="eol", padding_side=side)
    model = load_base(bases[base], spec)
    expected = np.stack([reference.embed(text, pooling, "eol") for text in TEXTS])
    found = model.encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    save(model, tmp_path / "saved", Origin("base"))
    # What is not sentence-transformers' own asks for trust, and is still this package's own code.
    trust = pooling == "text_mean"
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu", trust_remote_code=trust)
    np.testing.assert_array_equal(again.encode(TEXTS), found)


@pytest.mark.parametrize("template", PROMPT_TEMPLATES)
@pytest.mark.parametrize("base", ["llama", "qwen3"])
def test_each_template_survives_a_text_that_is_cut(
    bases: dict[str, Path], base: str, template: str
) -> None:
    """The text loses its end, never the template; what counts as the text's own is exactly it."""
    spec = _spec(bases[base], template=template, max_tokens=12, pooling="text_mean")
    model = load_base(bases[base], spec)
    layout = token_layout(model.tokenizer)
    most = int(model.max_seq_length or 0)
    assert most == 12 + layout.template_tokens
    reference = Reference(bases[base])
    for text in (TEXTS[0], LONG):
        ids, own = reference.ids(text, template, eos=False, most=most)
        assert model.tokenizer(text, truncation=True)["input_ids"] == ids
        assert len(ids) - layout.before - layout.after == sum(own)
    expected = reference.embed(LONG, "text_mean", template, most=most)
    np.testing.assert_allclose(model.encode([LONG, "a"])[0], expected, atol=2e-5)


def test_a_template_that_leaves_no_room_is_refused(bases: dict[str, Path]) -> None:
    """The tiny BERT reads 64 tokens; a longer template is an error, not a text that is empty."""
    with pytest.raises(ModelError, match="no token is left for a text in the 64"):
        load_base(bases["bert"], _spec(bases["bert"], template="knowledge"))


@pytest.fixture(scope="module")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A RoBERTa of 40 rows of positions, of which no token gets the first two."""
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model.parent / "bert")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=1,
    )
    RobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("fields", [{}, {"template": "a {text} b"}, {"max_tokens": 38}])
def test_a_robertas_first_positions_are_no_tokens(tiny_roberta: Path, fields: Any) -> None:
    """The longest text is as long as the positions that are left, with a template or without."""
    model = load_base(tiny_roberta, _spec(tiny_roberta, **fields))
    assert model.max_seq_length == 38
    assert model.preprocess([LONG])["input_ids"].shape == (1, 38)
    assert np.isfinite(model.encode([LONG])).all()


def test_a_text_may_be_as_long_as_the_model_has_positions(tiny_model: Path, tmp_path: Path) -> None:
    """The tiny BERT reads 32 tokens, and could read 64: what is asked for beyond is refused."""
    model = load_base(tiny_model, _spec(tiny_model, max_tokens=60))
    assert model.preprocess([LONG])["input_ids"].shape[1] > 32
    save(model, tmp_path / "saved", Origin("base"))
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_array_equal(again.encode([LONG]), model.encode([LONG]))
    with pytest.raises(ModelError, match="positions for 64 tokens: set it to 64 or less"):
        load_base(tiny_model, _spec(tiny_model, max_tokens=65))
    asked = _spec(tiny_model, max_tokens=64, template="a {text} b")
    with pytest.raises(ModelError, match="2 of them for the prompt template: set it to 62 or less"):
        load_base(tiny_model, asked)


def _with_spaces_first(kind: str) -> Any:
    """A tokenizer that begins each text as words begin, as SentencePiece's do."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    steps = pre_tokenizers.Metaspace(prepend_scheme="always" if kind == "always" else "first")
    tokenizer.pre_tokenizer = steps
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([*TEXTS, LONG, *PROMPT_TEMPLATES.values()], trainer)
    if kind == "llama-2":
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        tokenizer.pre_tokenizer = None
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.mark.parametrize("kind", ["first", "always", "llama-2"])
@pytest.mark.parametrize(
    "template", [*PROMPT_TEMPLATES, "Topic: {text}", "{text} is of", '"{text}"']
)
def test_parts_are_tokenised_as_in_the_filled_template(
    kind: str, template: str, tmp_path: Path
) -> None:
    """No space token stands where the filled template has none, after loading again too."""
    from transformers import AutoTokenizer

    tokenizer = _with_spaces_first(kind)
    before, after = around(template)
    wrapped = wrap_texts(tokenizer, template, bos=None, eos=None)
    wrapped.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        whole = tokenizer(before + text + after, add_special_tokens=False)["input_ids"]
        assert wrapped(text)["input_ids"] == whole
        assert again(text)["input_ids"] == whole


@pytest.mark.parametrize("layer", [0, 1, 2, 3, -1, -2, -4])
@pytest.mark.parametrize("base", ["llama", "bert"])
def test_a_layer_is_transformers_hidden_state(
    bases: dict[str, Path], base: str, layer: int, tmp_path: Path
) -> None:
    """layer: n is `hidden_states[n]`, after loading too; one too many is refused."""
    if base == "bert" and layer in {3, -4}:
        with pytest.raises(ModelError, match="this model has 2 layers"):
            load_base(bases[base], _spec(bases[base], layer=layer))
        return
    model = load_base(bases[base], _spec(bases[base], layer=layer, pooling="last"))
    expected = [Reference(bases[base]).embed(text, "last", None, layer) for text in TEXTS]
    np.testing.assert_allclose(model.encode(TEXTS), np.stack(expected), atol=2e-5)
    save(model, tmp_path / "saved", Origin("base"))
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize(
    ("base", "fields", "first", "last"),
    [
        ("llama", {}, "<|begin_of_text|>", "s"),
        ("llama", {"bos": False}, "i", "s"),
        ("llama", {"bos": True, "eos": True}, "<|begin_of_text|>", "<|end_of_text|>"),
        ("qwen3", {"pooling": "eos"}, "i", "<|end_of_text|>"),
        ("bert", {"bos": False, "eos": False}, "i", "dogs"),
    ],
)
def test_bos_and_eos_are_there_when_asked_for(
    bases: dict[str, Path], base: str, fields: dict[str, Any], first: str, last: str
) -> None:
    """Unset, each tokenizer does as it always does."""
    model = load_base(bases[base], _spec(bases[base], **fields))
    tokens = model.tokenizer.convert_ids_to_tokens(model.tokenizer(TEXTS[0])["input_ids"])
    assert (tokens[0], tokens[-1][-len(last) :]) == (first, last)


def test_a_missing_bos_is_an_error(bases: dict[str, Path]) -> None:
    """Qwen3 has none, so that asking for it must not pass in silence."""
    with pytest.raises(ModelError, match=r"model.bos: .* has no BOS token"):
        load_base(bases["qwen3"], _spec(bases["qwen3"], bos=True))


def test_left_padding_is_refused_where_it_would_change_embeddings(bases: dict[str, Path]) -> None:
    """A BERT counts positions from the row's start."""
    with pytest.raises(ModelError, match="counts positions from the start"):
        load_base(bases["bert"], _spec(bases["bert"], padding_side="left"))


def test_without_options_a_model_is_left_as_it_is(tiny_model: Path) -> None:
    """Nothing set, nothing changed: modules, tokenizer and embeddings are the model's own."""
    ours = load_base(tiny_model, _spec(tiny_model))
    theirs = SentenceTransformer(str(tiny_model), device="cpu")
    assert repr(ours) == repr(theirs)
    assert type(ours.tokenizer) is type(theirs.tokenizer)
    np.testing.assert_array_equal(ours.encode(TEXTS), theirs.encode(TEXTS))


def test_dtype_and_attention_are_the_spec_s(bases: dict[str, Path]) -> None:
    """They reach the model; bfloat16 gives nearly the same embeddings."""
    spec = _spec(bases["llama"], dtype="bfloat16", attn_implementation="eager")
    model = load_base(bases["llama"], spec)
    assert model.dtype == torch.bfloat16
    assert model.config is not None
    assert model.config._attn_implementation == "eager"
    plain = load_base(bases["llama"], _spec(bases["llama"])).encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS), plain, atol=0.1)


def test_code_that_a_model_brings_is_never_run(bases: dict[str, Path], tmp_path: Path) -> None:
    """Neither a folder's own architecture nor a module named in its modules.json."""
    import shutil

    evil = tmp_path / "evil"
    shutil.copytree(bases["llama"], evil)
    ran = tmp_path / "ran"
    (evil / "modeling_evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((evil / "config.json").read_text())
    auto = {"AutoModel": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}
    config |= {"model_type": "evil", "auto_map": auto}
    (evil / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="it brings code of its own"):
        load_base(evil, _spec(evil))
    with pytest.raises(ModelError, match="cannot load"):
        open_model(evil, _spec(evil))
    module = {"idx": 0, "name": "0", "path": "", "type": "modeling_evil.Evil"}
    (evil / "modules.json").write_text(json.dumps([module]))
    with pytest.raises(ModelError, match="would run code"):
        load_base(evil, _spec(evil))
    assert not ran.exists()


def test_the_built_in_decoders_are_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made twice from nothing, their files have one digest, which is written down here."""
    digests = []
    for i in range(2):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(i)))
        find_base_model.cache_clear()
        digests.append([find_base_model(name).digest[:8] for name in ("tiny-llama", "tiny-qwen3")])
    assert digests == [["0882181c", "07af86e3"]] * 2


def test_a_folder_has_no_revision(tiny_model: Path) -> None:
    """One that is asked for must not pass in silence."""
    with pytest.raises(ModelError, match=r"model\.revision is 'v1', but model.base is a folder"):
        find_base_model(str(tiny_model), "v1")


def _with_model(fields: str) -> str:
    return f"name: x\ndata: {{dataset: dating}}\nmodel: {{{fields}}}\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("template: clster", "did you mean 'cluster'"),
        ("template: 'a {text} b {text}'", "with {text} in it once"),
        ("pooling: mena", "did you mean 'mean'"),
        ("pooling: eos, eos: false", "eos: false removes it"),
        ("quantization: 3bit", "allowed: 4bit, 8bit, none"),
    ],
)
def test_what_a_model_section_cannot_hold_is_refused(fields: str, message: str) -> None:
    """With what is allowed, before anything runs."""
    with pytest.raises(SpecError, match=message):
        parse_spec(_with_model(fields))


def test_one_wording_is_one_trial() -> None:
    """A built-in template has one key, by name or by wording; the bare text is no template."""

    def template(value: str) -> str | None:
        return next(parse_spec(_with_model(f"template: {value}")).trials())[1].model.template

    assert template("eol") == template(json.dumps(PROMPT_TEMPLATES["eol"])) == "eol"
    assert template("none") is template("'{text}'") is None
    assert template("'Topic: {text}'") == "Topic: {text}"
