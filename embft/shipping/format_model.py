"""A model whose transformer is a file of another format: the rest of it runs as ever.

A folder of sentence-transformers, and in it a graph that gives hidden states. Tokenizer, prompt and
the modules after the transformer come from the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.util import import_from_string
from transformers import AutoTokenizer

from embft.errors import ModelError
from embft.models.pooling import OUR_MODULES
from embft.models.safety import check_folder, read_json

Embeddings = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Graph:
    """A graph that is ready to run. inputs: their names. run: gives its outputs in their order."""

    inputs: tuple[str, ...]
    run: Callable[[Arrays], Sequence[npt.NDArray[Any]]]


@dataclass(frozen=True)
class FormatModel:
    """Texts to embeddings through a graph. prompt: the model's own default."""

    graph: Graph
    tokenizer: Any
    max_tokens: int | None
    lower: bool
    prompt: str
    modules: tuple[torch.nn.Module, ...]

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """The embeddings of one batch, shape (n, width)."""
        prompted = [self.prompt + (text.lower() if self.lower else text) for text in texts]
        tokens = self.tokens(prompted)
        outputs = self.graph.run({name: tokens[name] for name in self.graph.inputs})
        whole = next((each for each in outputs if each.ndim == 2), None)
        if whole is not None:  # the graph pools by itself
            return np.asarray(whole, np.float32)
        return self._pooled(outputs, tokens)

    def tokens(self, texts: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """The graph's inputs for one batch, padded, shape (n, tokens) each. Raises ModelError."""
        limits = {"truncation": True, "max_length": self.max_tokens} if self.max_tokens else {}
        given = self.tokenizer(list(texts), padding=True, return_tensors="np", **limits)
        found = {name: np.asarray(value, np.int64) for name, value in given.items()}
        found.setdefault("token_type_ids", np.zeros_like(found["input_ids"]))
        if strange := sorted(set(self.graph.inputs) - found.keys()):
            raise ModelError(
                f"the graph asks for {strange[0]!r}, which no tokenizer gives; its inputs may be "
                f"{', '.join(found)}"
            )
        return found

    @torch.no_grad()
    def _pooled(self, outputs: Sequence[npt.NDArray[Any]], tokens: Arrays) -> Embeddings:
        hidden = next((each for each in outputs if each.ndim == 3), None)
        if hidden is None:
            raise ModelError("the graph gives neither hidden states nor embeddings")
        given: dict[str, Any] = {name: torch.from_numpy(value) for name, value in tokens.items()}
        given["token_embeddings"] = torch.from_numpy(np.asarray(hidden, np.float32))
        for module in self.modules:
            given = module(given)
        found: Embeddings = given["sentence_embedding"].float().numpy()
        return found


def format_model(folder: Path, graph: Graph) -> FormatModel:
    """The model of a folder, its transformer run by `graph`. Raises ModelError."""
    check_folder(folder)
    listed = read_json(folder / "modules.json")
    if not listed:
        raise ModelError(
            f"{folder}: no modules.json is here, so that pooling and normalisation are unknown: "
            "give the folder of a sentence-transformers model"
        )
    limits = read_json(folder / "sentence_bert_config.json") or {}
    settings = read_json(folder / "config_sentence_transformers.json") or {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        modules = tuple(_module(folder, entry) for entry in listed[1:])
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{folder}: cannot be read as a model: {error}") from None
    prompts = settings.get("prompts") or {}
    return FormatModel(
        graph=graph,
        tokenizer=tokenizer,
        max_tokens=limits.get("max_seq_length") or _limit(tokenizer),
        lower=bool(limits.get("do_lower_case")),
        prompt=prompts.get(settings.get("default_prompt_name"), ""),
        modules=modules,
    )


def _limit(tokenizer: Any) -> int | None:
    """A tokenizer without a limit says so by a huge number."""
    found = int(tokenizer.model_max_length)
    return found if found < 10**6 else None


def _module(folder: Path, entry: Mapping[str, Any]) -> torch.nn.Module:
    kind: Any = OUR_MODULES.get(entry["type"]) or import_from_string(entry["type"])
    found: torch.nn.Module = kind.load(str(folder), subfolder=entry["path"], local_files_only=True)
    return found.eval()
