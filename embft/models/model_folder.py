"""What a base model's folder says of itself: modules, settings, names and shapes of its weights.

Reads configuration files and the headers of safetensors, and loads nothing: a plan asks it for what
every trial would find out later. Judges nothing; `supported.py` does.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from embft.errors import ModelError
from embft.models.safety import read_json

_MAX_HEADER_BYTES = 100 * 2**20  # the format's own limit
_HALVES = {"F16": "float16", "BF16": "bfloat16", "float16": "float16", "bfloat16": "bfloat16"}
_TABLE = re.compile(r"embeddings?$|embed_\w+$|(^|\.)(shared|wte|wpe|relative_attention_bias)$")
_POSITIONS = re.compile(r"(position_embeddings|embed_positions|wpe)\.weight$")
_ENCODER_ONLY = {"t5", "mt5", "umt5", "longt5", "switch_transformers", "t5gemma"}
# Their places count from the padding token on, and only tokens that are no padding.
SHIFTED = {"roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "data2vec-text"}
# Layers of heads, which embed nothing: loaders leave them out.
_HEADS = (
    "cls.", "lm_head.", "classifier.", "predictions.", "vocab_transform.", "vocab_projector.",
    "generator_predictions.", "discriminator_predictions.", "qa_outputs.", "score.", "head.",
    "mlm_head.",
)  # fmt: skip
# Architectures whose layers have other names once loaded than in the file.
_LOADED_AS: dict[str, dict[str, tuple[str, ...]]] = {
    "nomic_bert": {
        "Wqkv": ("q_proj", "k_proj", "v_proj"), "out_proj": ("o_proj",), "fc11": ("up_proj",),
        "fc12": ("gate_proj",), "fc2": ("down_proj",),
    },
    "jina_embeddings_v3": {"Wqkv": ("q_proj", "k_proj", "v_proj"), "out_proj": ("o_proj",)},
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A module of a sentence-transformers folder. kind: its class's name alone."""

    kind: str
    type: str
    path: Path
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Weight:
    """A tensor in a file. dtype: as safetensors calls it, `F32` and the like."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Anatomy:
    """A model's folder as its files describe it. parts: none in a plain Hugging Face folder.

    settings: of the whole model. reading: of how texts are read. config: the transformer's.
    """

    folder: Path
    settings: Mapping[str, Any]
    parts: tuple[Part, ...]
    reading: Mapping[str, Any]
    config: Mapping[str, Any]
    weights: Mapping[str, Weight]

    @cached_property
    def tokens_without_embedding(self) -> tuple[str, ...]:
        """The tokens for which the transformer's table has no row, in the order of their numbers;
        none where the files do not say.
        """
        rows = self.config.get("vocab_size")
        if not isinstance(rows, int):
            return ()
        numbers = _token_numbers(self.root / "tokenizer.json")
        beyond = ((number, name) for name, number in numbers.items() if number >= rows)
        return tuple(name for _, name in sorted(beyond))

    @property
    def root(self) -> Path:
        """The folder of the transformer and its tokenizer."""
        return self.parts[0].path if self.parts else self.folder

    @property
    def architecture(self) -> str:
        """What transformers calls it, `bert` and the like; empty where nothing says."""
        return str(self.config.get("model_type") or "")

    @cached_property
    def linear_layers(self) -> tuple[str, ...]:
        """The names of the layers that have a matrix and are no embedding table, as loaded."""
        matrices = (n for n, w in self.weights.items() if len(w.shape) == 2)
        names = [n.removesuffix(".weight") for n in matrices if n.endswith(".weight")]
        kept = [n for n in names if not n.startswith(_HEADS) and not _TABLE.search(n)]
        if self.architecture in _ENCODER_ONLY:
            kept = [n for n in kept if not n.startswith("decoder.")]
        return tuple(each for name in kept for each in self._as_loaded(name))

    def _as_loaded(self, name: str) -> tuple[str, ...]:
        before, _, last = name.rpartition(".")
        loaded = _LOADED_AS.get(self.architecture, {}).get(last, (last,))
        return tuple(f"{before}.{each}" if before else each for each in loaded)

    @property
    def half(self) -> str | None:
        """`float16` or `bfloat16` where its weights are loaded so unless a spec says otherwise."""
        arguments = self.reading.get("model_kwargs") or self.reading.get("model_args") or {}
        for place in (arguments, self.config):
            if said := place.get("dtype") or place.get("torch_dtype"):
                return _HALVES.get(str(said).removeprefix("torch."))
        stored = next((w.dtype for w in self.weights.values() if "F" in w.dtype), "")
        return _HALVES.get(stored)

    @property
    def layers(self) -> int | None:
        """How many transformer layers the base has; None where its config does not say."""
        return self._number("num_hidden_layers", "n_layers", "n_layer", "num_layers")

    @property
    def heads(self) -> int | None:
        """How many heads a layer's attention has; None where its config does not say."""
        return self._number("num_attention_heads", "n_heads", "n_head", "num_heads")

    @property
    def positions(self) -> int | None:
        """How many tokens the model can tell the places of; None where that has no end."""
        found = self._number("max_position_embeddings") or 0
        return found - self._unused_positions if found > 0 else None

    @property
    def table_of_positions(self) -> int | None:
        """The same, of a model that learned a vector for each place and has none for others."""
        return self.positions if any(map(_POSITIONS.search, self.weights)) else None

    @property
    def _unused_positions(self) -> int:
        """A RoBERTa's first rows are no token's: places begin after the padding's."""
        if self.architecture == "mpnet":
            return 2
        padding = self._number("pad_token_id")
        return 0 if self.architecture not in SHIFTED or padding is None else padding + 1

    @property
    def width(self) -> int | None:
        """How many numbers an embedding has; None where that cannot be said without loading it."""
        found = self._number("hidden_size", "d_model", "dim", "n_embd")
        for part in self.parts[1:]:
            if part.kind == "Pooling" and found is not None:
                found *= len(pooling_modes(part.settings))
            elif part.kind == "Dense":
                found = int(part.settings.get("out_features") or 0) or None
            elif part.kind not in {"Normalize", "LayerNorm", "Dropout"}:
                return None
        most = self.settings.get("truncate_dim")
        return min(found, most) if found is not None and isinstance(most, int) else found

    def _number(self, *names: str) -> int | None:
        values = (self.config.get(name) for name in names)
        return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)

    @property
    def default_prompt(self) -> str | None:
        """What the model puts before every text unless another is given."""
        name = self.settings.get("default_prompt_name")
        return (self.settings.get("prompts") or {}).get(name) or None


