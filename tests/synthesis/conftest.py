"""A tiny generator, and texts of words that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WORDS = ["the", "a", "dog", "cat", "house", "garden", "runs", "sleeps", "eats", "happy", "small"]
WORDS += ["old", "and", "in", "on", "with"]
TEXTS = [f"the {WORDS[i % 9]} {WORDS[(i * 7) % 16]} in the {WORDS[i % 5]} {i}" for i in range(24)]


def words_tokenizer(folder: Path, **more: str) -> Any:
    """A tokenizer of whole words, made on the spot."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    names = [*special.values(), *WORDS, *map(str, range(24)), *",.:?!"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=512, **special, **more
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 2 layers with random weights and a chat form, as a folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    form = "{% for m in messages %}<s> {{ m.content }} : {% endfor %}"
    vocabulary = len(words_tokenizer(folder, chat_template=form))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
