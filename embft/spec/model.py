"""The model section, and the adapter's of the training section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from embft.spec.base import Fields, Names, Text
from embft.spec.prompt_templates import named_prompt_template
from embft.spec.sides import PromptsSpec


def _template(value: str | None) -> str | None:
    return None if value is None else named_prompt_template(value)


def _targets(value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
    if isinstance(value, tuple) and len(value) == 1 and value[0] in {"default", "all-linear"}:
        value = value[0]
    return None if value == "default" else value


Pooling = Literal["mean", "last", "eos", "last_mean", "weighted_mean", "text_mean", "cls", "max"]
TargetModules = Literal["all-linear", "default"] | Annotated[Names, Field(min_length=1)]


class ModelSpec(Fields):
    """The base model, and how a text becomes an embedding; what is unset is the model's own way.

    base: a hub name or a folder, in sentence-transformers' or plain Hugging Face format, encoder or
    decoder. layer: an index into the hidden states, 0 the embeddings, -1 the last layer's.
    similarity: for a base that says another, which embft cannot compare by. prompts: what stands
    before queries and documents, in place of the base's own. include_prompt: whether a mean over
    tokens counts those of the prompt.
    """

    base: Text = "sentence-transformers/all-MiniLM-L6-v2"
    revision: Text | None = None
    max_tokens: int | None = Field(default=None, ge=4)
    template: Annotated[str | None, AfterValidator(_template)] = None
    pooling: Pooling | None = None
    layer: int | None = None
    padding_side: Literal["left", "right"] | None = None
    bos: bool | None = None
    eos: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    quantization: Literal["none", "8bit", "4bit"] = "none"
    trust_remote_code: bool = False
    similarity: Literal["cosine"] | None = None
    prompts: PromptsSpec | None = None
    include_prompt: bool | None = None

    @model_validator(mode="after")
    def _eos_is_there(self) -> ModelSpec:
        if self.pooling == "eos" and self.eos is False:
            raise ValueError("pooling: eos reads the EOS token, and eos: false removes it")
        if self.pooling == "text_mean" and self.include_prompt:
            raise ValueError("pooling: text_mean leaves prompts out, and include_prompt is true")
        return self

    def relative_to(self, folder: Path) -> ModelSpec:
        """The same model; a base that is a folder below `folder`, or begins with a dot, is meant
        relative to it.
        """
        path = folder / self.base
        if not self.base.startswith(".") and not path.is_dir():
            return self
        return self.model_copy(update={"base": str(path.resolve())})


class LoraSpec(Fields):
    """Low-rank adaptation (Hu et al., 2021), rank-stabilised (Kalajdzievski, 2023), or DoRA (Liu et
    al., 2024). target_modules: without it the query and value layers.
    """

    variant: Literal["lora", "rslora", "dora"] = "lora"
    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    target_modules: Annotated[TargetModules | None, AfterValidator(_targets)] = None
