"""What embft cannot do with a base model, said before anything runs; and what it does with it.

Judges what `model_folder.py` has read. Knows no torch, so that a plan stays fast; `base.py` asks
the same before it loads a model.
"""

from __future__ import annotations

import importlib.util
import platform
import runpy
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from embft.errors import ModelError
from embft.models.model_folder import SHIFTED, Anatomy
from embft.models.prompt_notes import prompt_notes
from embft.models.safety import ADVICE, read_json
from embft.models.targets import check_targets
from embft.spec import ModelSpec, TrainSpec

_FAMILIES = {
    "CrossEncoder": "a cross-encoder, which scores pairs and gives no embeddings",
    "SparseEncoder": "a sparse encoder, which gives a number for each word of its vocabulary",
    "MultiVectorEncoder": "a multi-vector encoder, which gives an embedding for each token",
}
# Modules that take and give what Transformer and Pooling do, and are saved with their weights.
USABLE = (
    "Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout", "WeightedLayerPooling",
    "TextMean",
)  # fmt: skip
_WHY = {
    "Router": "sends queries and documents, or several kinds of input, through towers of their own",
    "Asym": "sends queries and documents through towers of their own",
    "StaticEmbedding": "has a vector for each token and no transformer",
    "WordEmbeddings": "has a vector for each word and no transformer",
    "BoW": "counts words and has no transformer",
    "CNN": "mixes padding into embeddings, which then depend on a batch's other texts",
    "LSTM": "reads vectors of words and goes with no transformer",
    "WordWeights": "is saved without what training changes in it",
    "CLIPModel": "embeds images too",
    "MLMTransformer": "belongs to a sparse encoder",
    "SpladePooling": "belongs to a sparse encoder",
    "SparseAutoEncoder": "belongs to a sparse encoder",
    "SparseStaticEmbedding": "belongs to a sparse encoder",
    "MultiVectorMask": "belongs to a multi-vector encoder",
    "TokenPooling": "belongs to a multi-vector encoder",
    "LogitScore": "belongs to a cross-encoder",
}
_ONE_SIDED = ("query_length", "document_length", "query_expansion")
_TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
    "sentencepiece.bpe.model", "spm.model", "tekken.json",
)  # fmt: skip
# Their attention overflows under autocast in 16 bits (transformers 5.23, DeBERTa's mask).
_FLOAT32_ONLY = {"deberta"}


def check_base(found: Anatomy, spec: ModelSpec) -> None:
    """Raise ModelError, with its name, for a property of a base that would be ignored, or would
    hold for training alone, for scoring alone, or for one of two texts alone.
    """
    for reason in _reasons(found, spec):
        raise ModelError(f"model.base is {spec.base}: {reason}")


def _reasons(found: Anatomy, spec: ModelSpec) -> Iterator[str]:
    if (found.folder / "adapter_config.json").is_file():
        yield (
            "this is an adapter and no whole model: merge it into its base first (embft merge "
            f"{found.folder} --out FOLDER), and give that folder as model.base"
        )
    yield from _of_the_family(found)
    yield from _of_modules(found, trusted=spec.trust_remote_code)
    yield from _of_reading(found)
    yield from _of_the_transformer(found, trusted=spec.trust_remote_code)
    yield from _of_settings(found, spec)


def _of_the_family(found: Anatomy) -> Iterator[str]:
    family = found.settings.get("model_type", "SentenceTransformer")
    heads = [str(name) for name in found.config.get("architectures") or ()]
    classifies = any(name.endswith("ForSequenceClassification") for name in heads)
    if not found.parts and classifies and _scores_pairs(found.config):
        family = "CrossEncoder"
    if any(name.endswith(("ForRetrieval", "ColBERT")) for name in heads):
        family = "MultiVectorEncoder"
    if family != "SentenceTransformer":
        what = _FAMILIES.get(family, f"a model of type {family}")
        yield f"this is {what}: give a model that embeds a text as one vector"


def _scores_pairs(config: Mapping[str, Any]) -> bool:
    """Whether a classifier's settings are those of a reranker."""
    written_by = {"sentence_transformers", "sbert_ce_default_activation_function"}
    return len(config.get("id2label") or {}) == 1 or bool(written_by & config.keys())


