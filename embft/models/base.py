"""A base model, ready to embed texts as the spec says.

Covers sentence-transformers' folders and plain Hugging Face ones, encoders and decoders. Code that
a model's folder brings runs only where the spec trusts it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from embft.encoding.packing import first_position, forbid_packing
from embft.errors import ModelError
from embft.models.adapter import add_adapter
from embft.models.model_folder import anatomy
from embft.models.pooling import OUR_MODULES, replace_pooling
from embft.models.prompt_template import wrap_texts
from embft.models.safety import check_folder
from embft.models.supported import (
    FOUR_BITS,
    LEFT_PADDING,
    bitsandbytes_reason,
    check_base,
    layer_reason,
    loaded_dtype,
)
from embft.models.token_layout import token_layout
from embft.spec import ModelSpec, TrainSpec, untrainable_reason
from embft.spec.sides import DOCUMENT_NAMES, QUERY_NAMES, SIDES, saved_prompt
from embft.system.machine import Device, resolve_device

_TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
# Under left padding a text moves to the right by the padding. Rotary positions do not mind, up to
# rounding (in bfloat16 about 1e-2 of the embedding); learned ones change it by a good part.
_LARGEST_SHIFT = 0.05


_ASKED: ContextVar[Device] = ContextVar("device", default="auto")


def use_device(asked: Device) -> None:
    """Load models onto this device from now on; a worker says so once, from its trial's input."""
    _ASKED.set(asked)


def default_device() -> str:
    """The device that models are loaded onto. Raises EmbftError where it is not to be had."""
    mps = torch.backends.mps.is_available()
    return resolve_device(_ASKED.get(), cuda=torch.cuda.is_available(), mps=mps)


def build(folder: Path, spec: ModelSpec, train: TrainSpec) -> SentenceTransformer:
    """The model to train: the base, with a new adapter when the method is LoRA.

    Raises ModelError where that cannot be.
    """
    reason = untrainable_reason(spec, train)
    if reason is not None:
        raise ModelError(reason)
    if spec.quantization == "4bit" and train.method != "none" and default_device() != "cuda":
        # bitsandbytes 0.50 embeds with them, but an adapter before them never learns.
        raise ModelError(FOUR_BITS)
    model = load_base(folder, spec)
    if train.method == "lora":
        add_adapter(model, train.lora)
    return model


def load_base(folder: Path, spec: ModelSpec) -> SentenceTransformer:
    """The base model, in the spec's dtype or else as it was saved; on a CPU 16 bits become 32.

    Raises ModelError when it cannot be loaded, has a property that would not hold everywhere, or
    cannot do what the spec asks of it.
    """
    check_folder(folder, trusted=spec.trust_remote_code)
    found = anatomy(folder)
    check_base(found, spec)
    on_cpu = default_device() == "cpu"
    dtype = loaded_dtype(found, spec, on_cpu=on_cpu)
    model = open_model(folder, spec.model_copy(update={"dtype": dtype}))
    if spec.similarity is not None:
        model.similarity_fn_name = spec.similarity
    _set_prompts(model, spec)
    if _changes_texts(spec):
        _set_texts(model, spec)
    elif spec.max_tokens is not None:
        _set_length(model, _transformer(model, "max_tokens"), spec.max_tokens)
    if spec.layer is not None:
        _set_layer(_transformer(model, "layer"), spec.layer)
    if spec.pooling is not None:
        tokenizer = _transformer(model, "pooling").tokenizer
        replace_pooling(model, spec.pooling, token_layout(tokenizer))
    if spec.include_prompt is not None:
        _set_include_prompt(model, spec)
    if spec.padding_side is not None:
        _set_padding(model, spec.padding_side)
    return model


def _set_prompts(model: SentenceTransformer, spec: ModelSpec) -> None:
    """Name the words before queries and documents as the library's `encode_query` and
    `encode_document` look for them: those of the spec, else the base's own.
    """
    prompts, default = dict(model.prompts), model.default_prompt_name
    if spec.template is not None or spec.prompts is not None:
        # In the place of words that the base puts before texts.
        model.default_prompt_name = default = None
        prompts = {k: v for k, v in prompts.items() if k not in {*QUERY_NAMES, *DOCUMENT_NAMES}}
    query, document = (saved_prompt(prompts, default, side) for side in SIDES)
    given = {} if spec.prompts is None else spec.prompts.model_dump()
    model.prompts = {**prompts, "query": query, "document": document, **given}


def _set_include_prompt(model: SentenceTransformer, spec: ModelSpec) -> None:
    """Let the mean over tokens count those of the prompt, or leave them out."""
    poolings = [module for module in model if isinstance(module, Pooling)]
    if not poolings and spec.pooling != "text_mean":
        raise ModelError("model.include_prompt is of a pooling, and this base has none")
    for pooling in poolings:
        pooling.include_prompt = spec.include_prompt


def open_model(folder: Path, spec: ModelSpec) -> SentenceTransformer:
    """The model of a folder as it was saved there; of a plain Hugging Face one the mean of the last
    layer. Only dtype, attention and quantization of the spec count. Raises ModelError.
    """
    arguments = _model_arguments(spec)
    check_folder(folder, trusted=spec.trust_remote_code)
    model = _opened(folder, spec, arguments)
    if model.truncate_dim is not None:
        model.register_forward_hook(_truncate)
    if spec.attn_implementation is not None:
        forbid_packing(model)
    return model


