"""The tokens around a text: BOS, prompt template, EOS.

They are put into the tokenizer's own post-processor, which cuts the text first and then adds them.
So one object serves training, evaluation and whoever loads the saved model, without code of ours,
and which tokens are the text's is known. Each part is tokenised apart: no token spans prompt
template and text.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import normalizers, processors
from transformers import PreTrainedTokenizerFast

from embft.errors import ModelError
from embft.models.supported import special_reason
from embft.models.token_layout import BOS, EOS, PREFIX, SUFFIX, own_specials
from embft.spec.prompt_templates import around

_SPECIAL_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def wrap_texts(
    tokenizer: Any, template: str | None, *, bos: bool | None, eos: bool | None
) -> PreTrainedTokenizerFast:
    """A tokenizer that puts the prompt template around each text, and BOS and EOS around both.

    Where bos or eos is None, it does as the given tokenizer. Raises ModelError where this has no
    such token.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError("model.template: this base has no fast tokenizer (tokenizer.json)")
    first, last = own_specials(tokenizer)
    before, after = around(template) if template else ("", "")
    spaces = len(before) - len(before.rstrip(" "))
    parts = {
        BOS: _wanted(tokenizer, "bos", "cls", bos, first),
        PREFIX: _plain_ids(tokenizer, before.rstrip(" ")),
        SUFFIX: _plain_ids(_copied(tokenizer, inside=True), after),
        EOS: _wanted(tokenizer, "eos", "sep", eos, last),
    }
    wrapped = _copied(tokenizer, inside=bool(before) and not spaces)
    if spaces and not _ignores_spaces(tokenizer):
        _prepend(wrapped, " " * spaces)
    _set_parts(wrapped, parts)
    return wrapped


def _wanted(
    tokenizer: Any, name: str, other: str, wanted: bool | None, own: list[int]
) -> list[int]:
    """The special tokens of one side: its own, with this one added or taken away."""
    if wanted is None:
        return own
    token = getattr(tokenizer, f"{name}_token_id")
    token = getattr(tokenizer, f"{other}_token_id") if token is None else token
    if not wanted:
        return [i for i in own if i != token]
    if token is None:
        raise ModelError(special_reason(name))
    return own if token in own else [token, *own] if name == "bos" else [*own, token]


def _plain_ids(tokenizer: Any, text: str) -> list[int]:
    if not text:
        return []
    found: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return found


def _ignores_spaces(tokenizer: Any) -> bool:
    """Whether a word has the same tokens after a space as at the start of a text.

    Byte-level tokenizers keep the space in the word's first token: `Cluster the text: {text}` must
    then give it to the text, as it would be without a cut between them.
    """
    word, joined = _plain_ids(tokenizer, "text"), _plain_ids(tokenizer, "of text")
    return joined[len(joined) - len(word) :] == word


def _copied(tokenizer: Any, *, inside: bool) -> PreTrainedTokenizerFast:
    """The same tokenizer as a class that loads `tokenizer.json` as it stands: architectures' own
    classes rebuild parts of it. inside: for what follows other text without a space between.
    """
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if inside:
        for part in ("normalizer", "pre_tokenizer"):
            content[part] = _without_first_space(content[part])

    special = {f"{name}_token": getattr(tokenizer, f"{name}_token") for name in _SPECIAL_TOKENS}
    if special["pad_token"] is None:
        special["pad_token"] = special["eos_token"] or special["unk_token"]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=tokenizer.model_input_names,
        clean_up_tokenization_spaces=False,
        **{name: token for name, token in special.items() if token is not None},
    )


def _without_first_space(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """A step of a tokenizer, as JSON, that puts no space before a text that has none.

    Tokenizers of SentencePiece's kind put one there, so that a text begins as words do.
    """
    if step is None or step["type"] == "Prepend":
        return None
    changed: dict[str, Any] = {}
    if "add_prefix_space" in step:
        changed["add_prefix_space"] = False
    if "prepend_scheme" in step:
        changed["prepend_scheme"] = "never"
    for inner in ("normalizers", "pretokenizers"):
        if inner in step:
            found = [_without_first_space(each) for each in step[inner]]
            changed[inner] = [each for each in found if each is not None]
    return {**step, **changed}


def _prepend(tokenizer: PreTrainedTokenizerFast, spaces: str) -> None:
    backend = tokenizer.backend_tokenizer
    steps = [normalizers.Prepend(spaces)]
    if backend.normalizer is not None:
        steps.append(backend.normalizer)
    backend.normalizer = normalizers.Sequence(steps)


def _set_parts(tokenizer: PreTrainedTokenizerFast, parts: dict[str, list[int]]) -> None:
    given = {name: ids for name, ids in parts.items() if ids}
    line = " ".join(
        name for name in (BOS, PREFIX, "$A", SUFFIX, EOS) if name == "$A" or name in given
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=line,
        pair="$A $B",
        special_tokens=[
            {"id": name, "ids": ids, "tokens": tokenizer.convert_ids_to_tokens(ids)}
            for name, ids in given.items()
        ],
    )
