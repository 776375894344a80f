"""A model's embeddings as somebody gives them who serves it wrongly: each way is a reading.

A served model that differs is compared with these, and the one that fits names the fault: other
weights, tokens, prompts or pooling than the model's own.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer, WordWeights
from tokenizers import processors

from embft.models.pooling import TextMean
from embft.models.token_layout import BOS, EOS, token_layout

Embeddings = npt.NDArray[np.float32]

_POOLINGS = ("mean", "cls", "lasttoken", "max", "weightedmean")
_MOST_PADDING = 512


@dataclass(frozen=True)
class Reading:
    """One way to read texts; where nothing is set it is the model's own.

    weights: `base`, those before training. tokens: `no_template`, `no_special` (neither template
    nor special tokens), `all_padding` (each text padded as far as it goes, and nothing masked).
    prompt: a name of the model's prompts, `none` or `twice`. pooling: one of sentence-transformers'
    modes.
    """

    weights: str | None = None
    tokens: str | None = None
    prompt: str | None = None
    pooling: str | None = None

    @property
    def faults(self) -> dict[str, str]:
        """What is not the model's own, by field."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


OWN = Reading()


@dataclass(frozen=True)
class Original:
    """The model that should be served, and its base where that is another one."""

    model: SentenceTransformer
    base: SentenceTransformer | None = None
    _hidden_of: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def max_tokens(self) -> int | None:
        """How many tokens of a text the model reads, those around it included."""
        found = self.model.max_seq_length
        return None if found is None else int(found)

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, those around it included, however long it is."""
        tokenizer: Any = self.model.tokenizer
        prompted = self.default_prompt + text
        if not callable(tokenizer):  # static embeddings have the tokenizers library's own
            return len(tokenizer.encode(prompted).ids)
        return len(tokenizer(prompted, truncation=False, verbose=False)["input_ids"])

    def embed(self, texts: Sequence[str], reading: Reading = OWN) -> Embeddings:
        """Embeddings of texts, each alone, shape (n, width), as this reading gives them."""
        return np.concatenate([self._embed(text, reading) for text in texts])

    @property
    def prompts(self) -> dict[str, str]:
        """The model's prompts that are not empty, by name."""
        return {name: text for name, text in (self.model.prompts or {}).items() if text}

    def readings(self) -> Iterator[Reading]:
        """Every way that applies to this model, the fewest faults first."""
        weights = [None, *(["base"] if self.base is not None else [])]
        ways = itertools.product(weights, self._token_ways(), self._prompt_ways(), self._poolings())
        found = (Reading(*each) for each in ways)
        yield from sorted(found, key=lambda reading: len(reading.faults))

    def _token_ways(self) -> list[str | None]:
        if not self._is_transformer:
            return [None]
        layout = token_layout(self.model.tokenizer)
        template = ["no_template"] if layout.template_tokens else []
        return [None, *template, "no_special", "all_padding"]

    def _prompt_ways(self) -> list[str | None]:
        default = ["none", "twice"] if self.default_prompt else []
        others = [n for n, text in self.prompts.items() if text != self.default_prompt]
        return [None, *default, *others]

    def _poolings(self) -> list[str | None]:
        own = next((m for m in self.model.children() if isinstance(m, Pooling | TextMean)), None)
        if own is None or not self._is_transformer:
            return [None]
        weighted = any(isinstance(m, WordWeights) for m in self.model.children())
        mode = None if weighted else getattr(own, "pooling_mode", None)
        return [None, *(each for each in _POOLINGS if each != mode)]

    def prompted(self, text: str, name: str) -> Embeddings:
        """The embedding of a text with this prompt of the model's, shape (width,)."""
        found = self.model.encode(text, prompt_name=name, show_progress_bar=False)
        return np.asarray(found, np.float32)

    @property
    def _is_transformer(self) -> bool:
        return isinstance(self.model[0], Transformer)

    @property
    def pooling(self) -> str:
        """The mode of the model's pooling."""
        for module in self.model.children():
            if isinstance(module, TextMean | WordWeights):
                return "text_mean"
            if isinstance(module, Pooling):
                mode = module.pooling_mode
                return mode if isinstance(mode, str) else " and ".join(mode)
        return "none"

    @property
    def default_prompt(self) -> str:
        """What the model puts before a text by itself."""
        name = self.model.default_prompt_name
        return self.prompts.get(name, "") if name else ""

    def _prompt(self, reading: Reading) -> str:
        if reading.prompt in {None, "none"}:
            return "" if reading.prompt else self.default_prompt
        return (
            2 * self.default_prompt if reading.prompt == "twice" else self.prompts[reading.prompt]
        )

    @torch.no_grad()
    def _embed(self, text: str, reading: Reading) -> Embeddings:
        model = self.base if reading.weights and self.base is not None else self.model
        given = dict(self._hidden(model, text, reading))
        for module in list(model)[1:]:
            if reading.pooling and isinstance(module, WordWeights):
                continue
            if reading.pooling and isinstance(module, Pooling | TextMean):
                width = int(given["token_embeddings"].shape[-1])
                given = Pooling(width, pooling_mode=reading.pooling)(given)
            else:
                given = module(given)
        found: Embeddings = given["sentence_embedding"].float().cpu().numpy()
        return found

    def _hidden(self, model: SentenceTransformer, text: str, reading: Reading) -> dict[str, Any]:
        """What the model's first module makes of a text; computed once."""
        key = (reading.weights, reading.tokens, reading.prompt, text)
        if key not in self._hidden_of:
            model.eval()
            features = self._features(model, text, reading)
            on = {k: v.to(model.device) if torch.is_tensor(v) else v for k, v in features.items()}
            self._hidden_of[key] = model[0](on)
        return self._hidden_of[key]

    def _features(self, model: SentenceTransformer, text: str, reading: Reading) -> dict[str, Any]:
        prompt = self._prompt(reading) or None
        features: dict[str, Any] = dict(model.preprocess([text], prompt=prompt))
        if reading.tokens is not None:
            features |= self._tokens((prompt or "") + text, reading.tokens)
            features.pop("token_type_ids", None)
        return features

    def _tokens(self, text: str, way: str) -> dict[str, torch.Tensor]:
        tokenizer: Any = self.model.tokenizer
        limits = {"truncation": True, "max_length": self.max_tokens, "return_tensors": "pt"}
        if way == "all_padding":
            length = min(self.max_tokens or _MOST_PADDING, _MOST_PADDING)
            limits |= {"max_length": length, "padding": "max_length"}
        if way == "no_special":
            limits |= {"add_special_tokens": False}
        if way == "no_template":
            tokenizer = _without_template(tokenizer)
        ids = tokenizer([text], **limits)["input_ids"]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _without_template(tokenizer: Any) -> Any:
    """The tokenizer with BOS and EOS alone around a text."""
    bare = copy.deepcopy(tokenizer)
    layout = token_layout(bare)
    ids = bare("a", verbose=False)["input_ids"]
    sides = {BOS: ids[: layout.bos], EOS: ids[len(ids) - layout.eos :]}
    special = [
        {"id": name, "ids": part, "tokens": bare.convert_ids_to_tokens(part)}
        for name, part in sides.items()
        if part
    ]
    line = " ".join(p for p in (BOS, "$A", EOS) if p == "$A" or sides[p])
    bare.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=line, pair="$A $B", special_tokens=special
    )
    return bare