def _opened(folder: Path, spec: ModelSpec, arguments: dict[str, Any]) -> SentenceTransformer:
    try:
        if (folder / "modules.json").exists():
            return _loader()(
                str(folder),
                device=default_device(),
                local_files_only=True,
                trust_remote_code=spec.trust_remote_code,
                model_kwargs=arguments,
            )
        return _from_transformers(folder, arguments, trusted=spec.trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot load the base model: {error}") from None


def _loader() -> Callable[..., SentenceTransformer]:
    """What loads a folder. Our modules are this package's own, not code of the folder: no trust is
    asked for, where the library lets us say so; else a model with one of them needs it.
    """
    load = getattr(SentenceTransformer, "_load_with_module_classes", None)
    return SentenceTransformer if load is None else partial(load, module_classes=OUR_MODULES)


def _truncate(model: Any, _: Any, features: dict[str, Any]) -> dict[str, Any]:
    """Keep an embedding's first numbers, as `encode` does: in training and by whoever calls it."""
    features["sentence_embedding"] = features["sentence_embedding"][:, : model.truncate_dim]
    return features


def _from_transformers(
    folder: Path, arguments: dict[str, Any], *, trusted: bool
) -> SentenceTransformer:
    """Texts go in as they are, whatever chat format the tokenizer may know."""
    safe = {"local_files_only": True, "trust_remote_code": trusted}
    transformer = Transformer(
        str(folder),
        model_kwargs={**arguments, **safe},
        processor_kwargs=dict(safe),
        config_kwargs=dict(safe),
        modality_config={key: dict(value) for key, value in _TEXT_ONLY.items()},
        module_output_name="token_embeddings",
    )
    tokenizer: Any = transformer.tokenizer
    if tokenizer.pad_token is None:  # Llama has none; a mask goes with it, so any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    positions = _positions(transformer)
    if positions is not None and (transformer.max_seq_length or 0) > positions:
        transformer.max_seq_length = positions
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    return SentenceTransformer(modules=[transformer, pooling], device=default_device())


def _model_arguments(spec: ModelSpec) -> dict[str, Any]:
    arguments: dict[str, Any] = {"use_safetensors": True}
    if spec.dtype is not None:
        arguments["dtype"] = getattr(torch, spec.dtype)
    if spec.attn_implementation is not None:
        arguments["attn_implementation"] = spec.attn_implementation
    if spec.quantization != "none":
        arguments["quantization_config"] = _quantization(spec.quantization)
    return arguments


def _quantization(kind: str) -> Any:
    """Settings for bitsandbytes: LLM.int8 (Dettmers et al., 2022), NF4 (Dettmers et al., 2023)."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(bitsandbytes_reason(kind))
    from transformers import BitsAndBytesConfig

    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def _transformer(model: SentenceTransformer, field: str) -> Transformer:
    first: Any = model[0]
    if not isinstance(first, Transformer):
        raise ModelError(
            f"model.{field} needs a transformer, and this base begins with {type(first).__name__}"
        )
    return cast(Transformer, first)


def _changes_texts(spec: ModelSpec) -> bool:
    return (
        spec.template is not None
        or spec.bos is not None
        or spec.eos is not None
        or spec.pooling == "eos"
    )


def _set_texts(model: SentenceTransformer, spec: ModelSpec) -> None:
    """Wrap texts by the tokenizer. A text keeps the length that it has without one."""
    transformer = _transformer(model, "template")
    eos = True if spec.pooling == "eos" else spec.eos
    tokenizer = wrap_texts(transformer.tokenizer, spec.template, bos=spec.bos, eos=eos)
    transformer.processor = tokenizer
    _set_length(model, transformer, spec.max_tokens)


def _set_length(model: SentenceTransformer, transformer: Transformer, asked: int | None) -> None:
    """Let texts have the length asked for, or the model's own; the prompt template is extra."""
    budget = model.max_seq_length if asked is None else asked
    if budget is None:
        return
    layout = token_layout(transformer.tokenizer)
    wanted = budget + layout.template_tokens
    positions = _positions(transformer) or wanted
    fitting = min(wanted, positions)
    if fitting <= layout.before + layout.after:
        raise ModelError(
            f"model.template: with {layout.template_tokens} tokens no token is left for a text in "
            f"the {fitting} that this model reads: choose a shorter one"
        )
    if asked is not None and fitting < wanted:
        beside = (
            f", {layout.template_tokens} of them for the prompt template"
            if layout.template_tokens
            else ""
        )
        raise ModelError(
            f"model.max_tokens is {asked}, but this model has positions for {positions} tokens"
            f"{beside}: set it to {positions - layout.template_tokens} or less"
        )
    model.max_seq_length = fitting


def _positions(transformer: Transformer) -> int | None:
    """How many tokens the model can tell the places of; None where that has no end.

    A RoBERTa's table of positions begins with rows that no token gets.
    """
    positions = getattr(transformer.config, "max_position_embeddings", None) or 0
    return int(positions) - first_position(transformer) if positions > 0 else None


def _set_layer(transformer: Transformer, layer: int) -> None:
    count = int(transformer.config.num_hidden_layers)
    if not -count - 1 <= layer <= count:
        raise ModelError(layer_reason(layer, count))
    last = layer in {-1, count}
    output: Any = "last_hidden_state" if last else ["hidden_states", layer]
    transformer.modality_config["text"]["method_output_name"] = output


def _set_padding(model: SentenceTransformer, side: str) -> None:
    tokenizer: Any = _transformer(model, "padding_side").tokenizer
    tokenizer.padding_side = side
    if side == "left" and _shift(model) > _LARGEST_SHIFT:
        raise ModelError(LEFT_PADDING)


def _shift(model: SentenceTransformer) -> float:
    """By how much padding changes a text's embedding, in lengths of that embedding."""
    text = "one"
    padded, alone = (
        model.encode(texts, show_progress_bar=False, convert_to_numpy=True)[0].astype(np.float64)
        for texts in ([text, text + " and so on" * 8], [text])
    )
    return float(np.linalg.norm(padded - alone)) / max(float(np.linalg.norm(alone)), 1e-12)