def _of_modules(found: Anatomy, *, trusted: bool) -> Iterator[str]:
    known = [p for p in found.parts if p.type.startswith(("sentence_transformers.", "embft."))]
    for part in known:
        if part.kind not in USABLE:
            why = _WHY.get(part.kind, "is none that embft can train and verify")
            usable = ", ".join(USABLE[:-1])
            yield f"its module {part.kind} {why}: give a base that is made of {usable}"
        activation = str(part.settings.get("activation_function", "torch."))
        if part.kind == "Dense" and not activation.startswith("torch.") and not trusted:
            yield f"the activation of its module Dense is code of its own ({activation}). {ADVICE}"
    if known and known[0] is found.parts[0] and known[0].kind != "Transformer":
        yield f"it begins with a {known[0].kind}: give a base that begins with a Transformer"
    if sum(part.kind == "Transformer" for part in found.parts) > 1:
        yield "it has several transformers, and an adapter or a template can change but one"


def _of_reading(found: Anatomy) -> Iterator[str]:
    """How texts are read, which `sentence_bert_config.json` says."""
    reading = found.reading
    task = reading.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        yield f"its transformer_task is {task}, and embeddings come of feature-extraction"
    for name in _ONE_SIDED:
        if reading.get(name) is not None:
            where = f"{reading[name]!r} in sentence_bert_config.json"
            yield (
                f"its {name} ({where}) holds for one of the two texts alone, and embft reads both "
                "alike: remove it there"
            )
    if reading.get("tokenizer_name_or_path"):
        yield (
            f"its tokenizer is another model's (tokenizer_name_or_path is "
            f"{reading['tokenizer_name_or_path']!r}), whose files nothing here vouches for: save "
            "the tokenizer beside the model, and remove that field"
        )
    others = [m for m in reading.get("modality_config") or {} if m not in {"text", "message"}]
    if others:
        yield f"it embeds {', '.join(others)} beside texts, and embft knows texts alone"


def _of_the_transformer(found: Anatomy, *, trusted: bool) -> Iterator[str]:
    if not found.config:
        yield f"there is no config.json in {found.root}"
    quantised = found.config.get("quantization_config")
    if quantised:
        how = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        yield (
            f"its weights are saved in quantised form ({how or 'quantization_config'}): give the "
            "whole weights, and set model.quantization to train on quantised ones"
        )
    known = _known_architectures()
    if known and found.architecture and found.architecture not in known and not trusted:
        own = f": it brings code of its own. {ADVICE}" if "auto_map" in found.config else ""
        yield f"the installed transformers knows no architecture {found.architecture!r}{own}"
    if not any((found.root / name).is_file() for name in _TOKENIZERS):
        yield f"there is no tokenizer in {found.root} ({_TOKENIZERS[0]}): save it beside the model"


def _unmet(requirements: Any) -> Iterator[str]:
    """Packages that a model says it needs, and that are not here so."""
    from packaging.requirements import InvalidRequirement, Requirement

    for name, asked in requirements.items() if isinstance(requirements, dict) else ():
        wanted = asked.get("specifier", "") if isinstance(asked, dict) else asked
        package = "torch" if name == "pytorch" else str(name)
        try:
            needed = Requirement(f"{package}{wanted}")
            found = platform.python_version() if package == "python" else version(package)
        except InvalidRequirement:
            continue  # sentence-transformers leaves out what it cannot read
        except PackageNotFoundError:
            found = "not installed"
        if found == "not installed" or not needed.specifier.contains(found, prereleases=True):
            yield f"it requires {package} {wanted} (requirements), and here it is {found}"


def _of_settings(found: Anatomy, spec: ModelSpec) -> Iterator[str]:
    """What `config_sentence_transformers.json` says, and the length beside it."""
    similarity = found.settings.get("similarity_fn_name") or "cosine"
    is_unit = bool(found.parts) and found.parts[-1].kind == "Normalize"
    is_cosine = similarity == "cosine" or (is_unit and similarity == "dot")
    if not is_cosine and spec.similarity is None:
        yield (
            f"its similarity function is {similarity!r} (similarity_fn_name), and embft compares "
            "embeddings by their cosine: set `model.similarity: cosine` to train, score and save "
            "it as a model of cosines"
        )
    yield from _unmet(found.settings.get("requirements"))
    name = found.settings.get("default_prompt_name")
    if name is not None and name not in (found.settings.get("prompts") or {}):
        yield f"its default_prompt_name is {name!r}, and its prompts have none of that name"
    asked, table = found.reading.get("max_seq_length"), found.table_of_positions
    if isinstance(asked, int) and table is not None and asked > table and spec.max_tokens is None:
        yield (
            f"its max_seq_length is {asked} (sentence_bert_config.json), and it has positions for "
            f"{table} tokens: longer texts would end it; set model.max_tokens to {table} or less"
        )


