"""What stands around each text in a model's input, read from its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# The parts that our tokenizers' post-processors are made of.
BOS, PREFIX, SUFFIX, EOS = "<bos>", "<before>", "<after>", "<eos>"


@dataclass(frozen=True)
class Layout:
    """How many tokens of each kind stand around a text, in this order: bos, prefix, suffix, eos.

    A BERT's CLS counts as BOS, its SEP as EOS.
    """

    bos: int
    prefix: int
    suffix: int
    eos: int

    @property
    def before(self) -> int:
        """How many tokens stand before the text."""
        return self.bos + self.prefix

    @property
    def after(self) -> int:
        """How many tokens stand after the text."""
        return self.suffix + self.eos

    @property
    def template_tokens(self) -> int:
        """How many tokens the prompt template adds."""
        return self.prefix + self.suffix


def token_layout(tokenizer: Any) -> Layout:
    """What stands around a text, of a tokenizer of ours or any other."""
    processor = json.loads(tokenizer.backend_tokenizer.to_str())["post_processor"] or {}
    given = processor.get("special_tokens") or {}
    if isinstance(given, dict) and given.keys() & {BOS, PREFIX, SUFFIX, EOS}:
        sizes = {name: len(part["ids"]) for name, part in given.items()}
        return Layout(*(sizes.get(name, 0) for name in (BOS, PREFIX, SUFFIX, EOS)))
    first, last = own_specials(tokenizer)
    return Layout(len(first), 0, 0, len(last))


def own_specials(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts before and after every text by itself."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    inside = [i for i, is_special in enumerate(special) if not is_special] or [len(ids)]
    return ids[: inside[0]], ids[inside[-1] + 1 :]
