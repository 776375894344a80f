"""Decoders with random weights, made on the spot: `tiny-llama` and `tiny-qwen3`.

They know nothing, yet run the same code as the real architectures, so that a sweep over pooling and
templates can be tried, tested and seen to learn without any download. Weights come from numpy and a
fixed seed, the tokenizer is trained on the built-in pairs: the same files everywhere. Imports no
torch, so that a plan stays fast.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Architecture = Literal["llama", "qwen3"]
BUILT_IN: dict[str, Architecture] = {"tiny-llama": "llama", "tiny-qwen3": "qwen3"}
_VERSION = 1  # part of the folder's name: raise it with whatever changes the files
_CACHE = "embft"
_SEED = 20_250_729
_DEVIATION = 0.02  # both architectures' own initial standard deviation
_BOS, _EOS = "<|begin_of_text|>", "<|end_of_text|>"


@dataclass(frozen=True)
class Size:
    """The shape of a decoder; two query heads share a key and value head."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    vocabulary: int = 2048
    positions: int = 512


def built_in_name(base: str) -> str | None:
    """The name of the built-in decoder that a base is, given by name or by its folder, which may
    stand on another machine; None where it is none.
    """
    path = Path(base)
    if path.parent.name == _CACHE:
        base = path.name.removesuffix(f"-{_VERSION}")
    return base if base in BUILT_IN else None


def cache_folder() -> Path:
    """Where built-in decoders are kept once they were made."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _CACHE


def built_in_decoder(name: str) -> Path:
    """The folder of a built-in decoder, made when it is first asked for."""
    folder = cache_folder() / f"{name}-{_VERSION}"
    if not folder.exists():
        from embft.data.dating import generate

        train = generate().train
        make_decoder(folder, BUILT_IN[name], [*train.text_1, *train.text_2])
    return folder


def make_decoder(
    folder: Path, architecture: Architecture, texts: Sequence[str], size: Size | None = None
) -> None:
    """Write a decoder with random weights and a tokenizer trained on these texts to a folder.

    It appears there whole or not at all. As the real ones, a Llama begins each text with BOS, a
    Qwen3 adds nothing.
    """
    size = size or Size()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    vocabulary = _write_tokenizer(temporary, architecture, texts, size)
    config = _config(architecture, size, vocabulary)
    (temporary / "config.json").write_text(json.dumps(config, indent=2))
    _write_weights(temporary / "model.safetensors", config)
    try:
        temporary.rename(folder)
    except OSError:  # another process was first, with the same files
        shutil.rmtree(temporary)


def _config(architecture: Architecture, size: Size, vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaModel" if architecture == "llama" else "Qwen3Model"],
        "model_type": architecture,
        "vocab_size": vocabulary,
        "hidden_size": size.width,
        "intermediate_size": 3 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads // 2,
        "head_dim": size.width // size.heads,
        "hidden_act": "silu",
        "max_position_embeddings": size.positions,
        "rms_norm_eps": 1e-6,
        "dtype": "float32",
    }


def _write_tokenizer(
    folder: Path, architecture: Architecture, texts: Sequence[str], size: Size
) -> int:
    """Byte-level BPE, as both architectures have. Returns its number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    specials = [_BOS, _EOS] if architecture == "llama" else [_EOS]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": _EOS, "pad_token": _EOS}
    if architecture == "llama":
        settings["bos_token"] = _BOS
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{_BOS} $A", pair=f"{_BOS} $A {_BOS} $B", special_tokens=[(_BOS, 0)]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    return int(tokenizer.get_vocab_size())


def _write_weights(path: Path, config: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    generator = np.random.Generator(np.random.PCG64(_SEED))
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for name, shape in _shapes(config):
        is_norm = len(shape) == 1
        drawn = generator.standard_normal(shape, dtype=np.float32) * np.float32(_DEVIATION)
        weights[name] = np.ones(shape, np.float32) if is_norm else drawn
    save_file(weights, path, metadata={"format": "pt"})


def _shapes(config: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Every weight's name and shape, in a fixed order."""
    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    if config["model_type"] == "qwen3":
        layer |= {"self_attn.q_norm": (head,), "self_attn.k_norm": (head,)}
    return [
        ("embed_tokens.weight", (config["vocab_size"], width)),
        *(
            (f"layers.{i}.{name}.weight", shape)
            for i in range(config["num_hidden_layers"])
            for name, shape in layer.items()
        ),
        ("norm.weight", (width,)),
    ]