def pooling_modes(settings: Mapping[str, Any]) -> list[str]:
    """The modes of a Pooling module, of which each gives a part of the embedding."""
    mode = settings.get("pooling_mode")
    if mode is not None:
        return [mode] if isinstance(mode, str) else list(mode)
    named = (n for n, on in settings.items() if n.startswith("pooling_mode_") and on is True)
    return list(named) or ["mean"]


def _token_numbers(path: Path) -> dict[str, int]:
    try:
        written = read_json(path) or {}
        vocabulary = written["model"]["vocab"]
        added = {token["content"]: token["id"] for token in written.get("added_tokens", ())}
    except (ModelError, KeyError, TypeError):  # whoever loads it says what is wrong with it
        return {}
    return {**(vocabulary if isinstance(vocabulary, dict) else {}), **added}


def anatomy(folder: Path) -> Anatomy:
    """What the folder's files say. Raises ModelError where a file cannot be read."""
    parts = _parts(folder)
    root = parts[0].path if parts else folder
    return Anatomy(
        folder,
        _mapping(folder / "config_sentence_transformers.json"),
        parts,
        _reading(root),
        _mapping(root / "config.json"),
        _weights(root),
    )


def _parts(folder: Path) -> tuple[Part, ...]:
    modules = read_json(folder / "modules.json") or []
    return tuple(
        Part(
            module["type"].rpartition(".")[2],
            module["type"],
            folder / module.get("path", ""),
            _mapping(folder / module.get("path", "") / "config.json"),
        )
        for module in modules
    )


def _reading(root: Path) -> Mapping[str, Any]:
    """How texts are read; the file's name has `bert` or another architecture in it."""
    named = sorted(root.glob("sentence_*_config.json"), key=lambda p: "_bert_" not in p.name)
    return _mapping(named[0]) if named else {}


def _mapping(path: Path) -> Mapping[str, Any]:
    found = read_json(path)
    if found is not None and not isinstance(found, dict):
        raise ModelError(f"{path}: must be an object with named fields")
    return found or {}


def _weights(root: Path) -> Mapping[str, Weight]:
    found: dict[str, Weight] = {}
    for path in _weight_files(root):
        for name, entry in _header(path).items():
            if name != "__metadata__":
                found[name] = Weight(entry["dtype"], tuple(entry["shape"]))
    return found


def _weight_files(root: Path) -> list[Path]:
    """The files of the weights. Raises ModelError where the index names one that is not there."""
    index = _mapping(root / "model.safetensors.index.json")
    named = sorted({root / str(name) for name in (index.get("weight_map") or {}).values()})
    for path in named:
        if not path.is_file():
            raise ModelError(f"{path}: this part of the weights is missing: download it again")
    return named or sorted(root.glob("*.safetensors"))


def _header(path: Path) -> dict[str, Any]:
    """The first part of a safetensors file: a length in 8 bytes, then so much JSON."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_MAX_HEADER_BYTES, path.stat().st_size):
                raise ValueError("its header is longer than the file")
            found: dict[str, Any] = json.loads(file.read(length))
            return found
    except (OSError, ValueError, struct.error, RecursionError) as error:
        raise ModelError(f"{path}: these weights cannot be read: {error}") from None
