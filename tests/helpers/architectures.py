"""Small models of real architectures, with random weights and tokenizers, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TEXTS = ["i love dogs", "you never hate the cats and we like tea", "music films and coffee always"]
_SPECIALS = {
    "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>",
    "sep_token": "</s>", "mask_token": "<mask>",
}  # fmt: skip
_USUAL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
_GROUPED = {**_USUAL, "num_key_value_heads": 1}
_NARROW = {**_GROUPED, "head_dim": 16}


@dataclass(frozen=True)
class Architecture:
    """A class of transformers with the settings that make it small.

    known_for: models that are built so. decoder: texts get no BOS and EOS. padding: the number of
    the token for padding, which stands in some classes' code.
    """

    model: str
    known_for: str
    settings: dict[str, Any] = field(default_factory=lambda: _USUAL)
    decoder: bool = False
    padding: int = 0


# The first fifteen are those most used, as bases of models for embeddings.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("Bert", "all-MiniLM, bge, e5, gte, mxbai-embed"),
    "mpnet": Architecture(
        "MPNet", "all-mpnet-base-v2", {**_USUAL, "max_position_embeddings": 66}, padding=1
    ),
    "xlm-roberta": Architecture("XLMRoberta", "bge-m3, multilingual-e5, paraphrase-multilingual"),
    "roberta": Architecture("Roberta", "all-roberta-large, simcse, distilroberta"),
    "distilbert": Architecture(
        "DistilBert",
        "msmarco-distilbert, distiluse",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    ),
    "modernbert": Architecture("ModernBert", "modernbert-embed, gte-modernbert"),
    "albert": Architecture("Albert", "paraphrase-albert", {**_USUAL, "embedding_size": 16}),
    "electra": Architecture("Electra", "electra-base", {**_USUAL, "embedding_size": 16}),
    "deberta-v2": Architecture(
        "DebertaV2",
        "deberta-v3, mdeberta",
        {**_USUAL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
         "position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    ),
    "t5": Architecture(
        "T5",
        "gtr-t5, sentence-t5, instructor (the encoder)",
        {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    ),
    "qwen3": Architecture("Qwen3", "Qwen3-Embedding", _NARROW, decoder=True),
    "qwen2": Architecture("Qwen2", "gte-Qwen2", _GROUPED, decoder=True),
    "mistral": Architecture("Mistral", "e5-mistral, SFR-Embedding", _GROUPED, decoder=True),
    "llama": Architecture("Llama", "LLM2Vec, tiny-llama", _GROUPED, decoder=True),
    "gemma3_text": Architecture(
        "Gemma3Text", "embeddinggemma", {**_NARROW, "use_bidirectional_attention": True}
    ),
    "nomic_bert": Architecture("NomicBert", "nomic-embed-text-v1.5"),
    "jina_embeddings_v3": Architecture("JinaEmbeddingsV3", "jina-embeddings-v3 (its encoder)"),
    "eurobert": Architecture("EuroBert", "EuroBERT", _GROUPED),
    "camembert": Architecture("Camembert", "sentence-camembert"),
    "deberta": Architecture(
        "Deberta",
        "deberta-base (in float32 alone)",
        {**_USUAL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    ),
    "mt5": Architecture(
        "MT5",
        "multilingual T5 (the encoder)",
        {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    ),
    "gemma": Architecture("Gemma", "gemma-2b", _NARROW, decoder=True),
    "gemma2": Architecture("Gemma2", "bge-multilingual-gemma2", _NARROW, decoder=True),
    "phi3": Architecture("Phi3", "phi-3", _GROUPED, decoder=True),
    "gpt_neox": Architecture("GPTNeoX", "pythia", decoder=True),
    "gpt2": Architecture(
        "GPT2", "SGPT", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}, decoder=True
    ),
    "opt": Architecture(
        "OPT",
        "opt",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 64,
         "word_embed_proj_dim": 32, "max_position_embeddings": 64},
        decoder=True,
    ),
    "bart": Architecture(
        "Bart",
        "bart-base (the decoder's states)",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
         "max_position_embeddings": 64},
    ),
    "xlnet": Architecture(
        "XLNet", "xlnet-base", {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}
    ),
}  # fmt: skip


def make(name: str, folder: Path, dtype: str = "float32") -> Path:
    """Write a small model of this architecture to a folder, in Hugging Face's plain format."""
    import torch
    import transformers

    chosen = ARCHITECTURES[name]
    padding, first = chosen.padding, 1 - chosen.padding
    vocabulary = _write_tokenizer(folder, specials=not chosen.decoder, padding=padding)
    config = getattr(transformers, f"{chosen.model}Config")(
        vocab_size=vocabulary, pad_token_id=padding, bos_token_id=first, eos_token_id=2,
        cls_token_id=first, sep_token_id=2, mask_token_id=3, **chosen.settings,
    )  # fmt: skip
    kind = "EncoderModel" if chosen.model in {"T5", "MT5"} else "Model"
    torch.manual_seed(0)
    model = getattr(transformers, f"{chosen.model}{kind}")(config)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path, *, specials: bool, padding: int) -> int:
    """Byte-level BPE. specials: BOS and EOS around every text. padding: 0 or 1, the number of that
    token. Returns its number of tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[*(("<s>", "<pad>") if padding else ("<pad>", "<s>")), "</s>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    if specials:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> $B </s>",
            special_tokens=[("<s>", 1 - padding), ("</s>", 2)],
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **_SPECIALS)
    fast.save_pretrained(folder)
    return len(fast)
