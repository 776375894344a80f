"""Synthetic pairs: generators, filters, and a run that goes on where it was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embft.cli.data import METHODS
from embft.cli.main import main
from embft.data.load import Columns, load_pairs
from embft.data.texts import normalise
from embft.errors import EmbftError, ModelError
from embft.synthesis.filters import Filter, choose_filter, language_of, similarity
from embft.synthesis.generators import GENERATORS, MODELS, Settings, make
from embft.synthesis.run import synthesize
from tests.synthesis.conftest import TEXTS, words_tokenizer

ANY = Filter(None, None)


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of 2 layers with random weights, as a folder."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    vocabulary = len(words_tokenizer(folder))
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        pad_token_id=0,
        eos_token_id=2,
    )
    config.decoder_start_token_id = 0
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marian of 1 layer with random weights; its sentencepiece models are trained on the spot."""
    import sentencepiece
    import torch
    from transformers import MarianConfig, MarianMTModel

    folder = tmp_path_factory.mktemp("marian")
    (folder / "corpus").write_text("\n".join(TEXTS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus"),
        model_prefix=str(folder / "source"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    names = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]
    names = ["</s>", "<unk>", *(name for name in names if not name.startswith("<")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "de"})
    )
    torch.manual_seed(2)
    pad = len(names) - 1
    config = MarianConfig(
        vocab_size=len(names),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        forced_eos_token_id=0,
    )
    MarianMTModel(config).save_pretrained(folder)
    return folder


def texts_file(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_methods_and_their_names() -> None:
    """The command offers the generators that there are, and none of them needs a third model."""
    assert set(METHODS) == set(GENERATORS)
    assert set(MODELS) <= set(GENERATORS)


@pytest.mark.parametrize("method", ["rewrite", "back-translate", "noise"])
def test_an_answer_depends_on_its_text_alone(
    tiny_llama: Path, tiny_t5: Path, tiny_marian: Path, method: str
) -> None:
    """Alone, in a batch or in another order, and in another process's stead: the same answers; with
    another seed or attempt others.
    """
    models = {"rewrite": (tiny_llama,), "back-translate": (tiny_marian, tiny_t5)}.get(method, ())
    settings = Settings(method, models, max_new_tokens=12)
    generate = make(settings)
    texts = TEXTS[:6]
    together = generate(texts, 1)
    assert [generate([text], 1)[0] for text in texts] == together
    assert generate(texts[::-1], 1)[::-1] == together
    assert generate(texts, 2) != together
    assert make(Settings(method, models, seed=7, max_new_tokens=12))(texts, 1) != together
    assert sum(answer != text for answer, text in zip(together, texts, strict=True)) >= 5


def test_the_sampler_samples() -> None:
    """Tokens come as often as the tempered, cut distribution says, whatever the other rows."""
    import torch

    from embft.synthesis.sampling import RowSampler

    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().mul(0.6).repeat(4000, 1)
    drawn = RowSampler(range(4000), 0.6, 0.9)(torch.zeros(4000, 1, dtype=torch.long), logits)
    share = torch.bincount(drawn.argmax(1), minlength=4) / 4000
    wanted = torch.tensor([0.5, 0.3, 0.15, 0]) / 0.95
    assert torch.allclose(share, wanted, atol=0.03)


def test_the_prompt_keeps_its_end(tiny_llama: Path) -> None:
    """A text beyond the limit is cut before it is put into the prompt; all five instructions are
    drawn.
    """
    from embft.synthesis.generators import stream
    from embft.synthesis.language import INSTRUCTIONS, MAX_TEXT_TOKENS, LanguageModel

    model = LanguageModel(tiny_llama)
    found = model.prompt("dog " * 2000, "Do this.")
    assert found.endswith(" : ")
    assert "Do this." in found
    assert found.count("dog") == MAX_TEXT_TOKENS
    settings = Settings("rewrite")
    drawn = {stream(settings, text, 0).picks(list(INSTRUCTIONS)) for text in TEXTS}
    assert drawn == set(INSTRUCTIONS)
    assert len(INSTRUCTIONS) == 5


@pytest.mark.parametrize(
    ("form", "end"),
    [
        # Like Qwen3's: it thinks unless asked not to. Like its thinking-only kin's: it always does.
        ("{% if enable_thinking is defined and not enable_thinking %}<think> </think>{% endif %}",
         "<think> </think>"),
        ("<think>", "<think>"),
        ("", ": "),
    ],
)  # fmt: skip
def test_thoughts_are_no_answers(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, form: str, end: str
) -> None:
    """A model is asked not to think; what it thinks all the same is left out, and thoughts that do
    not end are rejected with their reason.
    """
    from embft.synthesis.language import LanguageModel

    said = ["a small cat", "<think> hm </think> a small dog", "<think> hm and", "hm </think> a cat"]
    asked: list[str] = []

    def answers(_: Any, prompts: Sequence[str], *__: Any) -> list[str]:
        asked.extend(prompts)
        return said

    folder = tmp_path / "llama"
    shutil.copytree(tiny_llama, folder)
    whole = "{% for m in messages %}<s> {{ m.content }} : {% endfor %}" + form
    (folder / "chat_template.jinja").write_text(whole)
    monkeypatch.setattr(LanguageModel, "answers", answers)
    found = make(Settings("rewrite", (folder,)))(TEXTS[:4], 0)
    assert all(prompt.endswith(end) for prompt in asked)
    assert found[1::2] == ["a small dog", "a cat"]
    assert ANY.reason(TEXTS[2], found[2]) == "unfinished"
    first = ANY.reason(TEXTS[0], found[0])
    assert first == ("unfinished" if end == "<think>" else None)


@pytest.mark.parametrize(
    ("text", "answer", "reason"),
    [
        ("How do I cook rice?", "how do i cook rice", "identical"),
        ("How do I cook rice?", " ?! ", "empty"),
        ("How do I cook rice?", "<think> They want it said in another way, so", "unfinished"),
        ("How do I cook rice?", "How do I cook the rice?", "too_similar"),
        ("How do I cook rice?", "Wie kann ich den Reis gut kochen?", "off_language"),
        ("How do I cook rice?", "What is the way to boil grains so that they are soft?", None),
    ],
)
def test_what_is_not_taken(text: str, answer: str, reason: str | None) -> None:
    """Equal, empty, too similar and foreign answers are counted apart."""
    assert Filter(0.7, "en").reason(text, answer) == reason


def test_the_filter_by_default() -> None:
    """The language is that of the texts; rules are not held to be different; bounds are given."""
    german = ["Der Hund schläft im Garten.", "Wo ist der Bahnhof?", "Das Haus ist klein und alt."]
    assert choose_filter(german, None, None, by_rule=False) == Filter(0.7, "de")
    assert choose_filter(german, None, "any", by_rule=False) == Filter(0.7, None)
    assert choose_filter(german, None, None, by_rule=True) == Filter(None, None)
    with pytest.raises(EmbftError, match="allowed"):
        choose_filter(german, None, "english", by_rule=True)
    assert similarity("a cat", "A cat!") == 1
    assert similarity("abc", "xyz") == 0


@pytest.mark.skipif(
    not (Path(__file__).resolve().parents[3] / "shared" / "data" / "banking77").is_dir(),
    reason="no shared data",
)
def test_languages_of_real_questions() -> None:
    """Of 1,000 real English questions fewer than 3 are taken for another language."""
    import csv

    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "banking77" / "test.csv"
    with path.open() as file:
        texts = [row["text"] for row in csv.DictReader(file)][:1000]
    assert sum(language_of(text) not in {None, "en"} for text in texts) < 3


def test_no_text_is_its_own_positive(tmp_path: Path) -> None:
    """What stays as it is after every attempt is dropped and counted; answers come once."""
    texts = ["one", "two words", "words two", "a b c d e f g h", "a b c d e f g h"]
    out = tmp_path / "pairs.jsonl"
    counts = synthesize(texts, out, Settings("swap"), ANY, retries=3)
    pairs = load_pairs(out, Columns(label=None))
    assert pairs.shape == "positives"
    assert all(normalise(a) != normalise(b) for a, b in zip(*pairs.columns, strict=True))
    assert counts["texts"] == 4
    assert counts["kept"] == len(pairs)
    assert counts["dropped"]["identical"] == 1
    assert counts["examples"]["identical"] == [{"text": "one", "answer": "one"}]
    assert counts["rejected_answers"]["identical"] >= 4
    assert sum(counts["kept_at_attempt"].values()) == counts["kept"]
    assert counts["kept"] + sum(counts["dropped"].values()) == 4
    assert json.loads(out.with_suffix(".counts.json").read_text())["kept"] == counts["kept"]


def test_nothing_taken_is_an_error(tmp_path: Path) -> None:
    """Where every answer is rejected the message says where the reasons stand."""
    with pytest.raises(EmbftError, match=r"counts\.json"):
        synthesize(["one", "two"], tmp_path / "p.jsonl", Settings("swap"), ANY)


def test_what_is_cached_is_not_generated_again(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run loads no model; another filter judges the same answers; another seed does not
    find them.
    """
    import embft.synthesis.run as module

    out = tmp_path / "pairs.jsonl"
    settings = Settings("rewrite", (tiny_llama,), max_new_tokens=8)
    synthesize(TEXTS, out, settings, ANY, retries=0)
    first = out.read_bytes()

    def refuse(_: Settings) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(module, "make", refuse)
    synthesize(TEXTS, out, settings, ANY, retries=0, batch_size=3)
    assert out.read_bytes() == first
    synthesize(TEXTS[:5], out, settings, Filter(0.5, None), retries=0)
    with pytest.raises(AssertionError):
        synthesize(TEXTS, out, Settings("rewrite", (tiny_llama,), seed=1), ANY, retries=0)


def test_a_killed_run_goes_on(tmp_path: Path, tiny_llama: Path) -> None:
    """Kill -9 in the middle, a torn line in the cache: the same command ends with the pairs of a
    run that was never interrupted, and generates nothing twice.
    """
    texts = [f"{text} {i}" for i in range(60) for text in TEXTS]
    source, out = texts_file(tmp_path, texts), tmp_path / "pairs.jsonl"
    options = ["--language", "any", "--retries", "1", "--max-new-tokens", "12"]
    command = ["data", "synthesize", str(source), "--method", "rewrite", "--out", str(out)]
    command += ["--model", str(tiny_llama), *options, "--batch-size", "2"]
    cache = out.with_suffix(".cache.jsonl")
    running = subprocess.Popen(
        [sys.executable, "-c", "from embft.cli.main import main; main()", *command]
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None:
        if cache.exists() and cache.read_bytes().count(b"\n") > 10:
            break
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    before = cache.read_text()
    assert not out.exists()
    with cache.open("a") as file:
        file.write('{"generator": "tor')
    done = CliRunner().invoke(main, [*command[:-1], "64"])
    assert done.exit_code == 0, done.output
    assert cache.read_text().startswith(before[: before.rfind("\n") + 1])
    rows = [json.loads(line) for line in cache.read_text().splitlines()]
    asked = [(row["attempt"], row["text"]) for row in rows]
    assert len(asked) == len(set(asked))
    whole = tmp_path / "whole.jsonl"
    settings = Settings("rewrite", (tiny_llama,), max_new_tokens=12)
    synthesize(texts, whole, settings, Filter(0.7, None), retries=1, batch_size=64)
    assert whole.read_bytes() == out.read_bytes()


def test_the_command(tmp_path: Path) -> None:
    """The command says what was kept and dropped; what it wrote trains as positives."""
    source = texts_file(tmp_path, [*TEXTS, "one"])
    out = tmp_path / "pairs.jsonl"
    options = ["--method", "deletion", "--out", str(out), "--language", "any"]
    done = CliRunner().invoke(main, ["data", "synthesize", str(source), *options])
    assert done.exit_code == 0, done.output
    assert "pairs of 25 texts" in done.output
    assert "texts dropped: identical" in done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "rewrite"], "needs one model's folder"),
        (["--method", "back-translate", "--model", "HERE"], "needs two models' folders"),
        (["--method", "noise", "--model", "HERE"], "needs no model; 1 were given"),
        (["--method", "rewrite", "--model", "HERE"], "no *.safetensors"),
        (["--method", "noise", "--column", "texts"], "did you mean 'text'"),
        (["--method", "noise", "--language", "xx"], "--language xx"),
        (["--method", "noise", "--out", "a.csv"], "ending in .jsonl"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, options: list[str], words: str) -> None:
    """Wrong numbers of models, folders without one, unknown columns and languages: exit status 2
    and a sentence.
    """
    given = [str(tmp_path) if option == "HERE" else option for option in options]
    command = ["data", "synthesize", str(texts_file(tmp_path)), "--out", str(tmp_path / "o.jsonl")]
    done = CliRunner().invoke(main, [*command, *given])
    assert done.exit_code == 2
    assert words in done.output


def test_a_damaged_model_is_named(tmp_path: Path, tiny_llama: Path) -> None:
    """A folder whose model cannot be loaded is refused by name, without a traceback."""
    (tmp_path / "model.safetensors").write_bytes((tiny_llama / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no generating model"):
        synthesize(["a b"], tmp_path / "o.jsonl", Settings("rewrite", (tmp_path,)), ANY)
