"""Which layers an adapter changes: by the names of a model's layers.

Knows no torch, so that a plan can say what does not match before anything runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from embft.errors import ModelError, nearest

# What the layers of query and value are called, by architecture; some have one layer for both.
_QUERY_AND_VALUE: tuple[tuple[str, ...], ...] = (
    ("query", "value"),  # BERT, RoBERTa, XLM-R, ELECTRA, ALBERT
    ("q_proj", "v_proj"),  # Llama, Mistral, Qwen, Gemma, BART, OPT, EuroBERT, NomicBERT
    ("query_proj", "value_proj"),  # DeBERTa-v2
    ("q_lin", "v_lin"),  # DistilBERT, XLM
    ("q", "v"),  # MPNet, T5
    ("q_head", "v_head"),  # Funnel
    ("Wqkv",),  # ModernBERT, MPT
    ("qkv_proj",),  # Phi-3, GTE, CodeGen
    ("query_key_value",),  # GPT-NeoX, Bloom, Falcon
    ("c_attn",),  # GPT-2
    ("in_proj",),  # DeBERTa
)


def short_names(layers: Iterable[str]) -> set[str]:
    """The last parts of layers' names: `encoder.layer.0.attention.self.query` -> `query`."""
    return {name.rpartition(".")[2] for name in layers}


def default_targets(layers: Collection[str]) -> tuple[str, ...]:
    """The layers of query and value among these linear ones, or all where none has such a name.

    XLNet, for instance, has no linear layers in its attention.
    """
    found = short_names(layers)
    named = (each for each in _QUERY_AND_VALUE if found.issuperset(each))
    return next(named, tuple(sorted(found)))


def check_targets(targets: Iterable[str], layers: Collection[str]) -> None:
    """Raise ModelError for a target that is the name, or the end of the name, of no layer."""
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            raise ModelError(
                f"train.lora.target_modules: no linear layer of this base is called {target!r}: "
                + nearest(target, short_names(layers))
            )