def check_spec(found: Anatomy, spec: ModelSpec, *, on_cpu: bool) -> None:
    """Raise ModelError for what a spec asks of a base that it, or a CPU, cannot do."""
    layers, positions = found.layers, found.positions
    if spec.layer is not None and layers is not None and not -layers - 1 <= spec.layer <= layers:
        raise ModelError(layer_reason(spec.layer, layers))
    if spec.max_tokens is not None and positions is not None and positions < spec.max_tokens:
        raise ModelError(
            f"model.max_tokens is {spec.max_tokens}, but this model has positions for {positions} "
            f"tokens: set it to {positions} or less"
        )
    counts_rows = found.table_of_positions is not None and found.architecture not in SHIFTED
    if spec.padding_side == "left" and counts_rows:
        raise ModelError(LEFT_PADDING)
    if spec.quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(bitsandbytes_reason(spec.quantization))
    if spec.attn_implementation == "flash_attention_2" and on_cpu:
        raise ModelError(
            "model.attn_implementation is flash_attention_2, which needs an NVIDIA GPU: leave it "
            "out, or set it to sdpa or eager; for GPUs of another machine, set resources.device to "
            "cuda"
        )
    kinds = {part.kind for part in found.parts}
    if spec.pooling is not None and kinds and not kinds & {"Pooling", "TextMean"}:
        raise ModelError(NO_POOLING)
    _check_lengths(found, spec)
    _check_specials(found, spec)


def _check_lengths(found: Anatomy, spec: ModelSpec) -> None:
    """A length that a base sets for every call outdoes the one of its tokenizer."""
    fixed = ((found.reading.get("processing_kwargs") or {}).get("text") or {}).get("max_length")
    field = "max_tokens" if spec.max_tokens is not None else "template"
    if fixed is not None and (spec.max_tokens is not None or spec.template is not None):
        raise ModelError(
            f"model.{field}: this base reads {fixed} tokens of a text whatever else is said "
            "(processing_kwargs.text.max_length in sentence_bert_config.json): remove it there"
        )


def _check_specials(found: Anatomy, spec: ModelSpec) -> None:
    """A token that a tokenizer's settings say it has not cannot be put around texts."""
    settings = read_json(found.root / "tokenizer_config.json") or {}
    eos = True if spec.pooling == "eos" else spec.eos
    for name, other, wanted in (("bos", "cls", spec.bos), ("eos", "sep", eos)):
        lacks = f"{name}_token" in settings and settings[f"{name}_token"] is None
        if wanted and lacks and settings.get(f"{other}_token") is None:
            raise ModelError(special_reason(name))


def check_training(found: Anatomy, spec: ModelSpec, train: TrainSpec, *, on_cpu: bool) -> None:
    """Raise ModelError for a training that such a base, or a CPU, cannot do."""
    if train.method == "none":
        return
    targets = train.lora.target_modules
    if train.method == "lora" and isinstance(targets, tuple) and found.weights:
        check_targets(targets, found.linear_layers)
    if train.precision in {"bf16", "fp16"} and not trains_in_16_bits(found.architecture):
        raise ModelError(
            f"train.precision is {train.precision}, and the attention of {found.architecture} "
            "overflows in 16 bits: set it to fp32, or leave it out"
        )
    dims, width = train.loss.matryoshka_dims, found.width
    if dims and width and max(dims) > width and spec.pooling is None:
        raise ModelError(dims_reason(max(dims), width))
    if on_cpu:
        _check_halves(spec, train)
        if spec.quantization == "4bit":
            raise ModelError(FOUR_BITS)


