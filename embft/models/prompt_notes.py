"""Which words stand before queries and documents, and whether a base expects some that it does not
get. Known from its files: imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from embft.models.model_folder import Anatomy
from embft.spec import ModelSpec
from embft.spec.sides import DOCUMENT_NAMES, QUERY_NAMES, saved_prompt

_CARD = "README.md"
_CARD_LIMIT = 400_000  # characters of a model card that are looked at
# Words that cards of retrieval models ask for, in quotes or in code: e5's, bge's and nomic's.
_EXPECTED = re.compile(
    r"[\"'`](query: |passage: |search_query: |search_document: |Instruct: |"
    r"Represent this [a-z ]{4,40}for [^\"'`\n]{4,80}: ?)"
)


def side_prompts(found: Anatomy, spec: ModelSpec) -> tuple[str, str]:
    """What stands before a query and before a document: as the spec says, else as the base does."""
    if spec.prompts is not None:
        return spec.prompts.query, spec.prompts.document
    if spec.template is not None:
        return "", ""
    prompts, default = (
        found.settings.get("prompts") or {},
        found.settings.get("default_prompt_name"),
    )
    return saved_prompt(prompts, default, "query"), saved_prompt(prompts, default, "document")


def prompt_notes(found: Anatomy, spec: ModelSpec) -> Iterator[str]:
    """What is put before texts, by whose word, and what is not, a sentence each."""
    prompts, name = found.settings.get("prompts") or {}, found.settings.get("default_prompt_name")
    query, document = side_prompts(found, spec)
    holds = "This holds in training, scoring and verification, and for what is saved."
    if prompts.get(name) and spec.template is not None:
        yield f"{spec.base}: model.template takes the place of its default prompt {name!r}."
    elif prompts.get(name) and query == document == prompts[name] and spec.prompts is None:
        yield f"{spec.base}: every text begins with its default prompt {name!r}: {query!r}. {holds}"
        return
    elif query or document:
        whose = "its own prompts" if spec.prompts is None else "model.prompts"
        yield (
            f"{spec.base}: by {whose} each query begins with {query!r} and each document with "
            f"{document!r}; `data.sides` says which column is which. {holds}"
        )
    used = {*QUERY_NAMES, *DOCUMENT_NAMES, name}
    others = [repr(each) for each, prompt in prompts.items() if prompt and each not in used]
    if others:
        yield (
            f"{spec.base}: its prompts {', '.join(others)} are put before no text, since they are "
            "neither of queries or documents nor its default; they are saved with what is trained."
        )
    missing = missing_prompts(found, spec)
    if missing is not None:
        yield missing


def missing_prompts(found: Anatomy, spec: ModelSpec) -> str | None:
    """That the base was trained with prompts and none is put before its texts; None otherwise."""
    if any(side_prompts(found, spec)) or spec.template is not None:
        return None
    expected = _expected(found.folder)
    if not expected:
        return None
    shown = " and ".join(map(repr, expected[:2]))
    return (
        f"{spec.base}: its model card asks for words before texts, such as {shown}, and none are "
        "put there: set `model.prompts: {query: …, document: …}` as the card says, or its scores "
        "are lower than they could be."
    )


def _expected(folder: Path) -> list[str]:
    try:
        with (folder / _CARD).open(encoding="utf-8", errors="replace") as file:
            card = file.read(_CARD_LIMIT)
    except OSError:
        return []
    return list(dict.fromkeys(_EXPECTED.findall(card)))