def _check_halves(spec: ModelSpec, train: TrainSpec) -> None:
    """On a CPU weights in 16 bits mix with no other 16, and float16 does not survive training."""
    if spec.dtype == "float16" and train.method == "full":
        raise ModelError(
            "model.dtype is float16 and train.method full, and on a CPU weights in float16 become "
            "infinite or NaN: leave model.dtype out, or set it to float32 (train.precision still "
            "computes in 16 bits); for GPUs of another machine, set resources.device to cuda"
        )
    unfit = {"float16": {"bf16", "auto"}, "bfloat16": {"fp16"}}.get(spec.dtype or "", set())
    if train.precision in unfit:
        raise ModelError(
            f"model.dtype is {spec.dtype} and train.precision {train.precision}, which a CPU "
            "cannot mix: leave model.dtype out, or set it to float32"
        )


def trains_in_16_bits(architecture: str) -> bool:
    """Whether products in 16 bits leave this architecture's embeddings finite."""
    return architecture not in _FLOAT32_ONLY


def loaded_dtype(found: Anatomy, spec: ModelSpec, *, on_cpu: bool) -> str | None:
    """In which format the weights are loaded; None as they are saved.

    What is saved in 16 bits is loaded in 32 on a CPU, which trains nothing else reliably.
    """
    widened = on_cpu and found.half is not None and spec.quantization == "none"
    return "float32" if spec.dtype is None and widened else spec.dtype


def notes(found: Anatomy, spec: ModelSpec, *, on_cpu: bool) -> Iterator[str]:
    """What a user may not expect of a base, and what is done about it; a sentence each."""
    if loaded_dtype(found, spec, on_cpu=on_cpu) != spec.dtype:
        yield (
            f"{spec.base}: its weights are saved in {found.half}; on a CPU they are loaded in "
            "float32, as with `model.dtype: float32`."
        )
    yield from prompt_notes(found, spec)
    beyond = found.tokens_without_embedding
    if beyond:
        shown = ", ".join(map(repr, beyond[:3])) + (", …" if len(beyond) > 3 else "")
        yield (
            f"{spec.base}: it has no embedding for {len(beyond)} of its tokenizer's tokens "
            f"({shown}): a trial whose texts have one of them fails. Resize the model to its "
            "tokenizer (resize_token_embeddings) and save it again."
        )
    similarity = found.settings.get("similarity_fn_name") or "cosine"
    if spec.similarity is not None and similarity != spec.similarity:
        yield (
            f"{spec.base}: its similarity function is {similarity!r}; what is trained is scored "
            f"and saved with {spec.similarity!r}, as model.similarity asks."
        )


@cache
def _known_architectures() -> frozenset[str]:
    """The architectures of the installed transformers; empty where they cannot be read.

    Its public list stands behind an import of torch, which takes seconds.
    """
    package = importlib.util.find_spec("transformers")
    try:
        models = Path((package.submodule_search_locations or [])[0]) / "models"  # type: ignore[union-attr]
        found: Any = runpy.run_path(str(models / "auto" / "auto_mappings.py"))
        return frozenset(found["CONFIG_MAPPING_NAMES"])
    except Exception:  # noqa: BLE001 - private: whatever becomes of it, a plan goes on without
        return frozenset()


FOUR_BITS = (
    "model.quantization is 4bit, and without an NVIDIA GPU no gradient passes 4-bit weights: set "
    "it to 8bit or none, or train.method to none"
)
NO_POOLING = "model.pooling: this base has no pooling that could be replaced"
LEFT_PADDING = (
    "model.padding_side is left, but this model counts positions from the start of the row, so "
    "that padding would change the embeddings: leave it out, or set it to right"
)


def layer_reason(layer: int, count: int) -> str:
    """Why the base has no such layer, as the end of a message."""
    return (
        f"model.layer is {layer}, but this model has {count} layers: give 0 (the embeddings) to "
        f"{count} (the last), or -1 (the last) to {-count - 1}"
    )


def bitsandbytes_reason(kind: str) -> str:
    """Why there is no quantisation, and what to do."""
    return (
        f"model.quantization is {kind}, which needs the package bitsandbytes: "
        "pip install bitsandbytes, or set it to none"
    )


def special_reason(name: str) -> str:
    """Why there is no such token, and what to do."""
    return (
        f"model.{name}: this base's tokenizer has no {name.upper()} token: leave model.{name} out, "
        "or set it to false" + (", and choose another pooling" if name == "eos" else "")
    )


def dims_reason(largest: int, width: int) -> str:
    """Why so many dimensions cannot be trained."""
    return (
        f"train.loss.matryoshka_dims has {largest}, but this model's embeddings have {width} "
        "dimensions"
    )
